//! The HSM answers with errors, loses HSM sessions, or answers wrongly.

use std::time::Duration;

use cashgate_hsm::{HsmConfig, HsmError, HsmState, HsmStats};

use super::{config, never_finalised_over_a_call};
use crate::harness::{ModuleUnderTest, in_own_process};
use crate::load::{Load, ask_once, now, opened, reason, until, until_proved, until_signed_more, until_state};

in_own_process! {
    fn one_lost_hsm_session_costs_one_worker_and_no_caller_an_error() on (Kind::SoftHsm) |module| {
        let config = config(&module);
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        until_signed_more(&hsm, 100);
        until_proved(&hsm, &module.faulty, 4);
        let sessions = module.faulty.calls("C_OpenSession");
        module.faulty.order(&["fail C_Sign CKR_SESSION_HANDLE_INVALID times 1"]);
        until("a worker fails", &hsm, || hsm.stats().failures == 1);
        until_state(&hsm, HsmState::Ready);
        until_signed_more(&hsm, 100);
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_no_error();
        let HsmStats { failures, reopened, stuck, .. } = hsm.stats();
        assert_eq!((failures, reopened, stuck), (1, 0, 0));
        assert_eq!(module.faulty.calls("C_OpenSession") - sessions, 1, "one was replaced");
        assert_eq!(module.faulty.calls("C_Login"), 1);
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn a_device_that_loses_every_hsm_session_costs_no_caller_an_error() on (Kind::SoftHsm) |module| {
        let config = HsmConfig { workers: 8, ..config(&module) };
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        let mut recovered = Vec::new();
        for round in 1..=5 {
            until_signed_more(&hsm, 100);
            module.faulty.order(&["lose_sessions C_SignInit times 1"]);
            until("it fails", &hsm, || hsm.stats().reopened >= round);
            module.faulty.behave();
            recovered.push(until_state(&hsm, HsmState::Ready));
        }
        until_signed_more(&hsm, 100);
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_no_error();
        println!("recovered in {recovered:?}; {book:?}; {:?}", hsm.stats());
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn while_it_is_lost_calls_are_refused_at_once_and_attempts_are_paced() on (Kind::SoftHsm) |module| {
        // The pauses of the configuration count, whatever the deadline for calls is: also pauses shorter than its eighth.
        let config = HsmConfig {
            call_deadline: Duration::from_secs(8),
            retry_first: Duration::from_millis(100),
            retry_max: Duration::from_millis(400),
            ..config(&module)
        };
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        until_signed_more(&hsm, 100);
        module.faulty.order(&["fail * CKR_DEVICE_ERROR"]);
        until("callers hear of it", &hsm, || matches!(ask_once(&hsm), Err(HsmError::Lost { .. })));
        assert_eq!(hsm.state(), HsmState::Lost);
        assert!(reason(&hsm).contains("CKR_DEVICE_ERROR"), "{}", reason(&hsm));
        let (before, since) = (module.faulty.calls("C_Initialize"), now());
        let (refusals, mut slowest) = (200_u32, Duration::ZERO);
        for _ in 0..refusals {
            let asked = now();
            assert!(matches!(ask_once(&hsm), Err(HsmError::Lost { .. })));
            slowest = slowest.max(asked.elapsed());
            std::thread::sleep(Duration::from_millis(10));
        }
        let (attempts, took) = (module.faulty.calls("C_Initialize") - before, since.elapsed());
        assert!(slowest < Duration::from_secs(1), "refused at once, not after {slowest:?}");
        let most = 4 + took.as_millis() / 400;
        assert!(attempts > 0 && u128::from(attempts) <= most, "{attempts} attempts in {took:?}");
        module.faulty.behave();
        let recovered = until_state(&hsm, HsmState::Ready);
        until_signed_more(&hsm, 100);
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_only(&["lost", "failed"]);
        println!("{attempts} attempts in {took:?}, at most {most}; recovered in {recovered:?}; {book:?}");
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn a_failure_that_only_a_new_start_of_the_module_cures_is_cured() on (Kind::SoftHsm) |module| {
        let config = config(&module);
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        until_signed_more(&hsm, 100);
        module.faulty.order(&["fail C_Sign CKR_DEVICE_ERROR sticky times 1"]);
        until("the module is opened again", &hsm, || hsm.stats().reopened > 0);
        let recovered = until_state(&hsm, HsmState::Ready);
        until_signed_more(&hsm, 100);
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_no_error();
        println!("recovered in {recovered:?}; {book:?}");
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn a_wrong_signature_never_leaves_and_the_slot_is_lost_if_there_are_more() on (Kind::SoftHsm) |module| {
        let config = config(&module);
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        for (workers, order, said) in [
            (4, "wrong C_Sign", "C_Sign: a signature that does not verify"),
            (5, "short C_Sign", "C_Sign: 32 bytes instead of a P-256 signature's 64"),
        ] {
            until_signed_more(&hsm, 100);
            until_proved(&hsm, &module.faulty, workers);
            let failures = hsm.stats().failures;
            module.faulty.order(&[&format!("{order} times 1")]);
            let mut why = String::new();
            until("one worker fails", &hsm, || {
                let now = reason(&hsm);
                why = if now.is_empty() { std::mem::take(&mut why) } else { now };
                hsm.stats().failures > failures
            });
            until_state(&hsm, HsmState::Ready);
            assert_eq!((hsm.stats().failures - failures, hsm.stats().reopened), (1, 0), "{order}: one worker");
            assert!(why.is_empty() || why.contains(said), "{order}: {why}");
        }
        load.stop().has_no_error();
        let load = Load::start(&hsm, 40);
        for order in ["wrong C_Sign", "short C_Sign", "wrong C_GenerateRandom"] {
            until_signed_more(&hsm, 1_000);
            module.faulty.order(&[order]);
            until_state(&hsm, HsmState::Lost);
            println!("{order}: {}", reason(&hsm));
            std::thread::sleep(Duration::from_millis(500));
            module.faulty.behave();
            until_state(&hsm, HsmState::Ready);
        }
        until_signed_more(&hsm, 100);
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_only(&["lost", "failed", "timed out"]);
        println!("{book:?}");
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn an_hsm_that_is_wrong_now_and_then_hands_out_only_what_is_right() on (Kind::SoftHsm) |module| {
        wrong_now_and_then(&module);
    }
}

in_own_process! {
    fn it_does_so_too_where_codes_are_handed_out_on_the_callers_runtime() on (Kind::SoftHsm) |module| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
        let _inside = runtime.enter();
        wrong_now_and_then(&module);
    }
}

fn wrong_now_and_then(module: &ModuleUnderTest) {
    let config = config(module);
    let hsm = opened(config.clone());
    let load = Load::start(&hsm, 40);
    module.faulty.order(&[
        "wrong C_Sign every 7",
        "fail C_SignInit CKR_FUNCTION_FAILED every 11",
        "short C_Sign every 23",
    ]);
    until_signed_more(&hsm, 3_000);
    module.faulty.behave();
    until_state(&hsm, HsmState::Ready);
    let book = load.stop();
    book.is_in_order(config.patience);
    let failures = hsm.stats().failures;
    assert!(failures > 10, "{failures}");
    println!("{failures} failures: {book:?}");
    hsm.close();
    never_finalised_over_a_call(module);
}
