//! What the gateway mints is what the app reads.

use cashgate_qr::ids::{KeyId, Nonce, QrSessionId};
use cashgate_qr::money::Money;
use cashgate_qr::time::Timestamp;
use cashgate_qr::{BATCH_MAX, KeySet, QrClaims, REPLICA_MAX, TEXT_LENGTH_MAX, UnsignedBatch, verify};
use proptest::prelude::*;

use super::test_keys::{
    ISSUED_UNIX_S, for_several, is_high_s, published, published_set, usual_claims, with_other_s, yen,
};

#[test]
fn a_token_expires_after_its_lifetime() {
    let token = published()[0].mint(&usual_claims());
    let verified = verify(&token.text(), &published_set()).unwrap();
    let expiry_ms = (ISSUED_UNIX_S + 30) * 1000;
    assert_eq!(verified.expires_at(), Timestamp::from_unix_ms(expiry_ms));
    for (now_ms, expired) in [(0, false), (expiry_ms - 1, false), (expiry_ms, true), (expiry_ms + 1, true)] {
        assert_eq!(verified.is_expired(Timestamp::from_unix_ms(now_ms)), expired, "at {now_ms}");
    }
}

#[test]
fn a_token_carries_whole_seconds() {
    let claims = QrClaims { issued_at: Timestamp::from_unix_ms(ISSUED_UNIX_S * 1000 + 999), ..usual_claims() };
    let token = published()[0].mint(&claims);
    assert_eq!(verify(&token.text(), &published_set()).unwrap().claims(), &usual_claims());
}

#[test]
fn either_published_key_signs() {
    for key in published() {
        let verified = verify(&key.mint(&usual_claims()).text(), &published_set()).unwrap();
        assert_eq!(verified.key_id(), key.key_id());
    }
    assert!(verify(&published()[0].mint(&usual_claims()).text(), &KeySet::default()).is_err());
}

#[test]
fn a_signature_has_a_twin_so_the_digest_alone_does_not_tell_used_tokens() {
    let key = &published()[0];
    let unsigned = UnsignedBatch::new(&[usual_claims()], key.key_id()).unwrap();
    let signature = key.sign_digest(unsigned.digest());
    let twin = with_other_s(signature);
    assert_ne!(is_high_s(signature), is_high_s(twin));
    let [one, other] = [signature, twin].map(|signature| unsigned.clone().signed_with(signature).remove(0));
    let [one, other] = [one, other].map(|token| verify(&token.text(), &published_set()).unwrap());
    assert_eq!(one.claims(), other.claims());
    assert_ne!(one.digest(), other.digest());
}

#[test]
fn the_readme_says_where_the_bytes_are() {
    let key = &published()[0];
    let (digest, token) = (signed_digest(&usual_claims(), key.key_id()), key.mint(&usual_claims()));
    let bytes = token.bytes();
    assert_eq!(bytes[..7], [0x84, 0x49, 0xa2, 0x01, 0x26, 0x04, 0x44]);
    assert_eq!(bytes[7..11], key.key_id().0);
    assert_eq!(bytes[11..13], [0xa0, 0x58]);
    let signature_at = bytes.len() - 66;
    assert_eq!(usize::from(bytes[13]), signature_at - 14);
    assert_eq!(bytes[signature_at..signature_at + 2], [0x58, 0x40]);
    let sig_structure = [b"\x84\x6aSignature1", &bytes[1..11], &[0x40], &bytes[12..signature_at]].concat();
    let hash = |bytes: &[u8]| aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec();
    assert_eq!(digest.to_vec(), hash(&sig_structure));
    assert_eq!(token.digest().0.to_vec(), hash(bytes));
}

#[test]
fn the_worked_example_of_the_readme_is_true() {
    let readme = include_str!("../../README.md");
    let text = readme.lines().find(|line| line.starts_with("CG1:")).unwrap();
    let verified = verify(text, &published_set()).unwrap();
    assert_eq!(verified.claims(), &usual_claims());
    assert!(readme.contains(&hex::encode(verified.digest().0)), "the token's digest");
    assert!(readme.contains(&hex::encode(signed_digest(&usual_claims(), verified.key_id()))), "the signed digest");
}

#[test]
fn the_longest_claims_fill_the_longest_text() {
    let claims = QrClaims {
        network: "n".repeat(64).parse().unwrap(),
        atm: "a".repeat(64).parse().unwrap(),
        issued_at: Timestamp::from_unix_ms(u64::MAX),
        lifetime_seconds: 300,
        amount: Some(yen(Money::MINOR_UNITS_MAX)),
        replica: Some(REPLICA_MAX),
        ..usual_claims()
    };
    assert_eq!(published()[0].mint(&claims).text().len(), 433, "in the single form");
    let tokens = published()[0].mint_batch(&for_several(BATCH_MAX, &claims));
    for token in &tokens {
        assert!(verify(&token.text(), &published_set()).is_ok());
    }
    assert_eq!(tokens.iter().map(|token| token.text().len()).max(), Some(TEXT_LENGTH_MAX));
    assert_eq!(TEXT_LENGTH_MAX, 766, "README.md says so");
}

/// The digest that the HSM signs for one token in the single form.
pub(crate) fn signed_digest(claims: &QrClaims, key_id: KeyId) -> [u8; 32] {
    UnsignedBatch::new(std::slice::from_ref(claims), key_id).unwrap().digest()
}

prop_compose! {
    fn any_amount()(minor_units in 1..=Money::MINOR_UNITS_MAX, currency in "[A-Z]{3}") -> Money {
        Money::from_minor_units(minor_units, currency.parse().unwrap()).unwrap()
    }
}

prop_compose! {
    fn any_claims()(
        network in "[A-Za-z0-9._-]{1,64}",
        atm in "[A-Za-z0-9._-]{1,64}",
        issued_s in 0..=u64::MAX / 1000,
        lifetime_seconds in 1..=300_u16,
        qr_session in any::<[u8; 16]>(),
        nonce in any::<[u8; 16]>(),
        amount in proptest::option::of(any_amount()),
        replica in proptest::option::of(0..=REPLICA_MAX),
    ) -> QrClaims {
        QrClaims {
            network: network.parse().unwrap(),
            atm: atm.parse().unwrap(),
            issued_at: Timestamp::from_unix_ms(issued_s * 1000),
            lifetime_seconds,
            qr_session: QrSessionId::from_bytes(qr_session),
            nonce: Nonce(nonce),
            amount,
            replica,
        }
    }
}

proptest! {
    #[test]
    fn what_is_minted_is_read(claims in any_claims(), which in 0..2_usize) {
        let key = &published()[which];
        let token = key.mint(&claims);
        prop_assert!(token.text().len() <= TEXT_LENGTH_MAX);
        let verified = verify(&token.text(), &published_set()).unwrap();
        prop_assert_eq!(verified.claims(), &claims);
        prop_assert_eq!(verified.digest(), token.digest());
        prop_assert_eq!(verified.key_id(), key.key_id());
    }
}
