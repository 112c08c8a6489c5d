//! What crosses the gateway's boundary, in plain numbers: all that the [checker](crate::checker) ever sees.
//!
//! Nothing here is a type of `withdrawal` or `limits`: a checker that shares the code it judges would share its mistakes. Amounts are whole
//! yen, times are milliseconds since 1970-01-01T00:00:00Z by the world's true clock, ids are bare numbers.

mod among;

pub use among::{Alarm, Among, Attempt, Memory, Pattern};

/// A withdrawal's id.
pub type WithdrawalNo = u128;
/// A machine, from 0.
pub type AtmNo = u16;
/// An account, from 0.
pub type AccountNo = u16;
/// A phone, from 0.
pub type PhoneNo = u16;

/// What the checker is told of the world beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The largest single withdrawal.
    pub per_withdrawal: u64,
    /// The largest sum of one calendar day.
    pub per_day: u64,
    /// The largest number of withdrawals in one calendar day.
    pub withdrawals_per_day: u32,
    /// How far the institution's midnight lies before that of UTC.
    pub zone_offset_ms: u64,
    /// Machines whose reports may be lies.
    pub lying_atms: Vec<AtmNo>,
    /// Whether core banking's answers may contradict its books.
    pub core_bank_contradicts: bool,
    /// Machines whose dispensers pay out against a dispense token or not at all.
    pub end_to_end_atms: Vec<AtmNo>,
    /// Whether the institution believes that less than everything left only if a dispenser proves it.
    pub demands_proof: bool,
    /// Phones that are new: what they do is watched.
    pub new_phones: Vec<PhoneNo>,
    /// Whether machines always have power, a line, and somebody who knows which replicas are ready.
    pub machines_reach_who_is_ready: bool,
}

/// A dispense token in plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenSeen {
    /// For which nonce of the dispenser.
    pub nonce: u128,
    /// The most that it pays out.
    pub amount: u64,
    /// The beginning of its MAC, by which the dispenser names the dispense.
    pub mac: u64,
}

/// A present token in plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The nonce that it answers.
    pub nonce: u128,
    /// The beginning of the MAC of the dispense token that it is about.
    pub dispense: Option<u64>,
    /// What was dispensed, to the stacker at least.
    pub dispensed: u64,
    /// Whether the customer had access to any of it, and to how much, if that is known.
    pub presented: (bool, Option<u64>),
    /// Whether any of it was taken back, and how much, if that is known.
    pub retracted: (bool, Option<u64>),
    /// Whether its MAC is the machine's.
    pub genuine: bool,
}

/// Something that crossed, in the order in which it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// When.
    pub at_ms: u64,
    /// The gateway process whose boundary it is, from 1; of no meaning for what other parties did. A later process has a higher number, and of
    /// several replicas each is one.
    pub process: u32,
    /// What.
    pub what: What,
}

