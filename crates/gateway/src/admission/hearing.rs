//! What other replicas were asked for, as the ledger tells it, in the memory of patterns: each attempt once, whoever decided about it.
//!
//! An attempt is counted here when it is decided here, before it is durable, or when a start reads it; so it may come back in what the
//! ledger tells. Each has an id, that of the withdrawal which it would become, and the ids of the latest that were counted are kept.

use std::collections::{HashSet, VecDeque};
use std::sync::{MutexGuard, PoisonError};

use cashgate_ledger::ApprovedRow;
use cashgate_policy::patterns::{Alarm, Attempt, Gathered, Place};
use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId, WithdrawalId};
use cashgate_withdrawal::location::Location;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::notice::{Happening, Notice, RefusedApproval};
#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};
use cashgate_withdrawal::time::Timestamp;
use cashgate_withdrawal::withdrawal::Terms;

use super::Desk;
use crate::config::Institution;

/// The attempts that were counted here and may still come back. Bounded: what is decided here is told by the ledger within a second while it
/// can be written at all, and what a start reads twice is the latest of it.
#[derive(Debug, Default)]
pub(super) struct Counted {
    ids: HashSet<WithdrawalId>,
    order: VecDeque<WithdrawalId>,
}

impl Counted {
    const MOST: usize = 65_536;

    /// An attempt is counted here.
    fn note(&mut self, id: WithdrawalId) {
        if self.ids.insert(id) {
            self.order.push_back(id);
        }
        while self.order.len() > Self::MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
    }

    /// Whether an attempt that the ledger tells of is counted already; the ledger tells of each once.
    fn took(&mut self, id: WithdrawalId) -> bool {
        #[cfg(feature = "planted")]
        if is(Bug::OwnAttemptHeard) {
            return false;
        }
        self.ids.remove(&id)
    }
}

impl Desk {
    /// An attempt is about to be counted here. Comes before anything of it can be in the ledger.
    pub(super) fn counted_here(&self, attempt: WithdrawalId) {
        if let Some(mut counted) = self.counted() {
            counted.note(attempt);
        }
    }

    /// A withdrawal was approved, by whatever replica: counts it unless that was done. Gives alarms of what stands out because of it.
    pub fn hear_approved(&self, terms: &Terms) -> Vec<Notice> {
        #[cfg(feature = "planted")]
        if is(Bug::ApprovalsNotHeard) {
            return Vec::new();
        }
        if self.counted().is_none_or(|mut counted| counted.took(terms.withdrawal)) {
            return Vec::new();
        }
        let rules = self.rules();
        let Some(of) = rules.institutions.get(&terms.institution) else { return Vec::new() };
        let place = terms.decision.machine_location;
        let attempt = self.heard(of, Asker::of(terms), place, terms.approved_at);
        let alarms = self.patterns().alarms_of(|patterns| {
            patterns.attempted(&attempt);
            patterns.withdrew(&attempt);
        });
        alarms.into_iter().map(notice_of).collect()
    }

    /// An approval was refused, by whatever replica: counts the attempt unless that was done. What policy was never asked about is none:
    /// anybody can name a phone.
    pub fn hear_refused(&self, refused: &RefusedApproval, at: Timestamp) -> Vec<Notice> {
        #[cfg(feature = "planted")]
        if is(Bug::RefusalsNotHeard) {
            return Vec::new();
        }
        let counted = |attempt| self.counted().is_none_or(|mut counted| counted.took(attempt));
        if refused.policy_verdict.is_empty() || refused.attempt.is_none_or(counted) {
            return Vec::new();
        }
        let rules = self.rules();
        let Some(of) = rules.institutions.get(&refused.institution) else { return Vec::new() };
        let attempt = self.heard(of, Asker::of_refused(refused), None, at);
        let alarms = self.patterns().alarms_of(|patterns| patterns.attempted(&attempt));
        alarms.into_iter().map(notice_of).collect()
    }

    /// What policy would be told of the past, if this were asked.
    #[must_use]
    pub fn remembered(&self, attempt: &Attempt<'_>) -> Gathered {
        self.patterns().gathered(attempt)
    }

    /// Tells of one pattern that stands out.
    pub fn tell_alarm(&self, alarm: Notice) {
        self.board.post(alarm);
    }

    /// An attempt as it was when it was made, as far as the ledger tells.
    pub(super) fn heard<'a>(
        &self,
        of: &Institution,
        asker: Asker<'a>,
        place: Option<Location>,
        now: Timestamp,
    ) -> Attempt<'a> {
        let device_age = self.age_then(asker.institution, asker.device, now);
        Attempt {
            institution: asker.institution,
            account: asker.account,
            device: asker.device,
            atm: asker.atm,
            place: place.map(Place::from),
            amount: asker.amount,
            device_age,
            is_new_device: of.limits.is_new(device_age),
            now,
        }
    }

    #[cfg(feature = "planted")]
    pub(super) fn forget_counted(&self) {
        if let Some(mut counted) = self.counted() {
            *counted = Counted::default();
        }
    }

    fn counted(&self) -> Option<MutexGuard<'_, Counted>> {
        self.counted.as_ref().map(|counted| counted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What analysts are told of an alarm.
pub(super) fn notice_of(alarm: Alarm) -> Notice {
    Notice {
        at: alarm.at,
        what: Happening::Alarm {
            detail: alarm.to_string(),
            pattern: alarm.pattern.name().to_owned(),
            // Several banks' customers draw at one machine.
            institution: alarm.atm.is_none().then_some(alarm.institution),
            atm: alarm.atm,
            device: alarm.device,
        },
    }
}

/// Who asked for how much, and where.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    institution: &'a InstitutionId,
    account: &'a AccountId,
    device: &'a DeviceId,
    atm: &'a AtmId,
    amount: Money,
}

impl<'a> Asker<'a> {
    fn of(terms: &'a Terms) -> Self {
        let Terms { institution, account, device, atm, amount, .. } = terms;
        Self { institution, account, device, atm, amount: *amount }
    }

    pub(super) fn of_row(row: &'a ApprovedRow) -> Self {
        let ApprovedRow { institution, account, device, atm, amount, .. } = row;
        Self { institution, account, device, atm, amount: *amount }
    }

    pub(super) fn of_refused(refused: &'a RefusedApproval) -> Self {
        let RefusedApproval { institution, account, device, atm, amount, .. } = refused;
        Self { institution, account, device, atm, amount: *amount }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> WithdrawalId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        WithdrawalId::from_bytes(bytes)
    }

    #[test]
    fn an_attempt_that_was_counted_is_known_once_and_the_oldest_are_forgotten() {
        let mut counted = Counted::default();
        counted.note(id(1));
        counted.note(id(1));
        assert!(counted.took(id(1)) && !counted.took(id(1)));
        let most = u32::try_from(Counted::MOST).unwrap();
        (2..most + 4).for_each(|number| counted.note(id(number)));
        assert!(counted.order.len() == Counted::MOST && counted.ids.len() <= Counted::MOST);
        assert!(!counted.took(id(2)) && counted.took(id(most)));
    }
}
