//! The gateway's side: every withdrawal of the window, and those before it that are still open.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use cashgate_ledger::{LedgerReader, PAGE_SIZE_MAX, WithdrawalFilter, WithdrawalSummary};
use cashgate_withdrawal::ids::{AtmId, InstitutionId, WithdrawalId};
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::time::Timestamp;

use super::counter::Counter;
use super::posting::{AccountMark, Posting};
use super::{Plan, ReconcileError};

/// How far a withdrawal is, by the names in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BookState {
    /// Core banking is being asked for the money.
    HoldRequested,
    /// The customer is to type a code.
    AwaitingCode,
    /// The money is held.
    Held,
    /// The command to pay out is durable.
    DispenseCommanded,
    /// The ATM does not know what became of it.
    OutcomeUnknown,
    /// Core banking is being told what left.
    Confirming,
    /// Core banking is being told that nothing leaves.
    Reversing,
    /// A person decides.
    Suspect,
    /// Ended: no hold.
    Declined,
    /// Ended: booked.
    Confirmed,
    /// Ended: given back.
    Reversed,
}

impl BookState {
    /// Every state, in the order of a withdrawal's life.
    pub const ALL: [Self; 11] = [
        Self::HoldRequested,
        Self::AwaitingCode,
        Self::Held,
        Self::DispenseCommanded,
        Self::OutcomeUnknown,
        Self::Confirming,
        Self::Reversing,
        Self::Suspect,
        Self::Declined,
        Self::Confirmed,
        Self::Reversed,
    ];

    /// Its name in the ledger.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HoldRequested => "hold_requested",
            Self::AwaitingCode => "awaiting_code",
            Self::Held => "held",
            Self::DispenseCommanded => "dispense_commanded",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Confirming => "confirming",
            Self::Reversing => "reversing",
            Self::Suspect => "suspect",
            Self::Declined => "declined",
            Self::Confirmed => "confirmed",
            Self::Reversed => "reversed",
        }
    }

    /// Whether nothing can follow any more.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Declined | Self::Confirmed | Self::Reversed)
    }
}

/// A withdrawal as the gateway has it, and what the others have of it so far.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: WithdrawalId,
    pub(super) institution: InstitutionId,
    pub(super) atm: AtmId,
    pub(super) account: AccountMark,
    pub(super) state: BookState,
    pub(super) approved: Money,
    /// What left the machine, in minor units; zero while that is not settled, or if nothing did.
    pub(super) dispensed: u64,
    /// Whether core banking ever granted the hold.
    pub(super) granted: bool,
    pub(super) approved_at: Timestamp,
    pub(super) changed_at: Timestamp,
    pub(super) posting: Option<Posting>,
    pub(super) counter: Option<Counter>,
}

/// All of them.
pub(super) struct Book {
    /// Ascending by id, each once.
    entries: Vec<Entry>,
}

impl Book {
    /// Reads the ledger. Its pages are read one after the other while a gateway may write: an ended withdrawal never changes, and a new
    /// one comes in where has been read already, so each is seen once, in a state that it had.
    pub(super) fn load(reader: &LedgerReader, plan: &Plan) -> Result<Self, ReconcileError> {
        let mut names = Names::default();
        let mut entries = Vec::new();
        let begin = plan.window.begin();
        // Without a beginning, none lies before it.
        let passes: &[bool] = if plan.window.since.is_some() { &[false, true] } else { &[false] };
        for &open_only in passes {
            let filter = WithdrawalFilter { open_only, ..WithdrawalFilter::default() };
            let mut before = plan.window.end();
            loop {
                let page = reader.list(&filter, before, PAGE_SIZE_MAX)?;
                let wanted = |found: &WithdrawalSummary| (found.id < begin) == open_only;
                for found in page.withdrawals.iter().filter(|found| wanted(found)) {
                    entries.push(entry(found, &mut names)?);
                }
                before = page.next.filter(|next| open_only || *next >= begin);
                if before.is_none() {
                    break;
                }
            }
        }
        Ok(Self::of(entries))
    }

    pub(super) fn of(mut entries: Vec<Entry>) -> Self {
        entries.sort_unstable_by_key(|entry| entry.id);
        entries.dedup_by_key(|entry| entry.id);
        Self { entries }
    }

    pub(super) fn entry_mut(&mut self, id: WithdrawalId) -> Option<&mut Entry> {
        let at = self.entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
        self.entries.get_mut(at)
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn institutions(&self) -> BTreeSet<&InstitutionId> {
        self.entries.iter().map(|entry| &entry.institution).collect()
    }
}

/// Names that many withdrawals share are kept once.
#[derive(Default)]
struct Names {
    institutions: HashMap<InstitutionId, InstitutionId>,
    atms: HashMap<AtmId, AtmId>,
}

fn once<T: Clone + Eq + Hash>(known: &mut HashMap<T, T>, name: &T) -> T {
    known.entry(name.clone()).or_insert_with(|| name.clone()).clone()
}

fn entry(found: &WithdrawalSummary, names: &mut Names) -> Result<Entry, ReconcileError> {
    let row = &found.row;
    let state = BookState::ALL.into_iter().find(|state| state.name() == row.state);
    let unknown = || ReconcileError::UnknownState { withdrawal: found.id, state: row.state.to_string() };
    Ok(Entry {
        id: found.id,
        institution: once(&mut names.institutions, &row.institution),
        atm: once(&mut names.atms, &row.atm),
        account: AccountMark::of(row.account.as_str()),
        state: state.ok_or_else(unknown)?,
        approved: row.amount,
        dispensed: row.dispensed.map_or(0, Money::minor_units),
        granted: row.hold.is_some(),
        approved_at: row.approved_at,
        changed_at: found.changed_at,
        posting: None,
        counter: None,
    })
}
