//! What must hold on every module.

use std::collections::HashSet;

use aws_lc_rs::hmac;
use cashgate_hsm::HsmState;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType};
use cryptoki::session::Session as HsmSession;

use crate::api::{Access, import_mac_key, open, refusal};
use crate::direct::Direct;
use crate::harness::{KEY_LABEL, ModuleUnderTest};

const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

pub(crate) fn it_signs_and_any_verifier_agrees(module: &ModuleUnderTest) {
    let hsm = open(&Access::of(module));
    let signed = hsm.sign(b"withdraw 10,000 yen");
    assert!(signed.verifies(b"withdraw 10,000 yen"));
    assert!(!signed.verifies(b"withdraw 90,000 yen"));
    hsm.close();
}

pub(crate) fn many_threads_sign_at_once_and_no_nonce_repeats(module: &ModuleUnderTest) {
    let hsm = open(&Access::of(module));
    let papers: Vec<Vec<u8>> = (0..800_u16).map(|number| number.to_be_bytes().to_vec()).collect();
    let signed = hsm.sign_all(&papers);
    for (paper, signed) in papers.iter().zip(&signed) {
        assert!(signed.verifies(paper), "{paper:?}");
    }
    let nonces: HashSet<[u8; 16]> = signed.iter().map(|signed| signed.nonce).collect();
    assert_eq!(nonces.len(), papers.len());
    hsm.close();
}

pub(crate) fn a_code_is_hmac_sha256_and_a_wrong_one_is_told_from_a_broken_device(module: &ModuleUnderTest) {
    const SECRET: [u8; 32] = [0x2b; 32];
    import_mac_key(module, "dispense-1", &SECRET);
    let hsm = open(&Access::of(module));
    let mac = hsm.mac("dispense-1", b"NONCE=1");
    let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &SECRET), b"NONCE=1");
    assert_eq!(mac, expected.as_ref());
    assert!(hsm.mac_is_right("dispense-1", b"NONCE=1", mac));
    let mut forged = mac;
    forged[31] ^= 1;
    assert!(!hsm.mac_is_right("dispense-1", b"NONCE=1", forged));
    assert_eq!(hsm.hsm.state(), HsmState::Ready, "a forgery breaks nothing: {:?}", hsm.hsm.slots());
    hsm.close();
}

pub(crate) fn a_wrong_pin_is_tried_once(module: &ModuleUnderTest) {
    let before = module.faulty.calls("C_Login");
    let said = refusal(&Access { module: module.faulty.module(), pin: "00000000", ..Access::of(module) });
    assert!(said.contains("it was tried once"), "{said}");
    assert!(!said.contains("00000000"), "{said}");
    assert_eq!(module.faulty.calls("C_Login") - before, 1);
    // Nothing is locked by that: the right one still opens.
    open(&Access::of(module)).close();
}

pub(crate) fn a_missing_key_is_named(module: &ModuleUnderTest) {
    let said = refusal(&Access { key_label: "qr-2", ..Access::of(module) });
    assert!(said.contains("\"qr-2\""), "{said}");
}

pub(crate) fn a_key_of_the_wrong_type_is_refused_with_the_attribute(module: &ModuleUnderTest) {
    make_keys_of_wrong_types(module);
    for (label, attribute) in [("p384", "CKA_EC_PARAMS"), ("extractable", "CKA_EXTRACTABLE"), ("rsa", "CKA_KEY_TYPE")] {
        let said = refusal(&Access { key_label: label, ..Access::of(module) });
        assert!(said.contains(attribute), "{label}: {said}");
    }
}

pub(crate) fn two_keys_with_one_label_are_refused(module: &ModuleUnderTest) {
    with_hsm_session(module, |hsm_session| generate_ec(hsm_session, &P256, KEY_LABEL, &[]));
    let said = refusal(&Access::of(module));
    assert!(said.contains(&format!("{KEY_LABEL:?}")) && said.contains('2'), "{said}");
}

pub(crate) fn closed_and_opened_again_it_has_the_same_key(module: &ModuleUnderTest) {
    let mut keys = HashSet::new();
    for round in 0..5_u8 {
        let hsm = open(&Access::of(module));
        let signed = hsm.sign(&[round]);
        assert!(signed.verifies(&[round]), "round {round}");
        keys.insert(*signed.key.sec1_uncompressed());
        hsm.close();
    }
    assert_eq!(keys.len(), 1);
}

/// Keys labelled `p384`, `extractable` and `rsa`, which are just that.
pub(crate) fn make_keys_of_wrong_types(module: &ModuleUnderTest) {
    with_hsm_session(module, |hsm_session| {
        generate_ec(hsm_session, &P384, "p384", &[]);
        generate_ec(hsm_session, &P256, "extractable", &[Attribute::Extractable(true)]);
        generate_rsa(hsm_session, "rsa");
    });
}

/// Does something on the HSM token that the crate itself would not do.
fn with_hsm_session(module: &ModuleUnderTest, work: impl FnOnce(&HsmSession)) {
    let direct = Direct::open(module);
    work(&direct.hsm_session);
    direct.finalize().expect("finalises");
}

fn generate_ec(hsm_session: &HsmSession, curve: &[u8], label: &str, changed: &[Attribute]) {
    let mut private = private_template(label);
    private.retain(|kept| changed.iter().all(|other| other.attribute_type() != kept.attribute_type()));
    private.extend_from_slice(changed);
    let mut public = public_template(label);
    public.push(Attribute::EcParams(curve.into()));
    hsm_session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).expect("a key pair");
}

fn generate_rsa(hsm_session: &HsmSession, label: &str) {
    let mut public = public_template(label);
    public.extend([Attribute::ModulusBits(2_048.into()), Attribute::PublicExponent(vec![1, 0, 1])]);
    let made = hsm_session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private_template(label));
    let (_, private) = made.expect("a key pair");
    assert_eq!(hsm_session.get_attributes(private, &[AttributeType::Token]).expect("there"), [Attribute::Token(true)]);
}

/// Without a `CKA_ID`: softokn keeps one private key an id, and a second with the same id silently takes the first one's place.
fn private_template(label: &str) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Label(label.into()),
    ]
}

fn public_template(label: &str) -> Vec<Attribute> {
    vec![Attribute::Token(true), Attribute::Verify(true), Attribute::Label(label.into())]
}
