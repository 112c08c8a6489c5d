//! What happens before the gateway says that it is ready: open withdrawals and what limits count come back from the ledger.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cashgate_ledger::{LedgerReader, ReadError, Spent, StoredStep};
use cashgate_limits::{AccountKey, Limits, Reservation};
use cashgate_wire::journal::{self, JournalError};
use cashgate_withdrawal::ids::{AtmId, WithdrawalId};
use cashgate_withdrawal::lane::Lane;
use cashgate_withdrawal::time::Timestamp;
use cashgate_withdrawal::withdrawal::Withdrawal;

use super::{Driver, Lanes};
use crate::admission::{LaneDesk, earliest_day};
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

/// Counts again, from the ledger, what ended withdrawals still count for: what left machines on days that are not over, and every attempt
/// that still slows the next one down. Comes before any reservation is made.
pub(crate) fn restore_spent(
    reader: &LedgerReader,
    limits: &Limits,
    institutions: &[Institution],
    now: Timestamp,
) -> Result<usize, ReadError> {
    let bursts: HashMap<_, _> = institutions.iter().map(|one| (&one.id, one.limits.burst())).collect();
    let slowed_for = bursts.values().map(|burst| burst.every.saturating_mul(burst.withdrawals.get())).max();
    let slowed_since = now.unix_ms().saturating_sub(milliseconds(slowed_for.unwrap_or_default()));
    let mut counting: BTreeMap<WithdrawalId, Spent> = BTreeMap::new();
    for one in reader.ended_since(Timestamp::from_unix_ms(slowed_since))? {
        counting.insert(one.withdrawal, one);
    }
    for one in reader.spent_since(earliest_day(institutions, now))? {
        counting.insert(one.withdrawal, one);
    }
    let mut counting: Vec<Spent> = counting.into_values().collect();
    // Limits of pace are exact in the order of admission.
    counting.sort_by_key(|one| one.approved_at);
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

impl Lanes {
    /// Brings back every lane with open withdrawals, its reservations included. Returns how many withdrawals are open. Blocking.
    pub fn recover(&self, now: Timestamp) -> Result<usize, RecoveryError> {
        let mut by_atm: BTreeMap<AtmId, Vec<(Withdrawal, u32)>> = BTreeMap::new();
        let open = self.surroundings.ledger.reader().open_withdrawals()?;
        let count = open.len();
        for (summary, steps) in open {
            let withdrawal = replay(summary.id, &steps)?;
            by_atm.entry(withdrawal.terms.atm.clone()).or_default().push((withdrawal, summary.last_step));
        }
        for (atm, open) in by_atm {
            let mut reservations: HashMap<WithdrawalId, Reservation> = HashMap::new();
            for (withdrawal, _) in &open {
                let id = withdrawal.terms.withdrawal;
                let reservation = self.surroundings.desk.restore(withdrawal);
                let reservation = reservation.map_err(|why| RecoveryError::Reservation { withdrawal: id, why })?;
                reservations.insert(id, reservation);
                self.surroundings.metrics.recovered(withdrawal.state.name());
                self.surroundings.watchers.changed(withdrawal.clone());
            }
            let settings = Arc::clone(&self.surroundings.settings);
            let (lane, first) = Lane::recovered(atm.clone(), settings, open, now);
            let desk = LaneDesk::new(Arc::clone(&self.surroundings.desk), reservations);
            let surroundings = Arc::clone(&self.surroundings);
            let handle = Driver::start_with(lane, desk, first, surroundings, self.serving.clone());
            self.lanes().insert(atm, handle);
        }
        Ok(count)
    }
}
