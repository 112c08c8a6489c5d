//! What may happen next in a world.

use cashgate_gateway::admission::LimitKey;
use cashgate_ledger::AttemptsPart;
use cashgate_withdrawal::dispense::OutcomeReport;
use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::evidence::DispenseToken;
use cashgate_withdrawal::ids::{CommandNonce, HoldReference, QrSessionId, WithdrawalId};
use cashgate_withdrawal::lane::{Answer, FromAtm, HoldAnswer, SettlementAnswer, ToAtm};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::withdrawal::Terms;

use crate::adopting::Claimed;
use crate::boundary::{AtmNo, PhoneNo};
use crate::database::{Entry, Heard, Owner, Verdict};
use crate::faults::FaultKind;

/// Something that happens. `life` is the gateway process, and `boot` the machine's, that it belongs to: it does nothing in a later one.
#[derive(Debug)]
pub(crate) enum Event {
    // The gateway.
    GatewayStarts { replica: u16 },
    ReplicaRecalls { replica: u16, mark: u64 },
    Wakes { life: u32, atm: AtmNo },
    Written { life: u32 },
    Synced { life: u32 },
    LooksForSpace { life: u32 },
    Minted { life: u32, atm: AtmNo, qr_session: QrSessionId, signed: bool },
    ReadBack { life: u32, atm: AtmNo, withdrawal: WithdrawalId, report: OutcomeReport },
    CallTimesOut { life: u32, call: u64 },
    TokenMade { life: u32, atm: AtmNo, withdrawal: WithdrawalId, token: Option<DispenseToken> },
    TokenVerified { life: u32, atm: AtmNo, verifying: Box<Verifying> },
    // The line between gateway and machine.
    AtmDials { atm: AtmNo, boot: u32 },
    AtmWaitsForWelcome { atm: AtmNo, link: u64 },
    ToAtm { atm: AtmNo, link: u64, message: ToAtm },
    FromAtm { atm: AtmNo, link: u64, message: AtmSays },
    GatewayLosesLink { life: u32, atm: AtmNo, link: u64 },
    AtmLosesLink { atm: AtmNo, link: u64 },
    // Machines.
    NotesArrive { atm: AtmNo, boot: u32, withdrawal: WithdrawalId },
    AtmRepeats { atm: AtmNo, boot: u32 },
    AtmPowersOn { atm: AtmNo },
    // Core banking.
    BankHears { life: u32, call: u64, asked: Asked },
    BankAnswers { life: u32, call: u64, atm: AtmNo, answer: BankAnswer, late: bool },
    // Customers.
    Visit { visit: usize, act: Act },
    PhoneAsks { phone: PhoneNo, visit: usize, asks: PhoneAsks },
    PhoneHears { visit: usize, answered: Answered },
    // Several replicas and their database.
    DatabaseHears { life: u32, commit: u64, tried: u32 },
    DatabaseAnswers { life: u32, commit: u64, tried: u32, verdicts: Vec<Verdict> },
    CommitTimesOut { life: u32, commit: u64, tried: u32 },
    ReadsEntries { life: u32, atm: AtmNo, keys: Vec<LimitKey> },
    EntriesRead { life: u32, atm: AtmNo, entries: Vec<Entry> },
    Polls { life: u32 },
    Polled { life: u32, asked_at_ms: u64, heard: Heard },
    GoesStale { life: u32 },
    AttemptsRead { life: u32, part: AttemptsPart },
    LooksElsewhere { life: u32 },
    AsksElsewhere { life: u32 },
    ElsewhereAnswered { life: u32, takes: bool },
    Claims { life: u32, atm: AtmNo, expected: Option<Owner> },
    Claimed { life: u32, atm: AtmNo, claimed: Box<Claimed> },
    LetsGo { life: u32, atm: AtmNo },
    Forwarded { life: u32, phone: PhoneNo, visit: usize, asks: PhoneAsks },
    StopTakenBack { atm: AtmNo },
    // Everything else.
    OperatorLooks,
    Strikes { kind: FaultKind, place: u16 },
    SpaceAgain,
    Heal,
}

