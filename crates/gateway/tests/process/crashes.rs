//! The gateway is killed in the middle of a withdrawal, and the next one goes on from what is on disk.

use std::time::Duration;

use cashgate_wire::proto::atm::v1::atm_message::Message;
use cashgate_wire::proto::atm::v1::{Dispense, Hello};
use cashgate_wire::proto::withdrawal::v1::WithdrawalState;

use crate::harness::{Atm, Heard, HoldScript, Phone, Site, eventually, hello, report_dispensed, withdrawal_state, yen};

const AMOUNT: i64 = 30_000;
const LEFT_TO_DRAW: i64 = 200_000 - AMOUNT;

/// A gateway that was killed after its ATM had been commanded and before it had answered.
struct Killed {
    site: Site,
    phone: Phone,
    command: Dispense,
    command_bytes: Vec<u8>,
}

impl Killed {
    async fn with_the_command_outstanding(settings: &[(&str, &str)]) -> Self {
        let mut site = Site::ready_with(settings).await;
        let mut atm = Atm::connect(&site, "A1").await;
        let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
        let withdrawal_id = phone.approve_at(&mut atm, AMOUNT).await;
        let command = atm.is_commanded().await;
        assert_eq!((&command.withdrawal_id, &command.amount), (&withdrawal_id, &Some(yen(AMOUNT))));
        let command_bytes = atm.last_bytes();
        site.kill();
        assert_eq!(withdrawal_state(&site, &withdrawal_id), "dispense_commanded");
        site.serve().await;
        phone.reconnect(&site).await;
        Self { site, phone, command, command_bytes }
    }

    /// Nothing is forgotten: the amount counts, and core banking has not been told anything new.
    async fn still_counts(&mut self) {
        let mut idle = Atm::connect(&self.site, "IDLE").await;
        assert_eq!(self.phone.headroom(&mut idle).await, LEFT_TO_DRAW, "limits still count it");
        assert_eq!(self.site.core_bank.call_names(&self.command.withdrawal_id), ["place"]);
    }

    /// It ends confirmed, with one hold, one confirmation and nothing else.
    async fn ends_well(mut self) {
        let states = self.phone.watch_to_end(&self.command.withdrawal_id).await;
        assert_eq!(states.last(), Some(&WithdrawalState::Confirmed), "{states:?}");
        let calls = self.site.core_bank.call_names(&self.command.withdrawal_id);
        assert_eq!(calls, ["place".to_owned(), format!("confirm {AMOUNT}")]);
        let mut idle = Atm::connect(&self.site, "IDLE").await;
        assert_eq!(self.phone.headroom(&mut idle).await, LEFT_TO_DRAW, "it counts once");

        self.site.kill();
        self.site.serve().await;
        self.phone.reconnect(&self.site).await;
        assert_eq!(withdrawal_state(&self.site, &self.command.withdrawal_id), "confirmed");
        let mut idle = Atm::connect(&self.site, "IDLE").await;
        assert_eq!(self.phone.headroom(&mut idle).await, LEFT_TO_DRAW, "also after another crash");
        assert_eq!(self.site.core_bank.call_names(&self.command.withdrawal_id), calls, "and nothing is told twice");
    }
}

#[tokio::test]
async fn the_atm_brings_the_outcome_when_it_comes_back() {
    let mut killed = Killed::with_the_command_outstanding(&[]).await;
    killed.still_counts().await;
    let unresolved = vec![report_dispensed(&killed.command)];
    let mut atm = Atm::connect_saying(&killed.site, "A1", Hello { unresolved, ..hello() }).await;
    atm.hears_it_recorded(&killed.command.withdrawal_id).await;
    killed.ends_well().await;
}

#[tokio::test]
async fn the_atm_that_knows_of_nothing_gets_the_same_command_byte_for_byte() {
    let mut killed = Killed::with_the_command_outstanding(&[]).await;
    killed.still_counts().await;
    let mut atm = Atm::connect(&killed.site, "A1").await;
    assert_eq!(atm.is_commanded().await, killed.command);
    assert_eq!(atm.last_bytes(), killed.command_bytes, "byte for byte");
    atm.says(Message::Outcome(report_dispensed(&killed.command))).await;
    atm.hears_it_recorded(&killed.command.withdrawal_id).await;
    killed.ends_well().await;
}

#[tokio::test]
async fn after_its_time_the_command_is_asked_about_and_never_repeated() {
    let mut killed = Killed::with_the_command_outstanding(&[("timing.dispense_within_s", "1")]).await;
    killed.still_counts().await;
    let mut atm = Atm::connect(&killed.site, "A1").await;
    // While there is time the command is repeated; the ATM comes back until there is none.
    loop {
        match atm.hears().await {
            Heard::Dispense(command) => assert_eq!(command, killed.command),
            Heard::QueryOutcome(query) => {
                assert_eq!(query.withdrawal_id, killed.command.withdrawal_id);
                break;
            }
            other => panic!("{other:?}"),
        }
        // As a machine does: the gateway turns away who comes back faster for long.
        tokio::time::sleep(Duration::from_millis(100)).await;
        atm = Atm::connect(&killed.site, "A1").await;
    }
    atm.says(Message::Outcome(report_dispensed(&killed.command))).await;
    atm.hears_it_recorded(&killed.command.withdrawal_id).await;
    killed.ends_well().await;
}

#[tokio::test]
async fn a_hold_without_an_answer_is_reversed() {
    let mut site = Site::ready().await;
    site.core_bank.is_to(HoldScript::Silence);
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, AMOUNT).await;
    site.core_bank.called(&withdrawal_id, "place").await;
    site.kill();
    assert_eq!(withdrawal_state(&site, &withdrawal_id), "hold_requested");

    site.core_bank.is_to(HoldScript::Grant);
    site.serve().await;
    site.core_bank.called(&withdrawal_id, "reverse").await;
    let reversed = async || (withdrawal_state(&site, &withdrawal_id) == "reversed").then_some(());
    eventually("it ends reversed", reversed).await;
    assert_eq!(site.core_bank.call_names(&withdrawal_id), ["place", "reverse"], "no second hold, no confirmation");
    phone.reconnect(&site).await;
    let mut atm = Atm::connect(&site, "A1").await;
    assert_eq!(phone.headroom(&mut atm).await, 200_000, "and it counts for nothing any more");
}

#[tokio::test]
async fn a_code_that_was_being_typed_dies_with_the_gateway_and_the_hold_is_reversed() {
    let mut site = Site::ready().await;
    let mut atm = Atm::connect(&site, "A1").await;
    let mut phone = Phone::registered(&site, "phone-1", "acct-1").await;
    let withdrawal_id = phone.approve_at(&mut atm, 40_000).await;
    assert!(matches!(atm.hears().await, Heard::QrClaimed(_)));
    assert!(matches!(atm.hears().await, Heard::AskConfirmCode(_)));
    site.kill();
    site.serve().await;
    site.core_bank.called(&withdrawal_id, "reverse").await;
    phone.reconnect(&site).await;
    let states = phone.watch_to_end(&withdrawal_id).await;
    assert_eq!(states.last(), Some(&WithdrawalState::Reversed), "{states:?}");
    assert_eq!(site.core_bank.call_names(&withdrawal_id), ["place", "reverse"]);
}
