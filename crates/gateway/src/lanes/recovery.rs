//! What happens before the gateway says that it is ready: open withdrawals come back from the ledger.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cashgate_ledger::{ApprovedRow, LedgerReader, ReadError, StoredStep, WithdrawalSummary};
use cashgate_limits::Reservation;
use cashgate_wire::journal::{self, JournalError};
use cashgate_wire::notices;
use cashgate_withdrawal::ids::{AtmId, WithdrawalId};
use cashgate_withdrawal::lane::LaneSettings;
use cashgate_withdrawal::notice::{Happening, RefusedApproval};
use cashgate_withdrawal::time::Timestamp;
use cashgate_withdrawal::withdrawal::Withdrawal;
#[cfg(feature = "planted")]
use cashgate_withdrawal::{
    planted::{Bug, is},
    withdrawal::State,
};

use super::{Attendant, Driver, Intent, Lanes, Surroundings};
use crate::admission::Desk;

/// Why a gateway does not start from its ledger.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A withdrawal's steps do not make a withdrawal.
    #[error("the ledger is damaged: {0}; restore it from a backup")]
    Damaged(#[from] JournalError),
    /// A reservation cannot be made again.
    #[error("the reservation of withdrawal {withdrawal} cannot be restored: {why}")]
    Reservation {
        /// The withdrawal.
        withdrawal: WithdrawalId,
        /// Why.
        why: String,
    },
}

/// What recovery reads: a ledger's reading side, or a model of one.
pub trait History {
    /// Every open withdrawal with its steps.
    fn open_withdrawals(&self) -> Result<Vec<(WithdrawalSummary, Vec<StoredStep>)>, ReadError>;
    /// Every withdrawal that was approved at a moment or later, open or ended, in the order of time, and how many there were.
    fn for_each_approved_since(&self, since: Timestamp, each: &mut dyn FnMut(ApprovedRow)) -> Result<u64, ReadError>;
    /// Every approval that was refused at a moment or later, as far as that is known, in the order of time.
    fn for_each_refused_since(
        &self,
        since: Timestamp,
        each: &mut dyn FnMut(Timestamp, RefusedApproval),
    ) -> Result<(), ReadError>;
}

impl History for LedgerReader {
    fn open_withdrawals(&self) -> Result<Vec<(WithdrawalSummary, Vec<StoredStep>)>, ReadError> {
        self.open_withdrawals()
    }

    fn for_each_approved_since(&self, since: Timestamp, each: &mut dyn FnMut(ApprovedRow)) -> Result<u64, ReadError> {
        self.for_each_approved_since(since, each)
    }

    fn for_each_refused_since(
        &self,
        since: Timestamp,
        each: &mut dyn FnMut(Timestamp, RefusedApproval),
    ) -> Result<(), ReadError> {
        for stored in self.notices_of(&["approval_refused"], since)? {
            match notices::decode(&stored.body).map(|notice| notice.what) {
                Ok(Happening::ApprovalRefused(refused)) => each(stored.at, *refused),
                Ok(_) => {}
                // It is only remembered as a pattern: not worth stopping for.
                Err(error) => tracing::error!(sequence = %stored.sequence, %error, "a notice cannot be read"),
            }
        }
        Ok(())
    }
}

/// A withdrawal out of its steps, with the number of the last; `None` if there is no such.
pub(crate) fn read_back(reader: &LedgerReader, id: WithdrawalId) -> Result<Option<(Withdrawal, u32)>, RecoveryError> {
    let Some((summary, steps)) = reader.withdrawal(id)? else { return Ok(None) };
    Ok(Some((replay(id, &steps)?, summary.last_step)))
}

fn replay(id: WithdrawalId, steps: &[StoredStep]) -> Result<Withdrawal, JournalError> {
    journal::replay(id, steps.iter().map(|step| (step.number, step.at, step.body.as_slice())))
}