impl Event {
    /// The gateway process that it happens in, if it does in one.
    pub(crate) const fn life(&self) -> Option<u32> {
        match self {
            Self::Wakes { life, .. }
            | Self::Written { life }
            | Self::Synced { life }
            | Self::LooksForSpace { life }
            | Self::Minted { life, .. }
            | Self::ReadBack { life, .. }
            | Self::CallTimesOut { life, .. }
            | Self::TokenMade { life, .. }
            | Self::TokenVerified { life, .. }
            | Self::GatewayLosesLink { life, .. }
            | Self::BankAnswers { life, .. }
            | Self::DatabaseAnswers { life, .. }
            | Self::CommitTimesOut { life, .. }
            | Self::ReadsEntries { life, .. }
            | Self::EntriesRead { life, .. }
            | Self::Polls { life }
            | Self::Polled { life, .. }
            | Self::GoesStale { life }
            | Self::AttemptsRead { life, .. }
            | Self::LooksElsewhere { life }
            | Self::AsksElsewhere { life }
            | Self::ElsewhereAnswered { life, .. }
            | Self::Claims { life, .. }
            | Self::Claimed { life, .. }
            | Self::LetsGo { life, .. }
            | Self::Forwarded { life, .. } => Some(*life),
            _ => None,
        }
    }
}

/// A machine's message.
#[derive(Clone, Debug)]
pub(crate) enum AtmSays {
    Hello { end_to_end: bool, unresolved: Vec<(WithdrawalId, OutcomeReport)> },
    Touched { amount: Option<Money>, command_nonce: Option<u128> },
    Said(FromAtm),
}

/// A present token that the HSM looks at.
#[derive(Debug)]
pub(crate) struct Verifying {
    pub(crate) withdrawal: WithdrawalId,
    pub(crate) report: OutcomeReport,
    pub(crate) dispense_token: DispenseToken,
    pub(crate) asked_with: Vec<CommandNonce>,
    /// Whether it does; otherwise it is away.
    pub(crate) answers: bool,
}

/// A request to core banking.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Hold(Box<Terms>),
    Settle(Box<Terms>, Settlement),
}

/// Core banking's answer.
#[derive(Clone, Debug)]
pub(crate) enum BankAnswer {
    Hold { withdrawal: WithdrawalId, answer: HoldAnswer },
    Settled { withdrawal: WithdrawalId, settlement: Settlement, answer: SettlementAnswer },
}

/// What a customer does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Arrives,
    Scans,
    ScansAgain,
    Approves,
    ApprovesAgain,
    Cancels,
    Types,
    Leaves,
}

/// A phone's request.
#[derive(Clone, Debug)]
pub(crate) enum PhoneAsks {
    Scan { code: Code, second_phone: bool },
    Approve { code: Code, amount: u64 },
    CancelQrSession(QrSessionId),
    CancelWithdrawal(WithdrawalId),
}

/// A code as a phone sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) atm: AtmNo,
    /// The replica that had it signed.
    pub(crate) replica: u16,
    pub(crate) qr_session: QrSessionId,
    pub(crate) nonce: u128,
    pub(crate) expires_at_ms: u64,
}

/// What a phone is told.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) asks: PhoneAsks,
    pub(crate) answer: Result<Answer, Refusal>,
}

/// Who waits for an answer of a lane.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    Phone { visit: usize, phone: PhoneNo, asks: PhoneAsks },
    Operator { withdrawal: WithdrawalId, settlement: Settlement },
}

impl BankAnswer {
    pub(crate) fn unanswered(asked: &Asked) -> Self {
        match asked {
            Asked::Hold(terms) => Self::Hold { withdrawal: terms.withdrawal, answer: HoldAnswer::Unanswered },
            Asked::Settle(terms, settlement) => Self::Settled {
                withdrawal: terms.withdrawal,
                settlement: *settlement,
                answer: SettlementAnswer::Unanswered,
            },
        }
    }
}

/// Core banking's reference of a hold; `other` is one that it never gave before.
pub(crate) fn reference(withdrawal: WithdrawalId, other: bool) -> HoldReference {
    let name = format!("h-{withdrawal}{}", if other { "-other" } else { "" });
    #[allow(clippy::expect_used, reason = "a UUID and a few letters are a reference")]
    name.parse().expect("a reference")
}
