//! What a run asks of a bank. The real limits and policies stand behind it, or a plain bank whose answers can be worked out by hand.

use std::time::Duration;

use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

use crate::attempt::{AtmNo, Attempt, InstitutionNo, Registration};

/// The answer to an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Pay.
    Permit,
    /// Pay if the code that the app shows is typed at the machine.
    StepUp {
        /// The first rule that asked for it, as a stable word.
        reason: String,
    },
    /// Do not pay.
    Refuse {
        /// The limit or rule that decided, as a stable word.
        reason: String,
    },
}

/// A pattern that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// When it was raised.
    pub at: Timestamp,
    /// At which bank.
    pub institution: InstitutionNo,
    /// At which machine, if at one.
    pub atm: Option<AtmNo>,
    /// Whether it is about one phone alone.
    pub is_of_phone: bool,
    /// The pattern, as a stable word.
    pub pattern: String,
    /// How far back the counted withdrawals lie. An alarm without a thief's attempt within it is false.
    pub window: Duration,
}

/// Limits, policies and their memory, for both institutions, fed in the order of time.
///
/// For each approval `decide` comes first, and unless it refused, `settled` follows before anything else is asked.
pub trait Bank {
    /// A phone was bound to an account.
    fn registered_device(&mut self, registration: &Registration);

    /// Decides, and reserves if it does not refuse.
    fn decide(&mut self, attempt: &Attempt) -> Verdict;

    /// How a withdrawal that was not refused ended: `paid` is its amount, or zero if the code was not typed or an
    /// analyst stopped it.
    fn settled(&mut self, attempt: &Attempt, paid: Money);

    /// A code or PIN was mistyped on this phone. What it shows of the phone's failures later is the bank's business.
    fn mistyped(&mut self, attempt: &Attempt);

    /// Time has come to `now`; called about every minute of the run.
    fn advance(&mut self, now: Timestamp);

    /// Alarms since the last call, in the order of time.
    fn alarms(&mut self) -> Vec<Alarm>;
}
