//! What keeps a slot lost, in which words, and that it heals.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cashgate_hsm::{Hsm, HsmConfig, HsmError, HsmModuleError, HsmOpenError, HsmSlot, HsmState, Pin};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass};

use crate::harness::{
    KEY_LABEL, PIN, Papers, block_on, config, config_over, in_own_process, provision_token, refusal, slot,
    softhsm_module, spied_calls, spy_module, until_ready, with_hsm_session,
};

const P256: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];

in_own_process! {
    fn a_wrong_pin_is_tried_exactly_once_and_again_when_it_was_corrected() {
        provision_token();
        let corrected = Arc::new(AtomicBool::new(false));
        let is_corrected = Arc::clone(&corrected);
        let pin = Pin::read_by(move || {
            Ok(if is_corrected.load(Ordering::SeqCst) { PIN } else { "00000000" }.into())
        });
        let wrong = HsmConfig {
            slots: vec![HsmSlot { module: spy_module(), pin, ..slot() }],
            workers: 16,
            retry_first: std::time::Duration::from_millis(10),
            ..config()
        };
        let hsm = Hsm::open(wrong, Papers).expect("a wrong PIN does not stop it");
        let reason = hsm.slots().remove(0).reason;
        assert!(reason.contains("it was tried once"), "{reason}");
        assert!(!reason.contains("00000000"), "{reason}");
        // Long enough for dozens of attempts.
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert!(spied_calls("C_Initialize") > 1, "it went on trying to open the slot");
        assert_eq!(spied_calls("C_Login"), 1, "and did not try the PIN again");
        corrected.store(true, Ordering::SeqCst);
        until_ready(&hsm);
        assert_eq!(spied_calls("C_Login"), 2);
        block_on(hsm.sign(b"paper".to_vec())).expect("signs");
        hsm.close();
        assert_eq!(spied_calls("C_Initialize"), spied_calls("C_Finalize"), "nothing stays open");
    }
}

in_own_process! {
    fn a_pin_that_cannot_be_read_is_no_login() {
        provision_token();
        let pin = Pin::read_by(|| Err("hsm.pin_file /nowhere cannot be read".to_owned()));
        let line = refusal(HsmConfig { slots: vec![HsmSlot { module: spy_module(), pin, ..slot() }], ..config() });
        assert!(line.contains("/nowhere cannot be read"), "{line}");
        assert_eq!(spied_calls("C_Login"), 0);
    }
}

in_own_process! {
    fn a_missing_module_names_the_package_and_stops_it() {
        let error = Hsm::open(config_over("/usr/lib/no-such-module.so".into()), Papers).map(Hsm::close).expect_err("must stop");
        assert!(matches!(error, HsmOpenError::Module(HsmModuleError::CannotLoad { .. })), "{error:?}");
        let line = error.to_string();
        assert!(line.starts_with("PKCS#11 module /usr/lib/no-such-module.so cannot be loaded: install"), "{line}");
        assert!(line.contains("softhsm2") && line.contains("hsm.module"), "{line}");
    }
}

in_own_process! {
    fn a_file_that_is_no_module_is_refused_likewise() {
        let no_module = crate::harness::directory().join("softhsm2.conf");
        let error = Hsm::open(config_over(no_module), Papers).map(Hsm::close).expect_err("must stop");
        assert!(matches!(error, HsmOpenError::Module(HsmModuleError::CannotLoad { .. })), "{error:?}");
    }
}

in_own_process! {
    fn a_module_without_its_token_directory_says_where_to_look() {
        let tokens = crate::harness::directory().join("tokens");
        std::fs::remove_dir(tokens).expect("an empty directory");
        let line = refusal(config());
        assert!(line.contains("does not start") && line.contains("SOFTHSM2_CONF"), "{line}");
    }
}

in_own_process! {
    fn a_missing_token_lists_the_labels_there_are() {
        let line = refusal(config());
        assert!(line.contains("there is none at all"), "{line}");
        provision_token();
        let other = HsmSlot { token_label: "cashgate".to_owned(), ..slot() };
        let line = refusal(HsmConfig { slots: vec![other], ..config() });
        assert!(line.contains("\"cashgate\" (there is \"cashgate test\")") && line.contains("cashgate init"), "{line}");
    }
}

