//! What happens before the gateway says that it is ready: open withdrawals and what limits count come back from the ledger.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cashgate_ledger::{LedgerReader, ReadError, Spent, StoredStep, WithdrawalSummary};
use cashgate_limits::{AccountKey, Limits, Reservation};
use cashgate_wire::journal::{self, JournalError};
use cashgate_withdrawal::ids::{AtmId, WithdrawalId};
use cashgate_withdrawal::lane::LaneSettings;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use cashgate_withdrawal::withdrawal::Withdrawal;
#[cfg(feature = "planted")]
use cashgate_withdrawal::{
    planted::{Bug, is},
    withdrawal::State,
};

use super::{Attendant, Driver, Intent, Lanes, Surroundings};
use crate::admission::{Desk, earliest_day};
use crate::config::Institution;

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
    /// What left machines for withdrawals of this calendar day and later.
    fn spent_since(&self, day: CalendarDay) -> Result<Vec<Spent>, ReadError>;
    /// Every withdrawal that was approved since and has ended.
    fn ended_since(&self, moment: Timestamp) -> Result<Vec<Spent>, ReadError>;
}

impl History for LedgerReader {
    fn open_withdrawals(&self) -> Result<Vec<(WithdrawalSummary, Vec<StoredStep>)>, ReadError> {
        self.open_withdrawals()
    }

    fn spent_since(&self, day: CalendarDay) -> Result<Vec<Spent>, ReadError> {
        self.spent_since(day)
    }

    fn ended_since(&self, moment: Timestamp) -> Result<Vec<Spent>, ReadError> {
        self.ended_since(moment)
    }
}

/// Counts again, from the ledger, what ended withdrawals still count for: what left machines on days that are not over, and every attempt
/// that still slows the next one down. Comes before any reservation is made.
pub fn restore_spent(
    history: &impl History,
    limits: &Limits,
    institutions: &[Institution],
    now: Timestamp,
) -> Result<usize, ReadError> {
    let bursts: HashMap<_, _> = institutions.iter().map(|one| (&one.id, one.limits.burst())).collect();
    let slowed_for = bursts.values().map(|burst| burst.every.saturating_mul(burst.withdrawals.get())).max();
    let slowed_since = now.unix_ms().saturating_sub(milliseconds(slowed_for.unwrap_or_default()));
    let mut counting: BTreeMap<WithdrawalId, Spent> = BTreeMap::new();
    for one in history.ended_since(Timestamp::from_unix_ms(slowed_since))? {
        counting.insert(one.withdrawal, one);
    }
    for one in history.spent_since(earliest_day(institutions, now))? {
        counting.insert(one.withdrawal, one);
    }
    let mut counting: Vec<Spent> = counting.into_values().collect();
    // Limits of pace are exact in the order of admission.
    counting.sort_by_key(|one| one.approved_at);
    #[cfg(feature = "planted")]
    if is(Bug::SpentForgottenOnCrash) {
        return Ok(0);
    }
    for one in &counting {
        // An institution that is not served any more has no limits to count against.
        if let Some(burst) = bursts.get(&one.institution) {
            let key = AccountKey::new(one.institution.clone(), one.account.clone());
            limits.restore_spent(&key, one.dispensed, one.day, one.approved_at, *burst);
        }
    }
    Ok(counting.len())
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
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

/// Every lane with open withdrawals, by the order of its ATM's id, with reservations made again. [`restore_spent`] comes before.
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
            let handle = Driver::start(attendant, Some(first), Arc::clone(&self.surroundings), self.serving.clone());
            self.lanes().insert(atm, handle);
        }
        Ok(count)
    }
}