/// What crossed. "Sent" and "asked" left the gateway, whether or not it arrived; "arrived" reached it; the rest is what the other parties
/// really did, whatever they say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The gateway process is up; it may be a later one than before.
    GatewayStarted,
    /// The gateway process is gone: killed, or stopped by itself.
    GatewayStopped,
    /// The database gave a machine's lane to this process.
    LaneTaken {
        /// The machine.
        atm: AtmNo,
    },
    /// A stop of a machine became durable, and whoever asked for it was told so.
    StopDurable {
        /// The machine.
        atm: AtmNo,
    },
    /// It was taken back.
    StopTakenBack {
        /// The machine.
        atm: AtmNo,
    },
    /// The HSM signed a code.
    CodeSigned {
        /// Its nonce.
        nonce: u128,
        /// For which machine.
        atm: AtmNo,
        /// For which QR session.
        qr_session: u128,
        /// From when on it is worth nothing.
        expires_at_ms: u64,
        /// The dispenser's nonce for this customer, if the machine gave one.
        command_nonce: Option<u128>,
    },
    /// A phone was told that its scan counts.
    ScanAccepted {
        /// The code's nonce.
        nonce: u128,
        /// The phone.
        phone: PhoneNo,
    },
    /// A phone was told that its approval counts.
    ApprovalAccepted {
        /// The withdrawal that it opened.
        withdrawal: WithdrawalNo,
        /// The code's nonce.
        nonce: u128,
        /// The phone.
        phone: PhoneNo,
        /// The account.
        account: AccountNo,
        /// The amount.
        amount: u64,
    },
    /// Core banking was asked for a hold.
    HoldAsked {
        /// The withdrawal.
        withdrawal: WithdrawalNo,
        /// The account.
        account: AccountNo,
        /// At which machine.
        atm: AtmNo,
        /// The amount.
        amount: u64,
        /// When the gateway accepted the approval, by its own clock.
        approved_at_ms: u64,
    },
    /// Core banking took the money aside in its books. Said once a hold.
    HoldPosted {
        /// The withdrawal.
        withdrawal: WithdrawalNo,
        /// The account.
        account: AccountNo,
        /// The amount.
        amount: u64,
    },
    /// Core banking refused the hold in its books.
    HoldRefusedInBooks {
        /// The withdrawal.
        withdrawal: WithdrawalNo,
    },
    /// An answer to the hold request reached the gateway.
    HoldAnswerArrived {
        /// The withdrawal.
        withdrawal: WithdrawalNo,
        /// Whether it says that the money is held.
        granted: bool,
    },
    /// Core banking was asked to confirm.
    ConfirmAsked {
        /// The withdrawal.
        withdrawal: WithdrawalNo,
        /// The amount.
        amount: u64,
    },
    /// Core banking was asked to reverse.
    ReverseAsked {
        /// The withdrawal.
        withdrawal: WithdrawalNo,
    },
    /// Core banking confirmed in its books. Said once a hold.
    ConfirmPosted {
        /// The withdrawal.
        withdrawal: WithdrawalNo,
        /// The amount.
        amount: u64,
    },
    /// Core banking gave the hold back in its books, or noted that none may come any more. Said once a hold.
    ReversePosted {
        /// The withdrawal.
        withdrawal: WithdrawalNo,
    },
    /// Core banking's answer to a confirmation or reversal reached the gateway.
    SettlementAnswerArrived {
        /// The withdrawal.
        withdrawal: WithdrawalNo,
        /// Whether it was a confirmation; a reversal otherwise.
        confirm: bool,
        /// Whether it says that it is done; refused otherwise.
        done: bool,
    },
    /// A dispense command was sent.
    DispenseSent {
        /// To which machine.
        atm: AtmNo,
        /// The withdrawal, which is the command's id.
        withdrawal: WithdrawalNo,
        /// The amount.
        amount: u64,
        /// From when on the machine must not begin.
        start_before_ms: u64,
        /// The dispense token that goes with it.
        token: Option<TokenSeen>,
    },
    /// A machine moved notes for a command. Said once for each time that it did so, which must be once.
    NotesMoved {
        /// The machine.
        atm: AtmNo,
        /// The withdrawal.
        withdrawal: WithdrawalNo,
        /// What it put in front of the customer.
        presented: u64,
    },
    /// What the customer has in the end, after a retract too.
    CashTaken {
        /// The machine.
        atm: AtmNo,
        /// The withdrawal.
        withdrawal: WithdrawalNo,
        /// The amount.
        amount: u64,
    },
    /// A machine was asked what became of a command.
    OutcomeAsked {
        /// The machine.
        atm: AtmNo,
        /// The withdrawal.
        withdrawal: WithdrawalNo,
        /// The nonce for the dispenser's status, if that was asked too.
        nonce: Option<u128>,
    },
    /// The HSM answered what it thinks of a present token that had come with a report.
    StatusVerified {
        /// From which machine.
        atm: AtmNo,
        /// The withdrawal.
        withdrawal: WithdrawalNo,
        /// What it says.
        status: Status,
    },
    /// A machine's report reached the gateway: when it came in, or, with a present token that the HSM had to look at, when that was done.
    ReportArrived {
        /// From which machine.
        atm: AtmNo,
        /// The withdrawal.
        withdrawal: WithdrawalNo,
        /// What it says.
        report: Report,
    },
    /// A machine was told that its report is on disk.
    OutcomeAcknowledged {
        /// The machine.
        atm: AtmNo,
        /// The withdrawal.
        withdrawal: WithdrawalNo,
    },
    /// A person's decision about a suspect reached the gateway.
    PersonDecides {
        /// The withdrawal.
        withdrawal: WithdrawalNo,
        /// Confirm this amount; reverse otherwise.
        confirm: Option<u64>,
    },
    /// A person decided, and was told that it is done.
    SuspectResolved {
        /// The withdrawal.
        withdrawal: WithdrawalNo,
        /// Confirmed for this amount; reversed otherwise.
        confirm: Option<u64>,
    },
    /// The gateway showed how a withdrawal stands (event feed, operator's list). Once it has shown an end, it must show the same for ever.
    Shown {
        /// How.
        book: Book,
    },
    /// Something that only worlds with several replicas have.
    Among(Among),
}

/// What a machine says became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// In one word.
    pub word: Word,
    /// The counted notes that reached the customer's side.
    pub presented: u64,
    /// The counted notes that were taken back, if they were counted.
    pub retracted: Option<u64>,
    /// Whether it was read from a record or a sensor, not the bare word of a message.
    pub proven: bool,
}

/// The outcome in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// All of it left.
    Dispensed,
    /// Some of it left.
    PartiallyDispensed,
    /// Nothing left.
    NotDispensed,
    /// Notes were taken back.
    Retracted,
    /// The machine does not know.
    Unknown,
}

/// A withdrawal as the gateway shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Book {
    /// Which.
    pub withdrawal: WithdrawalNo,
    /// From which account.
    pub account: AccountNo,
    /// The approved amount.
    pub amount: u64,
    /// How it stands.
    pub standing: Standing,
}

/// How a withdrawal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is under way.
    Open,
    /// A person has to decide.
    Suspect,
    /// It ended: core banking refused.
    Declined,
    /// It ended, confirmed for this amount.
    Confirmed(u64),
    /// It ended, reversed.
    Reversed,
}

/// What is compared when the world has healed and nothing is under way any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closing {
    /// The gateway's books.
    pub books: Vec<Book>,
    /// What the gateway's limits still hold in reserve, by account; nothing may be left.
    pub reserved: Vec<(AccountNo, u64)>,
    /// The numbers of all that became durable, in the order of the feed: each must be one more than the one before, from 1 on.
    pub sequence: Vec<u64>,
    /// With several replicas: what each remembers.
    pub memories: Vec<Memory>,
    /// Where a PIN block was found, of all that was ever written to the gateway's disk or sent to a machine; nowhere, it must be.
    pub secrets_found: Vec<String>,
}
