//! Calls that do not return.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cashgate_hsm::{HsmConfig, HsmError, HsmState};

use super::{config, never_finalised_over_a_call};
use crate::faulty::HANGING;
use crate::harness::{KEY_LABEL, ModuleUnderTest, in_own_process};
use crate::load::{Load, ask_once, now, opened, reason, until, until_proved, until_signed_more, until_state};

/// Small enough for a test, large enough that a busy machine does not make good calls late.
const CALL_DEADLINE: Duration = Duration::from_millis(400);

fn hanging_config(module: &ModuleUnderTest) -> HsmConfig {
    HsmConfig { call_deadline: CALL_DEADLINE, patience: Duration::from_secs(4), ..config(module) }
}

/// A stuck worker is found after a deadline and an eighth; the rest is for a busy machine.
const FOUND_WITHIN: Duration = Duration::from_secs(3);

in_own_process! {
    fn some_calls_hang_and_their_workers_are_replaced_while_the_others_go_on() on (Kind::SoftHsm) |module| {
        let config = HsmConfig { patience: Duration::from_secs(3), ..hanging_config(&module) };
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        until_signed_more(&hsm, 100);
        until_proved(&hsm, &module.faulty, 4);
        module.faulty.order(&["hang C_Sign times 2"]);
        let found = until("two are given up", &hsm, || hsm.stats().stuck == 2);
        assert!(found < FOUND_WITHIN, "{found:?}");
        until("two others work", &hsm, || hsm.slots()[0].workers == 4);
        assert_eq!((hsm.state(), hsm.slots()[0].stuck), (HsmState::Degraded, 2));
        assert!(reason(&hsm).contains("did not return within hsm.call_deadline_ms"), "{}", reason(&hsm));
        until_signed_more(&hsm, 500);
        // What they held is in other hands: nobody's patience ends while the calls hang on.
        std::thread::sleep(config.patience);
        assert_eq!(hsm.stats().timed_out, 0);
        module.faulty.behave();
        until_state(&hsm, HsmState::Ready);
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_no_error();
        assert_eq!((hsm.stats().stuck, hsm.stats().reopened), (2, 0));
        println!("found in {found:?}; {book:?}");
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn more_calls_hang_than_may_be_replaced_and_all_workers_are_there_again_when_they_return() on (Kind::SoftHsm) |module| {
        let config = hanging_config(&module);
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        until_signed_more(&hsm, 100);
        until_proved(&hsm, &module.faulty, 4);
        // Four workers and four in their place; three of those hang too.
        module.faulty.order(&["hang C_Sign times 7"]);
        until("seven are given up", &hsm, || hsm.stats().stuck == 7);
        until("one works", &hsm, || hsm.slots()[0].workers == 1);
        assert_eq!(hsm.state(), HsmState::Degraded);
        until_signed_more(&hsm, 100);
        module.faulty.behave();
        until_state(&hsm, HsmState::Ready);
        assert_eq!((hsm.slots()[0].workers, hsm.stats().reopened), (4, 0));
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_only(&["timed out"]);
        println!("{book:?}");
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn every_call_hangs_and_callers_are_answered_all_the_same_and_it_heals_when_they_return() on (Kind::SoftHsm) |module| {
        let config = hanging_config(&module);
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        until_signed_more(&hsm, 100);
        module.faulty.order(&["hang *"]);
        let lost = until_state(&hsm, HsmState::Lost);
        let refused = until("callers are refused at once", &hsm, || matches!(ask_once(&hsm), Err(HsmError::Lost { .. })));
        until("the reason is told", &hsm, || reason(&hsm).contains("PKCS#11 calls do not return"));
        assert_eq!(hsm.slots()[0].stuck, 8, "no more threads than twice the workers");
        let initialized = module.faulty.calls("C_Initialize");
        std::thread::sleep(2 * CALL_DEADLINE);
        assert_eq!((module.faulty.calls("C_Finalize"), module.faulty.calls("C_Initialize")), (0, initialized));
        module.faulty.behave();
        let healed = until_state(&hsm, HsmState::Ready);
        until_signed_more(&hsm, 100);
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_only(&["timed out", "lost"]);
        println!("lost after {lost:?}, refused after {refused:?} more, healed in {healed:?}; {book:?}");
        assert!(hsm.stats().reopened <= 1, "opened anew at most once, or entered again as it was");
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn one_call_that_never_returns_does_not_keep_the_slot_from_coming_back_after_other_failures() on (Kind::SoftHsm) |module| {
        let config = hanging_config(&module);
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        until_signed_more(&hsm, 100);
        until_proved(&hsm, &module.faulty, 4);
        module.faulty.order(&["hang C_Sign times 1"]);
        until("one is given up", &hsm, || hsm.stats().stuck == 1);
        // Enough for every worker and every replacement, so that the slot is taken out.
        module.faulty.order(&["hang C_Sign times 1", "fail C_OpenSession CKR_DEVICE_ERROR times 2", "fail C_Sign CKR_DEVICE_REMOVED times 9"]);
        until("the slot is out", &hsm, || hsm.stats().refused > 0);
        until_state(&hsm, HsmState::Degraded);
        until_signed_more(&hsm, 100);
        assert_eq!((module.faulty.calls("C_Finalize"), hsm.slots()[0].stuck), (0, 1), "beside the call that hangs");
        module.faulty.behave();
        until_state(&hsm, HsmState::Ready);
        load.stop().is_in_order(config.patience);
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn a_key_that_is_asked_for_while_calls_hang_does_not_stop_supervision() on (Kind::SoftHsm) |module| {
        let config = hanging_config(&module);
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        until_signed_more(&hsm, 100);
        module.faulty.order(&["hang *"]);
        let asking = hsm.clone();
        let asked = std::thread::spawn(move || crate::api::runtime().block_on(asking.find_key(KEY_LABEL)));
        until_state(&hsm, HsmState::Lost);
        until("callers are refused at once", &hsm, || matches!(ask_once(&hsm), Err(HsmError::Lost { .. })));
        module.faulty.behave();
        until_state(&hsm, HsmState::Ready);
        let found = asked.join().expect("it is answered").expect("when the calls are back");
        assert!(found[0].key.is_ok(), "{found:?}");
        load.stop().is_in_order(config.patience);
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn closing_while_calls_hang_returns_and_leaves_the_module_alone() on (Kind::SoftHsm) |module| {
        let config = hanging_config(&module);
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        until_signed_more(&hsm, 100);
        module.faulty.order(&["hang C_Sign"]);
        until("calls hang", &hsm, || module.faulty.inside(HANGING) > 0);
        let since = now();
        hsm.clone().close();
        let took = since.elapsed();
        // As documented: two deadlines and five seconds.
        assert!(took < 2 * CALL_DEADLINE + Duration::from_secs(5 + 3), "{took:?}");
        assert!(matches!(ask_once(&hsm), Err(HsmError::Closed)));
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_only(&["closed", "lost", "timed out"]);
        assert_eq!(module.faulty.calls("C_Finalize"), 0, "it is left as it is");
        println!("closed in {took:?}; {book:?}");
        // The process ends with calls inside, as the gateway would.
        module.faulty.behave();
        until("the calls end", &hsm, || module.faulty.inside("C_Sign") == 0);
    }
}

in_own_process! {
    fn opening_an_hsm_that_hangs_ends_and_it_is_used_when_it_answers() on (Kind::SoftHsm) |module| {
        module.faulty.order(&["hang C_Login"]);
        let since = now();
        let hsm = opened(hanging_config(&module));
        let took = since.elapsed();
        assert!(took < Duration::from_secs(20 + 5), "{took:?}");
        assert_eq!(hsm.state(), HsmState::Lost);
        let asked = now();
        assert!(matches!(ask_once(&hsm), Err(HsmError::TimedOut | HsmError::Lost { .. })));
        assert!(asked.elapsed() < Duration::from_secs(4 + 5));
        module.faulty.behave();
        until_state(&hsm, HsmState::Ready);
        ask_once(&hsm).expect("signs");
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn a_call_that_hangs_while_its_slot_is_taken_out_is_given_up_too() on (Kind::SoftHsm) |module| {
        let config = hanging_config(&module);
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        until_signed_more(&hsm, 100);
        until_proved(&hsm, &module.faulty, 4);
        let hang = "hang C_Sign times 1";
        module.faulty.order(&[hang]);
        until("a call hangs", &hsm, || module.faulty.inside(HANGING) > 0);
        // Trial signatures fail too, so the slot is taken out around the call.
        module.faulty.order(&[hang, "fail C_SignInit CKR_FUNCTION_FAILED"]);
        let found = until("it is given up", &hsm, || hsm.stats().stuck == 1);
        assert!(found < FOUND_WITHIN, "{found:?}");
        until("callers hear of it", &hsm, || matches!(ask_once(&hsm), Err(HsmError::Lost { .. })));
        // However long it hangs, the module is not finalised around it.
        std::thread::sleep(3 * CALL_DEADLINE);
        assert_eq!(module.faulty.calls("C_Finalize"), 0);
        module.faulty.behave();
        until_state(&hsm, HsmState::Ready);
        let book = load.stop();
        book.is_in_order(config.patience);
        println!("found in {found:?}; {book:?}");
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn somebody_who_asks_for_keys_without_end_does_not_hide_a_call_that_hangs() on (Kind::SoftHsm) |module| {
        // So long that the keeper hears much more often than it looks for calls that hang.
        let config = HsmConfig { call_deadline: 4 * CALL_DEADLINE, ..hanging_config(&module) };
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        until_signed_more(&hsm, 100);
        let (asking, asked) = (hsm.clone(), Arc::new(AtomicBool::new(false)));
        let enough = Arc::clone(&asked);
        let asker = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            while !enough.load(Ordering::SeqCst) {
                let found = runtime.block_on(asking.find_key(KEY_LABEL)).expect("an answer");
                assert!(found[0].key.is_ok(), "{found:?}");
            }
        });
        // Only workers draw nonces.
        module.faulty.order(&["hang C_GenerateRandom times 1"]);
        let found = until("it is given up", &hsm, || hsm.stats().stuck == 1);
        assert!(found < 2 * FOUND_WITHIN, "{found:?}");
        module.faulty.behave();
        until_state(&hsm, HsmState::Ready);
        asked.store(true, Ordering::SeqCst);
        asker.join().expect("an answer each time");
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_no_error();
        println!("found in {found:?}; {book:?}");
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}
