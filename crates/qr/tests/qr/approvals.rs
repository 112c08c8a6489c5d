//! The phone's signature approves one statement, and no other.

use aws_lc_rs::digest::{SHA256, digest};
use cashgate_qr::KeyError;
use cashgate_qr::approval::{ApprovalError, ApprovalStatement, DeviceKey, SIGNATURE_LENGTH_MAX, verify};
use cashgate_qr::ids::QrTokenDigest;
use cashgate_qr::money::Money;
use proptest::prelude::*;

use super::test_keys::{TestKey, forger, phone, yen};

pub(crate) fn statement() -> ApprovalStatement {
    ApprovalStatement {
        qr_token: QrTokenDigest([0xab; 32]),
        institution: "bank-a".parse().unwrap(),
        account: "acct-7".parse().unwrap(),
        amount: yen(30_000),
        device: "phone-1".parse().unwrap(),
    }
}

fn device_key(key: &TestKey) -> DeviceKey {
    DeviceKey::from_sec1_uncompressed(&key.sec1).unwrap()
}

#[test]
fn the_signed_text_has_seven_lines() {
    let digest = "ab".repeat(32);
    let expected = format!("cashgate-approval-v1\n{digest}\nbank-a\nacct-7\n30000\nJPY\nphone-1");
    assert_eq!(statement().signing_text(), expected);
}

#[test]
fn what_the_phone_signed_is_approved() {
    let signature = phone().sign_der(statement().signing_text().as_bytes());
    let verified = verify(statement(), &signature, &device_key(&phone())).unwrap();
    assert_eq!(verified.statement(), &statement());
    assert_eq!(verify(statement(), &signature, &device_key(&forger())), Err(ApprovalError::BadSignature));
}

#[test]
fn a_signature_approves_no_other_statement() {
    let signature = phone().sign_der(statement().signing_text().as_bytes());
    let euros = Money::from_minor_units(30_000, "EUR".parse().unwrap()).unwrap();
    for other in [
        ApprovalStatement { qr_token: QrTokenDigest([0xac; 32]), ..statement() },
        ApprovalStatement { institution: "bank-b".parse().unwrap(), ..statement() },
        ApprovalStatement { account: "acct-8".parse().unwrap(), ..statement() },
        ApprovalStatement { amount: yen(30_001), ..statement() },
        ApprovalStatement { amount: euros, ..statement() },
        ApprovalStatement { device: "phone-2".parse().unwrap(), ..statement() },
    ] {
        assert_eq!(verify(other, &signature, &device_key(&phone())), Err(ApprovalError::BadSignature));
    }
}

#[test]
fn der_is_the_only_form_of_a_signature() {
    let text = statement().signing_text();
    let der = phone().sign_der(text.as_bytes());
    let raw = phone().sign_digest(digest(&SHA256, text.as_bytes()).as_ref().try_into().unwrap());
    let check = |signature: &[u8], expected| {
        assert_eq!(verify(statement(), signature, &device_key(&phone())), Err(expected), "{signature:02x?}");
    };
    check(&[], ApprovalError::NotDer);
    check(&raw, ApprovalError::NotDer);
    check(&[&der[..], &[0]].concat(), ApprovalError::NotDer);
    check(&der[..der.len() - 1], ApprovalError::NotDer);
    check(&[&[0x30, 0x81], &der[1..]].concat(), ApprovalError::NotDer);
    check(&[&[0x30, 71], &[0; 71][..]].concat(), ApprovalError::NotDer);
    // A leading zero that the number does not need: BER, not DER.
    let padded = [&[0x30, der[1] + 1, 0x02, der[3] + 1, 0], &der[4..]].concat();
    check(
        &padded,
        if padded.len() > SIGNATURE_LENGTH_MAX { ApprovalError::NotDer } else { ApprovalError::BadSignature },
    );
}

#[test]
fn a_device_key_comes_as_the_phones_export_it() {
    let key = device_key(&phone());
    let spki = key.to_spki_der();
    assert_eq!(spki.len(), 91);
    assert_eq!(DeviceKey::from_spki_der(&spki).as_ref(), Ok(&key));
    assert_eq!(DeviceKey::from_phone_export(&spki).as_ref(), Ok(&key));
    assert_eq!(DeviceKey::from_phone_export(key.sec1_uncompressed()).as_ref(), Ok(&key));
}

#[test]
fn what_is_no_device_key_is_refused() {
    let spki = device_key(&phone()).to_spki_der();
    let changed = |index: usize| {
        let mut spki = spki.clone();
        spki[index] ^= 1;
        DeviceKey::from_phone_export(&spki).map(drop)
    };
    for index in 0..26 {
        assert_eq!(changed(index), Err(KeyError::NotSpki), "byte {index}");
    }
    assert_eq!(changed(26), Err(KeyError::NotUncompressed));
    assert_eq!(changed(90), Err(KeyError::NotOnCurve));
    for length in [0, 1, 33, 64, 90] {
        assert_eq!(DeviceKey::from_phone_export(&spki[..length]).map(drop), Err(KeyError::NotSpki), "{length} bytes");
    }
    assert_eq!(DeviceKey::from_spki_der(&[&spki[..], &[0]].concat()).map(drop), Err(KeyError::NotSpki));
}

#[test]
fn every_changed_bit_of_a_signature_is_refused() {
    let signature = phone().sign_der(statement().signing_text().as_bytes());
    for index in 0..signature.len() {
        for bit in 0..8 {
            let mut changed = signature.clone();
            changed[index] ^= 1 << bit;
            assert!(verify(statement(), &changed, &device_key(&phone())).is_err(), "bit {bit} of byte {index}");
        }
    }
}

proptest! {
    #[test]
    fn any_signature_is_refused(signature in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(verify(statement(), &signature, &device_key(&phone())).is_err());
    }

    #[test]
    fn any_key_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert!(DeviceKey::from_phone_export(&bytes).is_err());
    }
}
