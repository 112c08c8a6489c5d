//! Another key signs, under load.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use cashgate_hsm::{HsmConfig, HsmError, HsmState};

use super::{config, never_finalised_over_a_call};
use crate::api::make_key;
use crate::harness::{KEY_LABEL, PIN, in_own_process, softhsm_module, softhsm_tokens};
use crate::load::{Load, ask_once, opened, reason, until, until_signed_more, until_state};

in_own_process! {
    fn two_hundred_callers_sign_through_many_rotations_and_none_sees_an_error() on (Kind::SoftHsm) |module| {
        make_key(&softhsm_module(), module.token_label, PIN, "qr-2");
        let config = config(&module);
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 200);
        for label in ["qr-2", KEY_LABEL].into_iter().cycle().take(20) {
            until_signed_more(&hsm, 500);
            hsm.sign_with(label);
            assert_eq!(hsm.signing_key_label(), label);
        }
        until_signed_more(&hsm, 500);
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_no_error();
        let stats = hsm.stats();
        assert_eq!((hsm.state(), stats.failures, stats.reopened), (HsmState::Ready, 0, 0));
        println!("{book:?}");
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn a_key_that_is_missing_or_of_the_wrong_type_loses_the_slot_until_there_is_a_right_one() on (Kind::SoftHsm) |module| {
        crate::suite::make_keys_of_wrong_types(&module);
        let config = HsmConfig { workers: 2, ..config(&module) };
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 20);
        let cases = [
            ("qr-9", "has no private key labelled \"qr-9\""),
            ("rsa", "its CKA_KEY_TYPE is CKK_RSA and must be CKK_EC"),
            ("p384", "its CKA_EC_PARAMS is 06052b81040022 and must be 06082a8648ce3d030107"),
            ("extractable", "its CKA_EXTRACTABLE is true and must be false"),
        ];
        for (label, said) in cases {
            until_signed_more(&hsm, 50);
            hsm.sign_with(label);
            until("callers hear of it", &hsm, || matches!(ask_once(&hsm), Err(HsmError::Lost { .. })));
            assert!(reason(&hsm).contains(said), "{label}: {}", reason(&hsm));
            hsm.sign_with(KEY_LABEL);
            println!("{label}: ready again after {:?}", until_state(&hsm, HsmState::Ready));
        }
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_only(&["lost", "failed"]);
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn a_missing_key_is_found_as_soon_as_another_process_has_made_it() on (Kind::SoftHsm) |module| {
        // SoftHSM2 rewrites its file at each login, and for a moment others find it empty: so there are pauses, and the script is run again.
        let pause = Duration::from_secs(2);
        let hsm = opened(HsmConfig { retry_first: pause, retry_max: pause, ..config(&module) });
        hsm.sign_with("qr-2");
        until("it is lost", &hsm, || matches!(ask_once(&hsm), Err(HsmError::Lost { .. })));
        create_key_elsewhere(module.token_label, "qr-2");
        println!("ready after {:?}", until_state(&hsm, HsmState::Ready));
        ask_once(&hsm).expect("signs");
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

/// As an operator does it, with the script of `hsm-config`.
fn create_key_elsewhere(token_label: &str, label: &str) {
    let pin_file = softhsm_tokens().with_extension("pin");
    std::fs::write(&pin_file, PIN).expect("a new file");
    std::fs::set_permissions(&pin_file, std::fs::Permissions::from_mode(0o600)).expect("a file of ours");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hsm-config/create-keys.sh");
    let made = (0..5).any(|_| {
        let made = Command::new(script)
            .args(["--token-label", token_label, "--key-label", label, "--pin-file"])
            .arg(&pin_file)
            .output()
            .expect("the script runs: install the Debian package opensc");
        println!("{}", String::from_utf8_lossy(&made.stderr));
        made.status.success()
    });
    assert!(made, "the script makes a key");
}