in_own_process! {
    fn a_missing_key_names_what_to_run_and_is_found_once_it_is_made() {
        provision_token();
        let line = refusal(HsmConfig { signing_key_label: "qr-2".to_owned(), ..config() });
        assert!(line.contains("private key") && line.contains("\"qr-2\""), "{line}");
        assert!(line.contains("hsm-config/create-keys.sh"), "{line}");
        let hsm = Hsm::open(HsmConfig { signing_key_label: "qr-2".to_owned(), ..config() }, Papers).expect("opens");
        cashgate_hsm::create_signing_key(&softhsm_module(), "cashgate test", &PIN.into(), "qr-2")
            .expect_err("this process has the module open");
        assert_eq!(hsm.state(), HsmState::Lost);
        hsm.close();
        cashgate_hsm::create_signing_key(&softhsm_module(), "cashgate test", &PIN.into(), "qr-2").expect("a second key");
        let hsm = Hsm::open(HsmConfig { signing_key_label: "qr-2".to_owned(), ..config() }, Papers).expect("opens");
        assert_eq!(hsm.state(), HsmState::Ready);
        hsm.close();
    }
}

in_own_process! {
    fn a_key_without_its_public_half_is_refused() {
        provision_token();
        destroy(ObjectClass::PUBLIC_KEY);
        let line = refusal(config());
        assert!(line.contains("no public key labelled"), "{line}");
    }
}

in_own_process! {
    fn halves_of_two_different_pairs_are_refused() {
        provision_token();
        destroy(ObjectClass::PUBLIC_KEY);
        generate_ec(&P256, "stray", KEY_LABEL, &[]);
        let line = refusal(config());
        assert!(line.contains("not a pair") && line.contains(KEY_LABEL), "{line}");
    }
}

in_own_process! {
    fn two_keys_with_one_label_are_refused() {
        provision_token();
        generate_ec(&P256, KEY_LABEL, KEY_LABEL, &[]);
        let line = refusal(config());
        assert!(line.starts_with("2 private keys are labelled"), "{line}");
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
            let line = refusal(HsmConfig { signing_key_label: label.to_owned(), ..config() });
            assert!(line.contains(&format!("its {attribute} is {found} and must be {required}")), "{label}: {line}");
        }
    }
}

in_own_process! {
    fn a_second_open_is_refused_and_leaves_the_first_alone() {
        provision_token();
        let hsm = Hsm::open(config(), Papers).expect("opens");
        let error = Hsm::open(config(), Papers).map(Hsm::close).expect_err("must stop");
        assert!(matches!(error, HsmOpenError::Module(HsmModuleError::AlreadyOpen { .. })), "{error:?}");
        assert!(error.to_string().contains("already open in this process"), "{error}");
        block_on(hsm.sign(b"paper".to_vec())).expect("the first still signs");
        hsm.close();
    }
}

in_own_process! {
    fn closed_it_refuses_calls_and_can_be_opened_again_with_the_same_key() {
        provision_token();
        let hsm = Hsm::open(config(), Papers).expect("opens");
        let key = block_on(hsm.find_key(KEY_LABEL)).expect("answers").remove(0).key.expect("a key");
        for round in 0..5 {
            let clone = hsm.clone();
            clone.close();
            assert!(matches!(block_on(hsm.sign(b"paper".to_vec())), Err(HsmError::Closed)), "round {round}");
            let again = Hsm::open(config(), Papers).expect("opens again");
            let signed = block_on(again.sign(b"paper".to_vec())).expect("signs again");
            assert!(signed.verifies(b"paper") && signed.is_signed_by(&key));
            drop(again);
        }
        hsm.close();
    }
}

in_own_process! {
    fn an_hsm_that_is_dropped_instead_of_closed_is_finalised_too() {
        provision_token();
        let hsm = Hsm::open(config_over(spy_module()), Papers).expect("opens");
        block_on(hsm.sign(b"paper".to_vec())).expect("signs");
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
