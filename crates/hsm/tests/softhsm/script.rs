//! `hsm-config/create-keys.sh`, run as an operator would.

use std::fs;
use std::process::{Command, Output};

use cashgate_hsm::{Hsm, HsmConfig};

use crate::harness::{
    KEY_LABEL, PIN, Papers, SO_PIN, TOKEN_LABEL, block_on, config, directory, in_own_process, softhsm_module,
    spied_calls, spy_module,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hsm-config/create-keys.sh");

in_own_process! {
    fn its_token_and_keys_open() {
        let created = create(KEY_LABEL, true);
        assert!(created.status.success(), "{}", said(&created));
        assert_opens(KEY_LABEL);
        let one_more = create("qr-2", false);
        assert!(one_more.status.success(), "{}", said(&one_more));
        assert_opens("qr-2");
        assert_opens(KEY_LABEL);
    }
}

in_own_process! {
    fn it_overwrites_no_key() {
        assert!(create(KEY_LABEL, true).status.success());
        let again = create(KEY_LABEL, true);
        assert_eq!(again.status.code(), Some(1), "{}", said(&again));
        assert!(said(&again).contains("already exists"), "{}", said(&again));
        assert_opens(KEY_LABEL);
    }
}

in_own_process! {
    fn a_new_token_needs_the_security_officer() {
        let refused = create(KEY_LABEL, false);
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains("add --so-pin-file"), "{}", said(&refused));
    }
}

in_own_process! {
    fn a_wrong_pin_is_tried_once() {
        assert!(create(KEY_LABEL, true).status.success());
        let (pin_file, _) = pin_files();
        fs::write(&pin_file, "00000000\n").expect("a file");
        let refused = Command::new(SCRIPT)
            .args(["--token-label", TOKEN_LABEL, "--key-label", "qr-2", "--pin-file", &pin_file])
            .args(["--module".as_ref(), spy_module().as_os_str()])
            .output()
            .expect("the script runs");
        assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
        assert!(said(&refused).contains("It was tried once"), "{}", said(&refused));
        assert_eq!(spied_calls("C_Login"), 1);
    }
}

in_own_process! {
    fn without_arguments_it_explains_itself() {
        let refused = Command::new(SCRIPT).output().expect("the script runs");
        assert_eq!(refused.status.code(), Some(2));
        assert!(said(&refused).starts_with("usage: create-keys.sh"), "{}", said(&refused));
    }
}

fn create(key_label: &str, with_so_pin: bool) -> Output {
    let (pin_file, so_pin_file) = pin_files();
    let mut command = Command::new(SCRIPT);
    command.args(["--token-label", TOKEN_LABEL, "--key-label", key_label, "--pin-file", &pin_file]);
    command.args(["--module".as_ref(), softhsm_module().as_os_str()]);
    if with_so_pin {
        command.args(["--so-pin-file", &so_pin_file]);
    }
    command.output().expect("the script runs")
}

/// One with a line's end, one without: people write both.
fn pin_files() -> (String, String) {
    let file = |name: &str, text: String| {
        let path = directory().join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    (file("pin", format!("{PIN}\n")), file("so-pin", SO_PIN.to_owned()))
}

fn assert_opens(signing_key_label: &str) {
    let config = HsmConfig { signing_key_label: signing_key_label.to_owned(), ..config() };
    let hsm = Hsm::open(config, Papers).expect("opens");
    block_on(hsm.sign(b"paper".to_vec())).expect("signs");
    hsm.close();
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
