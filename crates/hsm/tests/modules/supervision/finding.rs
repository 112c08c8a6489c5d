//! HSM tokens, slots, PINs and keys that go, come back, or are not what they were.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cashgate_hsm::{HsmConfig, HsmError, HsmSlot, HsmState, Pin};

use super::{config, never_finalised_over_a_call};
use crate::harness::{PIN, in_own_process, softhsm_tokens};
use crate::load::{Load, ask_once, now, opened, reason, until, until_signed_more, until_state};

in_own_process! {
    fn an_hsm_token_that_is_removed_and_put_back() on (Kind::SoftHsm) |module| {
        let config = config(&module);
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        let (tokens, elsewhere) = (softhsm_tokens(), softhsm_tokens().with_extension("away"));
        let mut recovered = Vec::new();
        for _ in 0..5 {
            until_signed_more(&hsm, 100);
            fs::rename(&tokens, &elsewhere).expect("moved away");
            fs::create_dir(&tokens).expect("an empty reader");
            until("callers hear of it", &hsm, || matches!(ask_once(&hsm), Err(HsmError::Lost { .. })));
            assert_eq!(hsm.state(), HsmState::Lost);
            until("the reason is told", &hsm, || reason(&hsm).contains("no HSM token is labelled \"cashgate\" (there is none at all)"));
            std::thread::sleep(Duration::from_millis(300));
            fs::remove_dir_all(&tokens).expect("SoftHSM2 left it");
            fs::rename(&elsewhere, &tokens).expect("put back");
            recovered.push(until_state(&hsm, HsmState::Ready));
        }
        until_signed_more(&hsm, 100);
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_only(&["lost", "failed"]);
        recovered.sort();
        println!("recovered in {recovered:?}; {book:?}; {:?}", hsm.stats());
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn a_slot_that_has_another_number_when_the_module_is_opened_again() on (Kind::SoftHsm) |module| {
        let config = config(&module);
        let hsm = opened(config.clone());
        let load = Load::start(&hsm, 40);
        until_signed_more(&hsm, 100);
        // The device starts again. The old number is refused from the next call on that takes one.
        module.faulty.order(&["renumber 7", "lose_sessions C_SignInit times 1"]);
        until("the module is opened again", &hsm, || hsm.stats().reopened > 0);
        let recovered = until_state(&hsm, HsmState::Ready);
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
    fn a_wrong_pin_is_tried_once_however_often_the_module_is_opened_and_a_corrected_one_heals() on (Kind::SoftHsm) |module| {
        wrong_pin(&module);
    }
}

in_own_process! {
    fn on_softokn_a_wrong_pin_is_tried_once_too() on (Kind::Softokn) |module| {
        wrong_pin(&module);
    }
}

in_own_process! {
    fn behind_a_server_a_wrong_pin_is_tried_once_too() on (Kind::RemoteSoftHsm) |module| {
        wrong_pin(&module);
    }
}

fn wrong_pin(module: &crate::harness::ModuleUnderTest) {
    // What the file with the PIN holds in turn.
    const HELD: [&str; 3] = ["00000000", "11111111", PIN];
    let held = Arc::new(AtomicUsize::new(0));
    let file = Arc::clone(&held);
    let pin = Pin::read_by(move || Ok(HELD[file.load(Ordering::SeqCst)].into()));
    let config = config(module);
    let slots = config.slots.into_iter().map(|slot| HsmSlot { pin: pin.clone(), ..slot }).collect();
    let before = module.faulty.calls("C_Login");
    let hsm = opened(HsmConfig {
        slots,
        retry_first: Duration::from_millis(5),
        retry_max: Duration::from_millis(20),
        ..config
    });
    for (turn, wrong) in HELD.iter().enumerate().take(2) {
        held.store(turn, Ordering::SeqCst);
        let opened = module.faulty.calls("C_Initialize");
        until("it was tried to open it many times", &hsm, || module.faulty.calls("C_Initialize") > opened + 20);
        let said = reason(&hsm);
        assert!(said.contains("it was tried once") && !said.contains(wrong), "{said}");
        assert_eq!(module.faulty.calls("C_Login") - before, 1 + turn as u64, "one login for each PIN");
        assert!(matches!(ask_once(&hsm), Err(HsmError::Lost { .. })));
    }
    held.store(2, Ordering::SeqCst);
    println!("ready {:?} after the PIN was corrected", until_state(&hsm, HsmState::Ready));
    assert_eq!(module.faulty.calls("C_Login") - before, 3);
    ask_once(&hsm).expect("signs");
    hsm.close();
    never_finalised_over_a_call(module);
}

in_own_process! {
    fn a_locked_pin_is_told_and_works_when_the_security_officer_has_unlocked_it() on (Kind::SoftHsm) |module| {
        module.faulty.order(&["fail C_Login CKR_PIN_LOCKED"]);
        let (hsm, since) = (opened(config(&module)), now());
        let said = reason(&hsm);
        assert!(said.contains("is locked: the security officer has to set a new one"), "{said}");
        std::thread::sleep(Duration::from_secs(2));
        let (logins, took) = (module.faulty.calls("C_Login"), since.elapsed());
        assert!(u128::from(logins) <= 6 + took.as_millis() / 400, "as seldom as the pauses say: {logins} in {took:?}");
        assert_eq!(hsm.state(), HsmState::Lost);
        module.faulty.behave();
        until_state(&hsm, HsmState::Ready);
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}
