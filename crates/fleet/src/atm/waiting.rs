//! A customer before a code that nobody has scanned: if the gateway sends the machine to another one, the customer gets a fresh code there without
//! touching again.

use cashgate_wire::proto::atm::v1::{StartQrSession, atm_message::Message as Saying};
use cashgate_wire::proto::withdrawal::v1::Money;

use super::machine::{Machine, Output, bad};

#[derive(Clone, Debug)]
pub(super) struct Waiting {
    amount: Option<Money>,
    /// When the customer has gone, by the gateway's clock; not known before a code was shown.
    until_unix_ms: Option<i64>,
    /// Whether the gateway has sent the machine on to another one since.
    is_sent_on: bool,
}

impl Waiting {
    /// The first code says how long the customer is waited for; fresh ones make that no longer.
    pub(super) fn shown(&mut self, until_unix_ms: i64) {
        self.until_unix_ms.get_or_insert(until_unix_ms);
    }

    /// The machine is to connect elsewhere.
    pub(super) const fn sent_on(&mut self) {
        self.is_sent_on = true;
    }
}

impl Machine {
    /// A customer touched the screen.
    pub(super) fn touched(&mut self, amount: Option<Money>, outputs: &mut Vec<Output>) {
        self.waiting = Some(Waiting { amount: amount.clone(), until_unix_ms: None, is_sent_on: false });
        self.ask_for_code(amount, outputs);
    }

    /// The gateway sent the machine here while a customer stood before a code, or may have.
    pub(super) fn show_code_again(&mut self, gateway_time_unix_ms: i64, outputs: &mut Vec<Output>) {
        let Some(waiting) = self.waiting.as_mut().filter(|waiting| waiting.is_sent_on) else { return };
        waiting.is_sent_on = false;
        if waiting.until_unix_ms.is_some_and(|until| gateway_time_unix_ms >= until) {
            self.waiting = None;
            return;
        }
        let amount = waiting.amount.clone();
        self.ask_for_code(amount, outputs);
    }

    fn ask_for_code(&mut self, amount: Option<Money>, outputs: &mut Vec<Output>) {
        outputs.push(match self.fetch_command_nonce() {
            Some(command_nonce) => Output::Send(Saying::StartQrSession(StartQrSession { amount, command_nonce })),
            None => bad("the dispenser has no random numbers to make a nonce of"),
        });
    }
}