/// A lane that was found with open withdrawals.
#[derive(Debug)]
pub struct Recovered {
    /// It, with its reservations.
    pub attendant: Attendant,
    /// To be completed before anything else.
    pub first: Intent,
    /// What it found open, as the history has it.
    pub open: Vec<Withdrawal>,
}

/// Every lane with open withdrawals, by the order of its ATM's id, with reservations made again. [`Desk::recall`] comes before.
pub fn recover(
    history: &impl History,
    desk: &Arc<Desk>,
    settings: &Arc<LaneSettings>,
    now: Timestamp,
) -> Result<Vec<Recovered>, RecoveryError> {
    let mut by_atm: BTreeMap<AtmId, Vec<(Withdrawal, u32)>> = BTreeMap::new();
    for (summary, steps) in history.open_withdrawals()? {
        let withdrawal = replay(summary.id, &steps)?;
        #[cfg(feature = "planted")]
        if is(Bug::OpenForgottenOnCrash) && matches!(withdrawal.state, State::Confirming { .. }) {
            continue;
        }
        by_atm.entry(withdrawal.terms.atm.clone()).or_default().push((withdrawal, summary.last_step));
    }
    let lane = |(atm, found): (AtmId, Vec<(Withdrawal, u32)>)| {
        let mut reservations: HashMap<WithdrawalId, Reservation> = HashMap::new();
        for (withdrawal, _) in &found {
            let id = withdrawal.terms.withdrawal;
            let reservation = desk.restore(withdrawal);
            let reservation = reservation.map_err(|why| RecoveryError::Reservation { withdrawal: id, why })?;
            #[cfg(feature = "planted")]
            if is(Bug::ReservationForgottenOnCrash) {
                reservation.release();
                continue;
            }
            reservations.insert(id, reservation);
        }
        let open = found.iter().map(|(withdrawal, _)| withdrawal.clone()).collect();
        let (attendant, first) =
            Attendant::recovered(atm, Arc::clone(settings), Arc::clone(desk), found, reservations, now);
        Ok(Recovered { attendant, first, open })
    };
    by_atm.into_iter().map(lane).collect()
}

/// One machine's lane, taken over from another replica: [`recover`] for it alone. `open` are its open withdrawals with their steps, read after the
/// lane had become this replica's, so that nobody else writes to them any more.
pub fn adopt(
    atm: AtmId,
    open: Vec<(WithdrawalSummary, Vec<StoredStep>)>,
    desk: &Arc<Desk>,
    settings: &Arc<LaneSettings>,
    now: Timestamp,
) -> Result<Recovered, RecoveryError> {
    let replayed = |(summary, steps): &(WithdrawalSummary, Vec<StoredStep>)| {
        replay(summary.id, steps).map(|withdrawal| (withdrawal, summary.last_step))
    };
    let found = open.iter().map(replayed).collect::<Result<Vec<_>, _>>()?;
    #[cfg(feature = "planted")]
    let found = if is(Bug::AdoptedWithoutReading) { Vec::new() } else { found };
    let open = found.iter().map(|(withdrawal, _)| withdrawal.clone()).collect();
    let (attendant, first) = Attendant::adopting(atm, Arc::clone(settings), Arc::clone(desk), found, now);
    Ok(Recovered { attendant, first, open })
}

impl Lanes {
    /// Brings back every lane with open withdrawals, its reservations included. Returns how many withdrawals are open. Blocking.
    pub fn recover(&self, now: Timestamp) -> Result<usize, RecoveryError> {
        let Surroundings { ledger, desk, settings, metrics, watchers, .. } = self.surroundings.as_ref();
        let mut count = 0;
        for Recovered { attendant, first, open } in recover(ledger.reader(), desk, settings, now)? {
            count += open.len();
            for withdrawal in open {
                metrics.recovered(withdrawal.state.name());
                watchers.changed(withdrawal);
            }
            let atm = attendant.atm().clone();
            let handle =
                Driver::start(attendant, Some(first), Arc::clone(&self.surroundings), self.serving.clone(), None);
            self.lanes().insert(atm, handle);
        }
        Ok(count)
    }
}
