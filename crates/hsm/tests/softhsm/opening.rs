//! What is refused when the HSM is opened, and in which words.

use cashgate_hsm::{Hsm, HsmConfig, HsmError, HsmKeyError, HsmModuleError, HsmOpenError, HsmTokenError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};

use crate::harness::{
    KEY_LABEL, block_on, config, in_own_process, provision_token, refusal, spied_calls, spy_module, with_hsm_session,
};

const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

in_own_process! {
    fn a_wrong_pin_is_tried_exactly_once() {
        provision_token();
        let wrong = HsmConfig { module: spy_module(), pin: "00000000".into(), workers: 16, ..config() };
        let (error, line) = refusal(wrong);
        assert!(matches!(error, HsmOpenError::Token(HsmTokenError::PinRefused { .. })), "{error:?}");
        assert!(line.contains("it was tried once"), "{line}");
        assert!(!line.contains("00000000") && !format!("{error:?}").contains("00000000"), "{error:?}");
        assert_eq!(spied_calls("C_Login"), 1);
        assert_eq!(spied_calls("C_Finalize"), 1, "nothing stays open");
    }
}

in_own_process! {
    fn a_missing_module_names_the_package() {
        let (error, line) = refusal(HsmConfig { module: "/usr/lib/no-such-module.so".into(), ..config() });
        assert!(matches!(error, HsmOpenError::Module(HsmModuleError::CannotLoad { .. })), "{error:?}");
        assert!(line.starts_with("PKCS#11 module /usr/lib/no-such-module.so cannot be loaded: install"), "{line}");
        assert!(line.contains("softhsm2") && line.contains("hsm.module"), "{line}");
    }
}

in_own_process! {
    fn a_file_that_is_no_module_is_refused_likewise() {
        let no_module = crate::harness::directory().join("softhsm2.conf");
        let (error, _) = refusal(HsmConfig { module: no_module, ..config() });
        assert!(matches!(error, HsmOpenError::Module(HsmModuleError::CannotLoad { .. })), "{error:?}");
    }
}

in_own_process! {
    fn a_module_without_its_token_directory_says_where_to_look() {
        let tokens = crate::harness::directory().join("tokens");
        std::fs::remove_dir(tokens).expect("an empty directory");
        let (error, line) = refusal(config());
        assert!(matches!(error, HsmOpenError::Module(HsmModuleError::CannotStart { .. })), "{error:?}");
        assert!(line.contains("SOFTHSM2_CONF"), "{line}");
    }
}

in_own_process! {
    fn a_missing_token_lists_the_labels_there_are() {
        let (_, line) = refusal(config());
        assert!(line.contains("there is none at all"), "{line}");
        provision_token();
        let (error, line) = refusal(HsmConfig { token_label: "cashgate".to_owned(), ..config() });
        assert!(matches!(error, HsmOpenError::Token(HsmTokenError::Missing { .. })), "{error:?}");
        assert!(line.contains("\"cashgate\" (there is \"cashgate test\")") && line.contains("cashgate init"), "{line}");
    }
}

in_own_process! {
    fn a_missing_key_names_what_to_run() {
        provision_token();
        let (error, line) = refusal(HsmConfig { signing_key_label: "qr-2".to_owned(), ..config() });
        assert!(matches!(error, HsmOpenError::Key(HsmKeyError::Missing { half: "private", .. })), "{error:?}");
        assert!(line.contains("\"qr-2\"") && line.contains("hsm-config/create-keys.sh"), "{line}");
    }
}

in_own_process! {
    fn a_key_without_its_public_half_is_refused() {
        provision_token();
        destroy(ObjectClass::PUBLIC_KEY);
        let (error, _) = refusal(config());
        assert!(matches!(error, HsmOpenError::Key(HsmKeyError::Missing { half: "public", .. })), "{error:?}");
    }
}

in_own_process! {
    fn halves_of_two_different_pairs_are_refused() {
        provision_token();
        destroy(ObjectClass::PUBLIC_KEY);
        generate_ec(&P256, "stray", KEY_LABEL, &[]);
        let (error, line) = refusal(config());
        assert!(matches!(error, HsmOpenError::Key(HsmKeyError::NotAPair { .. })), "{error:?}");
        assert!(line.contains(KEY_LABEL), "{line}");
    }
}

in_own_process! {
    fn two_keys_with_one_label_are_refused() {
        provision_token();
        generate_ec(&P256, KEY_LABEL, KEY_LABEL, &[]);
        let (error, _) = refusal(config());
        assert!(matches!(error, HsmOpenError::Key(HsmKeyError::Ambiguous { count: 2, .. })), "{error:?}");
    }
}

