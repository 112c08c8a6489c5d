//! The HSM is another process, which dies, comes back and freezes, all under load.

use std::time::Duration;

use cashgate_hsm::{HsmConfig, HsmError, HsmState};

use super::{config, never_finalised_over_a_call};
use crate::harness::{ModuleUnderTest, in_own_process};
use crate::load::{Load, ask_once, opened, reason, until, until_signed_more, until_state};

/// `p11-kit-client.so` 0.24 leaves a call inside itself for ever if its server dies while several are under way. It serves them one by one anyway.
const WORKERS: usize = 1;

in_own_process! {
    fn a_server_that_is_killed_and_restarted_again_and_again() on (Kind::RemoteSoftHsm) |module| {
        let config = HsmConfig {
            workers: WORKERS,
            retry_first: Duration::from_millis(20),
            retry_max: Duration::from_millis(200),
            ..config(&module)
        };
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        let server = module.server.as_mut().expect("the remote kind has one");
        let mut recovered = Vec::new();
        for away_ms in [0, 100, 300, 1_000, 2_000, 0, 50] {
            until_signed_more(&hsm, 200);
            server.kill();
            if away_ms > 0 {
                until("callers hear of it", &hsm, || matches!(ask_once(&hsm), Err(HsmError::Lost { .. })));
                assert_eq!(hsm.state(), HsmState::Lost);
                // Its module answers, and shows no HSM tokens.
                until("the reason is told", &hsm, || reason(&hsm).contains("no HSM token is labelled \"cashgate\" (there is none at all)"));
                std::thread::sleep(Duration::from_millis(away_ms));
            }
            server.restart();
            let signs = until_signed_more(&hsm, 1);
            recovered.push(signs.max(until_state(&hsm, HsmState::Ready)));
        }
        until_signed_more(&hsm, 200);
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_only(&["lost", "failed"]);
        recovered.sort();
        println!("recovered in {recovered:?}, median {:?}; {book:?}; {:?}", recovered[recovered.len() / 2], hsm.stats());
        assert!(recovered.iter().all(|one| *one < Duration::from_secs(10)), "{recovered:?}");
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn a_frozen_server_keeps_nobody_waiting_for_long_and_goes_on_when_it_thaws() on (Kind::RemoteSoftHsm) |module| {
        let config = HsmConfig {
            workers: WORKERS,
            call_deadline: Duration::from_millis(400),
            patience: Duration::from_secs(3),
            ..config(&module)
        };
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        let server = module.server.as_ref().expect("the remote kind has one");
        let mut thawed = Vec::new();
        for _ in 0..2 {
            until_signed_more(&hsm, 100);
            server.freeze();
            until_state(&hsm, HsmState::Lost);
            until("callers are refused at once", &hsm, || matches!(ask_once(&hsm), Err(HsmError::Lost { .. })));
            until("the reason is told", &hsm, || reason(&hsm).contains("PKCS#11 calls do not return"));
            server.thaw();
            thawed.push(until_state(&hsm, HsmState::Ready));
        }
        until_signed_more(&hsm, 100);
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_only(&["lost", "timed out", "failed"]);
        println!("ready {thawed:?} after the thaw; {book:?}; {:?}", hsm.stats());
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn a_signature_is_two_calls_on_softhsm() on (Kind::SoftHsm) |module| {
        two_calls(&module);
    }
}

in_own_process! {
    fn a_signature_is_two_calls_on_softokn() on (Kind::Softokn) |module| {
        two_calls(&module);
    }
}

in_own_process! {
    fn a_module_that_gives_another_list_of_functions_each_time_signs_in_cryptokis_three_calls() on (Kind::RemoteSoftHsm) |module| {
        // Behind the faulty module, whose list is one, in two.
        two_calls(&module);
        let hsm = opened(crate::api::config(&crate::api::Access::of(&module)));
        ask_once(&hsm).expect("signs");
        hsm.close();
    }
}

fn two_calls(module: &ModuleUnderTest) {
    let config = HsmConfig { workers: 2, ..config(module) };
    let calls = |name: &str| module.faulty.calls(name);
    let drawn = calls("C_GenerateRandom");
    let hsm = opened(config);
    // Each makes a trial signature in three calls when it starts, and draws nonces after that.
    until("both workers are there", &hsm, || calls("C_GenerateRandom") == drawn + 2);
    let before = [calls("C_SignInit"), calls("C_Sign")];
    for _ in 0..20 {
        ask_once(&hsm).expect("signs");
    }
    assert_eq!([calls("C_SignInit") - before[0], calls("C_Sign") - before[1]], [20, 20]);
    hsm.close();
}
