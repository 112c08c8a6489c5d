//! The faulty module does what it is ordered, so that tests which rely on it are not green by accident.

use std::time::{Duration, Instant};

use cryptoki::error::RvError;
use cryptoki::session::UserType;

use crate::direct::{Direct, code};
use crate::faulty::{FINALIZED_OVER_CALLS, HANGING};
use crate::harness::{PIN, in_own_process};

in_own_process! {
    fn without_orders_it_passes_and_counts() on (Kind::SoftHsm) |module| {
        let before = ["C_Initialize", "C_Login", "C_SignInit", "C_Sign", "C_Finalize"].map(|name| module.faulty.calls(name));
        let direct = Direct::open_faulty(&module);
        let signature = direct.sign().expect("signs");
        direct.verify(&signature).expect("verifies");
        direct.finalize().expect("finalises");
        let after = ["C_Initialize", "C_Login", "C_SignInit", "C_Sign", "C_Finalize"].map(|name| module.faulty.calls(name));
        let made: Vec<u64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        // C_Sign twice: cryptoki asks for the length first.
        assert_eq!(made, [1, 1, 1, 2, 1]);
        assert_eq!(module.faulty.calls(FINALIZED_OVER_CALLS), 0);
    }
}

in_own_process! {
    fn a_call_is_delayed_by_what_was_ordered_and_hardly_more() on (Kind::SoftHsm) |module| {
        let direct = Direct::open_faulty(&module);
        module.faulty.order(&["delay C_SignInit 5ms"]);
        let mut lasted: Vec<Duration> = (0..41).map(|_| time(|| direct.sign().expect("signs")).1).collect();
        lasted.sort();
        assert!(lasted[0] >= Duration::from_millis(5), "{lasted:?}");
        // The median, because other tests share the processors.
        assert!(lasted[20] < Duration::from_millis(7), "{lasted:?}");
        module.faulty.behave();
        assert!(time(|| direct.sign().expect("signs")).1 < Duration::from_millis(5));
        direct.finalize().expect("finalises");
    }
}

in_own_process! {
    fn a_call_hangs_until_the_order_is_gone_and_never_reaches_a_module_that_was_finalised() on (Kind::SoftHsm) |module| {
        let direct = Direct::open_faulty(&module);
        let context = direct.context.clone();
        module.faulty.order(&["hang C_Sign times 1"]);
        let hanging = std::thread::spawn(move || {
            let answer = direct.sign();
            // Dropped, it would close an HSM session of the module's next life: see the test below.
            std::mem::forget(direct);
            answer
        });
        while module.faulty.inside(HANGING) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(50));
        assert!(!hanging.is_finished());
        // Other calls go on meanwhile.
        context.get_library_info().expect("answers");
        context.finalize().expect("finalises");
        assert_eq!(module.faulty.calls(FINALIZED_OVER_CALLS), 1);
        let again = Direct::open_faulty(&module);
        module.faulty.behave();
        let answer = hanging.join().expect("the call returns");
        assert!(matches!(code(answer), Some(RvError::CryptokiNotInitialized)));
        again.sign().expect("the new HSM session is not disturbed");
        again.finalize().expect("finalises");
    }
}

in_own_process! {
    fn an_hsm_session_from_before_a_restart_closes_anothers_when_it_is_dropped() on (Kind::SoftHsm) |module| {
        let before = Direct::open(&module);
        before.context.clone().finalize().expect("finalises");
        let after = Direct::open(&module);
        after.sign().expect("signs");
        // cryptoki closes an HSM session on drop, and the module gave its handle to the new one.
        drop(before);
        assert!(matches!(code(after.sign()), Some(RvError::SessionHandleInvalid)));
        after.finalize().expect("finalises");
    }
}

in_own_process! {
    fn it_fails_so_many_times_or_each_so_manyth_time() on (Kind::SoftHsm) |module| {
        let direct = Direct::open_faulty(&module);
        let succeed = |n: usize| (0..n).map(|_| direct.sign().is_ok()).collect::<Vec<_>>();
        module.faulty.order(&["fail C_SignInit CKR_DEVICE_MEMORY times 2"]);
        assert!(matches!(code(direct.sign()), Some(RvError::DeviceMemory)));
        assert_eq!(succeed(3), [false, true, true]);
        module.faulty.order(&["fail C_SignInit 0x30 every 3"]);
        assert_eq!(succeed(6), [true, true, false, true, true, false]);
        module.faulty.behave();
        assert_eq!(succeed(3), [true; 3]);
        direct.finalize().expect("finalises");
    }
}