in_own_process! {
    fn a_key_outside_the_profile_is_refused_with_the_attribute() {
        provision_token();
        let extractable = [Attribute::Extractable(true)];
        let insensitive = [Attribute::Sensitive(false)];
        let signless = [Attribute::Sign(false)];
        generate_ec(&P256, "extractable", "extractable", &extractable);
        generate_ec(&P256, "insensitive", "insensitive", &insensitive);
        generate_ec(&P256, "signless", "signless", &signless);
        generate_ec(&P384, "p384", "p384", &[]);
        generate_rsa("rsa");
        let cases = [
            ("extractable", "CKA_EXTRACTABLE", "true", "false"),
            ("insensitive", "CKA_SENSITIVE", "false", "true"),
            ("signless", "CKA_SIGN", "false", "true"),
            ("p384", "CKA_EC_PARAMS", "06052b81040022", "06082a8648ce3d030107"),
            ("rsa", "CKA_KEY_TYPE", "CKK_RSA", "CKK_EC"),
        ];
        for (label, attribute, found, required) in cases {
            let (error, line) = refusal(HsmConfig { signing_key_label: label.to_owned(), ..config() });
            assert!(matches!(error, HsmOpenError::Key(HsmKeyError::Refused { half: "private", .. })), "{label}: {error:?}");
            assert!(line.contains(&format!("its {attribute} is {found} and must be {required}")), "{label}: {line}");
        }
    }
}

in_own_process! {
    fn a_second_open_is_refused_and_leaves_the_first_alone() {
        provision_token();
        let hsm = Hsm::open(config()).expect("opens");
        let (error, line) = refusal(config());
        assert!(matches!(error, HsmOpenError::Module(HsmModuleError::AlreadyOpen)), "{error:?}");
        assert!(line.contains("already open in this process"), "{line}");
        block_on(hsm.sign([1; 32])).expect("the first still signs");
        hsm.close();
    }
}

in_own_process! {
    fn closed_it_refuses_calls_and_can_be_opened_again_with_the_same_key() {
        provision_token();
        let hsm = Hsm::open(config()).expect("opens");
        let public_key = *hsm.signing_key();
        for round in 0..5 {
            let clone = hsm.clone();
            clone.close();
            assert!(matches!(block_on(hsm.sign([2; 32])), Err(HsmError::Closed)), "round {round}");
            let again = Hsm::open(config()).expect("opens again");
            assert_eq!(*again.signing_key(), public_key);
            block_on(again.sign([3; 32])).expect("signs again");
            drop(again);
        }
        hsm.close();
    }
}

in_own_process! {
    fn an_hsm_that_is_dropped_instead_of_closed_is_finalised_too() {
        provision_token();
        let hsm = Hsm::open(HsmConfig { module: spy_module(), ..config() }).expect("opens");
        block_on(hsm.sign([4; 32])).expect("signs");
        drop(hsm);
        assert_eq!(spied_calls("C_Finalize"), 1);
    }
}

fn destroy(class: ObjectClass) {
    with_hsm_session(|hsm_session| {
        let found = hsm_session.find_objects(&[Attribute::Class(class)]).expect("a search");
        assert_eq!(found.len(), 1);
        hsm_session.destroy_object(found[0]).expect("ours to destroy");
    });
}

/// A key pair that is as it should be but for its curve, its halves' labels and what is `changed` of the private half.
fn generate_ec(curve: &[u8], private_label: &str, public_label: &str, changed: &[Attribute]) {
    let mut private = vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
        Attribute::Label(private_label.into()),
    ];
    private.retain(|kept| changed.iter().all(|other| other.attribute_type() != kept.attribute_type()));
    private.extend_from_slice(changed);
    let public = [
        Attribute::Token(true),
        Attribute::Verify(true),
        Attribute::EcParams(curve.into()),
        Attribute::Label(public_label.into()),
    ];
    with_hsm_session(|hsm_session| {
        hsm_session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private).expect("a key pair");
    });
}

fn generate_rsa(label: &str) {
    let private = [Attribute::Token(true), Attribute::Sign(true), Attribute::Label(label.into())];
    let public = [Attribute::Token(true), Attribute::ModulusBits(2048.into()), Attribute::Label(label.into())];
    with_hsm_session(|hsm_session| {
        hsm_session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &public, &private).expect("a key pair");
    });
}
