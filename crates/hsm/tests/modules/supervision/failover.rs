//! Two slots of which one is sick: nobody notices but the operator.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cashgate_hsm::{HsmConfig, HsmError, HsmState};

use super::{config, never_finalised_over_a_call, slot};
use crate::api::make_hsm_token;
use crate::harness::{KEY_LABEL, ModuleUnderTest, PIN, SO_PIN, in_own_process, softhsm_module, softhsm_tokens};
use crate::load::{Load, PaperHsm, ask_once, now, opened, until, until_signed_more, until_state};

const SECOND: &str = "cashgate two";

/// The slot under test and one of another module: the first behind the faulty module and a server, the other SoftHSM2 itself.
fn of_two_modules(module: &ModuleUnderTest) -> HsmConfig {
    make_hsm_token(&softhsm_module(), SECOND, SO_PIN, PIN, KEY_LABEL);
    // One worker: see `remote.rs`.
    HsmConfig { workers: 1, ..two(module, &softhsm_module()) }
}

fn of_one_module(module: &ModuleUnderTest) -> HsmConfig {
    make_hsm_token(&softhsm_module(), SECOND, SO_PIN, PIN, KEY_LABEL);
    two(module, module.faulty.module())
}

fn two(module: &ModuleUnderTest, second: &Path) -> HsmConfig {
    let sick = slot(module.faulty.module(), module.token_label);
    let call_deadline = Duration::from_millis(800);
    HsmConfig { slots: vec![sick, slot(second, SECOND)], call_deadline, ..config(module) }
}

/// The states of both slots.
fn states(hsm: &PaperHsm) -> [HsmState; 2] {
    let slots = hsm.slots();
    [slots[0].state, slots[1].state]
}

fn until_only_the_second(hsm: &PaperHsm) -> Duration {
    until("the first is lost, the second is not", hsm, || states(hsm) == [HsmState::Lost, HsmState::Ready])
}