in_own_process! {
    fn counted_orders_outlive_a_context_that_is_thrown_away() on (Kind::SoftHsm) |module| {
        module.faulty.order(&["fail C_Initialize CKR_DEVICE_ERROR times 3"]);
        let open = || Direct::try_open(module.faulty.module(), module.token_label).map(|direct| direct.finalize().is_ok());
        let opened: Vec<bool> = (0..4).map(|_| open().is_ok()).collect();
        assert_eq!(opened, [false, false, false, true]);
    }
}

in_own_process! {
    fn a_sticky_failure_lasts_until_the_module_is_finalised() on (Kind::SoftHsm) |module| {
        let direct = Direct::open_faulty(&module);
        module.faulty.order(&["fail C_Sign CKR_DEVICE_ERROR sticky"]);
        assert!(matches!(code(direct.sign()), Some(RvError::DeviceError)));
        module.faulty.behave();
        assert!(matches!(code(direct.sign()), Some(RvError::DeviceError)), "the order is gone, the failure is not");
        assert!(matches!(code(direct.context.open_rw_session(direct.slot)), Some(RvError::DeviceError)));
        direct.finalize().expect("finalises");
        let again = Direct::open_faulty(&module);
        again.sign().expect("signs");
        again.finalize().expect("finalises");
    }
}

in_own_process! {
    fn signatures_and_nonces_are_wrong_or_short_when_ordered() on (Kind::SoftHsm) |module| {
        let direct = Direct::open_faulty(&module);
        module.faulty.order(&["wrong C_Sign", "wrong C_GenerateRandom"]);
        let signature = direct.sign().expect("the module says that it signed");
        assert!(matches!(code(direct.verify(&signature)), Some(RvError::SignatureInvalid)));
        assert_eq!(direct.hsm_session.generate_random_vec(16).expect("bytes"), [0; 16]);
        module.faulty.order(&["short C_Sign"]);
        assert_eq!(direct.sign().expect("the module says that it signed").len(), 32);
        module.faulty.behave();
        let signature = direct.sign().expect("signs");
        direct.verify(&signature).expect("verifies");
        module.faulty.order(&["wrong C_Verify"]);
        assert!(matches!(code(direct.verify(&signature)), Some(RvError::SignatureInvalid)));
        assert!(direct.verify(&[1; 64]).is_ok());
        direct.finalize().expect("finalises");
    }
}

in_own_process! {
    fn slots_are_renumbered_or_gone_when_ordered() on (Kind::SoftHsm) |module| {
        let direct = Direct::open_faulty(&module);
        let slots = || direct.context.get_slots_with_token().expect("slots").iter().map(|slot| slot.id()).collect::<Vec<_>>();
        let before = slots();
        module.faulty.order(&["renumber 7"]);
        assert_eq!(slots(), before.iter().map(|id| id + 7).collect::<Vec<_>>());
        assert!(matches!(code(direct.context.open_ro_session(direct.slot)), Some(RvError::SlotIdInvalid)), "the old id");
        assert_eq!(direct.hsm_session.get_session_info().expect("open").slot_id().id(), direct.slot.id() + 7);
        direct.finalize().expect("finalises");
        let again = Direct::open_faulty(&module);
        again.sign().expect("the HSM token is found by its label");
        module.faulty.order(&["short C_GetSlotList"]);
        assert_eq!(again.context.get_slots_with_token().expect("a list"), []);
        module.faulty.order(&["short C_FindObjects"]);
        assert_eq!(again.hsm_session.find_objects(&[]).expect("a list"), []);
        again.finalize().expect("finalises");
    }
}

in_own_process! {
    fn sessions_and_login_are_lost_when_ordered() on (Kind::SoftHsm) |module| {
        let direct = Direct::open_faulty(&module);
        module.faulty.order(&["lose_sessions C_SignInit times 1"]);
        assert!(matches!(code(direct.sign()), Some(RvError::SessionHandleInvalid)));
        assert!(matches!(code(direct.sign()), Some(RvError::SessionHandleInvalid)));
        let fresh = direct.context.open_rw_session(direct.slot).expect("a new HSM session");
        fresh.login(UserType::User, Some(&PIN.into())).expect("the login was lost too");
        fresh.close().expect("closes");
        direct.finalize().expect("finalises");
    }
}

#[allow(clippy::disallowed_methods, reason = "how long a call really takes is what is tested")]
fn time<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = call();
    (result, start.elapsed())
}
