//! What goes into the ledger and what comes out, free of how it is stored.

use std::borrow::Cow;
use std::fmt;

use cashgate_withdrawal::ids::{
    AccountId, AtmId, DeviceId, HoldReference, InstitutionId, KeyId, Nonce, QrSessionId, WithdrawalId,
};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};

use crate::seal::Seal;

/// The place of a step or notice among all of them: 1, 2, 3 ... without a gap, in the order in which they became durable.
/// `Sequence(0)` lies before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(pub u64);

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One step of a withdrawal, to be made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRecord {
    /// The withdrawal that takes the step.
    pub withdrawal: WithdrawalId,
    /// Its place within the withdrawal: 1 for the first (which creates the withdrawal), then one more each.
    pub number: u32,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, for people who read SQL: `hold_granted`.
    pub kind: &'static str,
    /// The step itself, opaque to the ledger. At most [`StepRecord::BODY_BYTES_MAX`].
    pub body: Vec<u8>,
    /// The withdrawal as it stands after this step.
    pub row: WithdrawalRow,
}

impl StepRecord {
    /// The longest body, in bytes. The messages that steps come from are bounded well below it.
    pub const BODY_BYTES_MAX: usize = 64 * 1024;

    /// The most steps that one append may hold. A withdrawal takes about ten in its whole life.
    pub const PER_APPEND_MAX: usize = 64;
}

/// A withdrawal as it stands: what plain SQL shows of it. All but `state`, `open`, `dispensed` and `hold` is fixed by the first step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawalRow {
    /// The name of its state.
    pub state: Cow<'static, str>,
    /// Whether anything may still happen to it. Once `false`, the withdrawal never changes again.
    pub open: bool,
    /// Whose customer draws.
    pub institution: InstitutionId,
    /// The account that pays.
    pub account: AccountId,
    /// The phone that approved.
    pub device: DeviceId,
    /// The machine that pays out.
    pub atm: AtmId,
    /// The QR session whose code was scanned.
    pub qr_session: QrSessionId,
    /// The nonce of that code. No two withdrawals have the same.
    pub nonce: Nonce,
    /// What was approved.
    pub amount: Money,
    /// What left the machine, once that is known; in the currency of `amount`.
    pub dispensed: Option<Money>,
    /// Core banking's reference of the hold, once granted.
    pub hold: Option<HoldReference>,
    /// The institution's calendar day of the approval, under which limits count it.
    pub day: CalendarDay,
    /// When the approval was accepted.
    pub approved_at: Timestamp,
    /// The policy version that let it pass.
    pub policy_version: String,
    /// The key that signed the QR token.
    pub key_id: KeyId,
}

/// A withdrawal as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawalSummary {
    /// Which one.
    pub id: WithdrawalId,
    /// How it stands after its last step.
    pub row: WithdrawalRow,
    /// The number of its last step, which is also how many it took.
    pub last_step: u32,
    /// When it took the last step.
    pub changed_at: Timestamp,
    /// The seal of that step, the end of the withdrawal's chain.
    pub last_seal: Seal,
}

/// A step as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredStep {
    /// Its place among all steps and notices.
    pub sequence: Sequence,
    /// The withdrawal that took it.
    pub withdrawal: WithdrawalId,
    /// Whose customer that is.
    pub institution: InstitutionId,
    /// Its place within the withdrawal, from 1.
    pub number: u32,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, in a word.
    pub kind: String,
    /// The step itself, as it was appended.
    pub body: Vec<u8>,
    /// Over the step and the seal of the withdrawal's step before it.
    pub seal: Seal,
}

/// A message about a withdrawal that changed nothing: a repeated command, a question, a late or contradictory answer. Kept as evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The withdrawal it is about, open or ended. If the ledger does not know it, the remark is dropped.
    pub withdrawal: WithdrawalId,
    /// When the message came or went.
    pub at: Timestamp,
    /// What it was, in a word, for people who read SQL: `outcome_repeated`. Not empty, or the remark is dropped.
    pub kind: &'static str,
    /// What it said. Cut after [`Remark::DETAIL_BYTES_MAX`].
    pub detail: String,
}

impl Remark {
    /// The longest detail that is kept, in bytes of UTF-8; no character is cut in half.
    pub const DETAIL_BYTES_MAX: usize = 512;

    /// How many remarks are kept of one withdrawal. Those that come later are only counted.
    pub const PER_WITHDRAWAL_MAX: u32 = 100;

    /// How many of these may be of one kind, so that no party fills the place of the others.
    pub const PER_KIND_MAX: u32 = 10;
}

/// A remark as the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRemark {
    /// Its place among the remarks about its withdrawal, from 1.
    pub number: u32,
    /// When the message came or went.
    pub at: Timestamp,
    /// What it was, in a word.
    pub kind: String,
    /// What it said.
    pub detail: String,
}

/// The remarks about one withdrawal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// The first ones, in the order in which they came, at most [`Remark::PER_WITHDRAWAL_MAX`], and [`Remark::PER_KIND_MAX`] of a kind.
    pub kept: Vec<StoredRemark>,
    /// How many more came at least, of which nothing else is known. A power of two, or 0: the count is written only when it reaches one,
    /// so without a restart fewer than twice as many came.
    pub left_out: u64,
}

/// How many withdrawals stand in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCount {
    /// The state's name.
    pub state: String,
    /// Whether withdrawals in it are open.
    pub open: bool,
    /// How many.
    pub count: u64,
}

/// Which withdrawals to list. Empty conditions let all pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WithdrawalFilter {
    /// Only this institution's.
    pub institution: Option<InstitutionId>,
    /// Only those at this ATM.
    pub atm: Option<AtmId>,
    /// Only those of this account. Accounts are named per institution: set `institution` as well.
    pub account: Option<AccountId>,
    /// Only those in the state of this name.
    pub state: Option<String>,
    /// Only open ones: reads the open ones alone, however long the history.
    pub open_only: bool,
}

/// A page of withdrawals, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WithdrawalPage {
    /// In descending order of id, which for version 7 ids is newest first.
    pub withdrawals: Vec<WithdrawalSummary>,
    /// Where the next page starts (pass it as `before`), or `None` at the end.
    pub next: Option<WithdrawalId>,
}
