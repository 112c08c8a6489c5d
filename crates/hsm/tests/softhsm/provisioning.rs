//! New HSM tokens and keys, and what is never overwritten.

use cashgate_hsm::{
    Hsm, HsmConfig, HsmModuleError, HsmProvisionError, HsmSlot, HsmTokenError, create_signing_key, provision,
};

use crate::harness::{
    KEY_LABEL, PIN, Papers, SO_PIN, TOKEN_LABEL, block_on, config, in_own_process, provision_token, slot,
    softhsm_module,
};

in_own_process! {
    fn a_new_token_opens_with_the_public_key_that_provisioning_returned() {
        let created = provision(&softhsm_module(), TOKEN_LABEL, &SO_PIN.into(), &PIN.into(), KEY_LABEL).expect("created");
        assert_eq!(public_key_of(KEY_LABEL), created);
    }
}

in_own_process! {
    fn a_token_is_not_overwritten() {
        provision_token();
        let public_key = public_key_of(KEY_LABEL);
        let refused = provision(&softhsm_module(), TOKEN_LABEL, &SO_PIN.into(), &"11112222".into(), "qr-2");
        assert!(matches!(refused, Err(HsmProvisionError::TokenExists { .. })), "{refused:?}");
        assert_eq!(public_key_of(KEY_LABEL), public_key, "its PIN and key are as before");
    }
}

in_own_process! {
    fn a_second_key_joins_the_first_and_neither_is_overwritten() {
        provision_token();
        let first = public_key_of(KEY_LABEL);
        let second = create_signing_key(&softhsm_module(), TOKEN_LABEL, &PIN.into(), "qr-2").expect("created");
        assert_ne!(first, second);
        for label in [KEY_LABEL, "qr-2"] {
            let refused = create_signing_key(&softhsm_module(), TOKEN_LABEL, &PIN.into(), label);
            assert!(matches!(refused, Err(HsmProvisionError::KeyExists { .. })), "{label}: {refused:?}");
        }
        assert_eq!([public_key_of(KEY_LABEL), public_key_of("qr-2")], [first, second]);
    }
}

in_own_process! {
    fn a_second_token_stands_beside_the_first() {
        provision_token();
        provision(&softhsm_module(), "another", &SO_PIN.into(), &PIN.into(), KEY_LABEL).expect("its labels are free");
        let slots = vec![HsmSlot { token_label: "another".to_owned(), ..slot() }];
        let another = Hsm::open(HsmConfig { slots, ..config() }, Papers).expect("opens");
        let its_key = block_on(another.find_key(KEY_LABEL)).expect("answers").remove(0).key.expect("a key");
        another.close();
        assert_ne!(its_key, public_key_of(KEY_LABEL));
    }
}

in_own_process! {
    fn what_cannot_be_created_is_refused_before_anything_is() {
        let module = softhsm_module();
        let try_with = |token_label: &str, so_pin: &str, pin: &str, key_label: &str| {
            provision(&module, token_label, &so_pin.into(), &pin.into(), key_label).expect_err("refused")
        };
        let long = "x".repeat(33);
        for label in ["", " cashgate", "cashgate ", &long] {
            let refused = try_with(label, SO_PIN, PIN, KEY_LABEL);
            assert!(matches!(refused, HsmProvisionError::Label { what: "a token label", .. }), "{label:?}: {refused:?}");
        }
        let refused = try_with(TOKEN_LABEL, SO_PIN, PIN, "");
        assert!(matches!(refused, HsmProvisionError::Label { what: "a key label", .. }), "{refused:?}");
        let refused = try_with(TOKEN_LABEL, SO_PIN, "123", KEY_LABEL);
        assert!(matches!(refused, HsmProvisionError::PinLength { which: "user PIN", min: 4, .. }), "{refused:?}");
        let refused = try_with(TOKEN_LABEL, "", PIN, KEY_LABEL);
        assert!(matches!(refused, HsmProvisionError::PinLength { which: "security officer PIN", .. }), "{refused:?}");
        // All labels are still free.
        provision_token();
    }
}

in_own_process! {
    fn a_key_for_a_token_that_is_not_there_or_with_a_wrong_pin_is_refused() {
        let absent = create_signing_key(&softhsm_module(), TOKEN_LABEL, &PIN.into(), KEY_LABEL);
        assert!(matches!(absent, Err(HsmProvisionError::Token(HsmTokenError::Missing { .. }))), "{absent:?}");
        provision_token();
        let refused = create_signing_key(&softhsm_module(), TOKEN_LABEL, &"00000000".into(), "qr-2");
        assert!(matches!(refused, Err(HsmProvisionError::Token(HsmTokenError::PinRefused { .. }))), "{refused:?}");
    }
}

in_own_process! {
    fn nothing_is_created_while_an_hsm_is_open() {
        provision_token();
        let hsm = Hsm::open(config(), Papers).expect("opens");
        let refused = create_signing_key(&softhsm_module(), TOKEN_LABEL, &PIN.into(), "qr-2");
        assert!(matches!(refused, Err(HsmProvisionError::Module(HsmModuleError::AlreadyOpen { .. }))), "{refused:?}");
        hsm.close();
    }
}

fn public_key_of(signing_key_label: &str) -> cashgate_hsm::SigningPublicKey {
    let config = HsmConfig { signing_key_label: signing_key_label.to_owned(), ..config() };
    let hsm = Hsm::open(config, Papers).expect("opens");
    let found = block_on(hsm.find_key(signing_key_label)).expect("answers").remove(0).key.expect("a key");
    let signed = block_on(hsm.sign(b"paper".to_vec())).expect("signs");
    assert!(signed.verifies(b"paper") && signed.is_signed_by(&found));
    hsm.close();
    found
}