in_own_process! {
    fn one_hsm_dies_freezes_and_errs_and_the_other_goes_on_without_an_error() on (Kind::RemoteSoftHsm) |module| {
        let config = of_two_modules(&module);
        let hsm = opened(config.clone());
        assert_eq!(states(&hsm), [HsmState::Ready; 2]);
        let load = Load::start(&hsm, 40);
        let mut recovered = Vec::new();
        for fault in ["killed", "frozen", "erring", "hanging"] {
            until_signed_more(&hsm, 200);
            let server = module.server.as_mut().expect("the remote kind has one");
            match fault {
                "killed" => server.kill(),
                "frozen" => server.freeze(),
                "erring" => module.faulty.order(&["fail * CKR_DEVICE_ERROR"]),
                _ => module.faulty.order(&["hang *"]),
            }
            let lost = until_only_the_second(&hsm);
            assert_eq!(hsm.state(), HsmState::Degraded, "{fault}");
            until_signed_more(&hsm, 200);
            let server = module.server.as_mut().expect("the remote kind has one");
            match fault {
                "killed" => server.restart(),
                "frozen" => server.thaw(),
                _ => module.faulty.behave(),
            }
            recovered.push((fault, lost, until_state(&hsm, HsmState::Ready)));
        }
        until_signed_more(&hsm, 200);
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_no_error();
        println!("fault, noticed after, ready again after: {recovered:?}; {book:?}; {:?}", hsm.stats());
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn one_hsm_token_of_a_module_is_missing_and_the_other_is_hardly_disturbed() on (Kind::SoftHsm) |module| {
        let config = of_one_module(&module);
        let directory = token_directory(SECOND);
        let elsewhere = softhsm_tokens().with_extension("away");
        fs::rename(&directory, &elsewhere).expect("moved away");
        let hsm = opened(config.clone());
        assert_eq!(states(&hsm), [HsmState::Ready, HsmState::Lost]);
        assert_eq!(hsm.state(), HsmState::Degraded);
        // Nobody asks for anything: also then the healthy slot must not wait for the sick one.
        until("the module was opened again for it, more than once", &hsm, || hsm.stats().reopened >= 2);
        until("the healthy slot is back", &hsm, || states(&hsm) == [HsmState::Ready, HsmState::Lost]);
        let load = Load::start(&hsm, 40);
        let reopened = hsm.stats().reopened;
        until("again", &hsm, || hsm.stats().reopened > reopened);
        until_signed_more(&hsm, 200);
        fs::rename(&elsewhere, &directory).expect("put back");
        let recovered = until_state(&hsm, HsmState::Ready);
        let book = load.stop();
        book.is_in_order(config.patience);
        book.has_no_error();
        assert!(book.longest < Duration::from_secs(4), "a reopening is short: {book:?}");
        println!("recovered in {recovered:?}; {book:?}; {:?}", hsm.stats());
        hsm.close();
        never_finalised_over_a_call(&module);
    }
}

in_own_process! {
    fn a_module_with_a_sick_slot_is_opened_again_without_a_pause_for_the_healthy_one() on (Kind::SoftHsm) |module| {
        // A pause so long that waiting for one would be seen. Nobody asks for anything, so nothing tells that the healthy slot works.
        let pause = Duration::from_secs(2);
        let config = HsmConfig { retry_first: pause, retry_max: pause, ..of_one_module(&module) };
        fs::rename(token_directory(SECOND), softhsm_tokens().with_extension("away")).expect("moved away");
        let hsm = opened(config);
        let (mut out_since, mut out_longest) = (None, Duration::ZERO);
        until("the module was opened again twice, and the healthy slot is back", &hsm, || {
            let is_out = hsm.slots()[0].state == HsmState::Lost;
            out_since = is_out.then(|| out_since.unwrap_or_else(now));
            out_longest = out_longest.max(out_since.map_or(Duration::ZERO, |since| since.elapsed()));
            hsm.stats().reopened >= 2 && !is_out
        });
        assert!(out_longest < Duration::from_millis(1_500), "{out_longest:?}");
        println!("the healthy slot was out for {out_longest:?}");
        ask_once(&hsm).expect("signs");
        hsm.close();
    }
}

in_own_process! {
    fn both_slots_fail_and_each_says_its_own_reason() on (Kind::SoftHsm) |module| {
        let config = of_one_module(&module);
        let [mut first, second] = <[_; 2]>::try_from(config.slots.clone()).expect("two slots");
        first.pin = "00000000".into();
        let directory = token_directory(SECOND);
        fs::rename(&directory, softhsm_tokens().with_extension("away")).expect("moved away");
        let hsm = opened(HsmConfig { slots: vec![first, second], ..config });
        assert_eq!(hsm.state(), HsmState::Lost);
        let reasons: Vec<String> = hsm.slots().into_iter().map(|slot| slot.reason).collect();
        assert!(reasons[0].contains("refused the PIN") && !reasons[0].contains(SECOND), "{reasons:?}");
        assert!(reasons[1].contains("no HSM token is labelled \"cashgate two\"") && !reasons[1].contains("PIN"), "{reasons:?}");
        let Err(HsmError::Lost { reason }) = ask_once(&hsm) else { panic!("it is lost") };
        assert!(reason.contains("refused the PIN") && reason.contains("cashgate two"), "{reason}");
        hsm.close();
    }
}

/// SoftHSM2 keeps each HSM token in a directory, and its label in plain sight in it.
fn token_directory(label: &str) -> PathBuf {
    let holds = |directory: &Path| {
        let text = fs::read(directory.join("token.object")).expect("SoftHSM2's file");
        text.windows(label.len()).any(|part| part == label.as_bytes())
    };
    let directories = fs::read_dir(softhsm_tokens()).expect("the HSM tokens");
    let mut directories = directories.map(|entry| entry.expect("an entry").path());
    directories.find(|directory| holds(directory)).expect("the HSM token's directory")
}
