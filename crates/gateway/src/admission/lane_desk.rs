//! One lane's access to the desk.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cashgate_limits::Reservation;
use cashgate_withdrawal::ids::{AtmId, WithdrawalId};
use cashgate_withdrawal::lane::{Admission, Admitted, Approval, Lane, Machine};
use cashgate_withdrawal::money::Money;
#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::stop::StopScope;
use cashgate_withdrawal::time::Timestamp;
use cashgate_withdrawal::withdrawal::Decision;

use super::asked::Asked;
use super::sharing::Basis;
use super::{Desk, Intended, Judged, LimitKey, calendar_day};

/// One lane's access to the desk, and the reservations of its open withdrawals.
#[derive(Debug)]
pub struct LaneDesk {
    desk: Arc<Desk>,
    reservations: HashMap<WithdrawalId, Reservation>,
    /// With several replicas: which copies each reservation was made of.
    bases: HashMap<WithdrawalId, Basis>,
    /// The approval that is remembered already and computed once more.
    again: Option<WithdrawalId>,
}

impl LaneDesk {
    /// Access with the reservations that recovery found.
    #[must_use]
    pub fn new(desk: Arc<Desk>, reservations: HashMap<WithdrawalId, Reservation>) -> Self {
        Self { desk, reservations, bases: HashMap::new(), again: None }
    }

    /// Access with open withdrawals that were counted before this lane came to have them: by another replica, or by this one before it let go.
    #[must_use]
    pub fn adopting(desk: Arc<Desk>, open: impl IntoIterator<Item = (WithdrawalId, Vec<LimitKey>)>) -> Self {
        // Of no copy at all: with its end, the copies that know of it as open are let go.
        let bases = open.into_iter().map(|(id, keys)| (id, Basis::of_none(keys))).collect();
        Self { bases, ..Self::new(desk, HashMap::new()) }
    }

    /// Whether there are other replicas.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.desk.shared.is_some()
    }

    /// The entries that an approval is computed from and of which there is no copy.
    #[must_use]
    pub fn unread(&self, approval: &Approval, atm: &AtmId) -> Vec<LimitKey> {
        let Approval { institution, account, device, .. } = approval;
        self.desk.unread(self.desk.limit_keys(Intended { institution, account, device, atm }))
    }

    /// What a withdrawal's approval was computed from.
    #[must_use]
    pub fn basis(&self, withdrawal: WithdrawalId) -> Option<&Basis> {
        self.bases.get(&withdrawal)
    }

    /// A commit of this lane raised these entries. `None`: it went through, and to which versions is not known.
    pub fn raised(&self, entries: Option<&[(LimitKey, u64)]>) {
        let Some(shared) = &self.desk.shared else { return };
        let Some(entries) = entries else { return shared.forget(self.bases.values().flat_map(Basis::keys)) };
        for (key, version) in entries {
            let counted_in = self.bases.values().filter(|basis| basis.keys().any(|known| known == key));
            // Of several withdrawals of one account, the latest was made of the latest copy.
            shared.raised(key, *version, counted_in.max_by_key(|basis| basis.latest()));
        }
    }

    /// An approval did not become durable: it counts no more, and may be computed again.
    pub fn take_back(&mut self, withdrawal: WithdrawalId) {
        self.again = Some(withdrawal);
        let reservation = self.reservations.remove(&withdrawal);
        let (Some(shared), Some(basis)) = (&self.desk.shared, self.bases.remove(&withdrawal)) else { return };
        if let Some(reservation) = reservation {
            shared.end(&basis, || reservation.release());
        }
        #[cfg(feature = "planted")]
        if is(Bug::CopyKeptOnConflict) {
            return;
        }
        shared.forget(basis.keys());
    }

    /// The lane is another replica's now: of all that it counted here, what became of it is not known any more.
    pub fn let_go(&mut self) {
        if let Some(shared) = &self.desk.shared {
            shared.forget(self.bases.values().flat_map(Basis::keys));
        }
        self.bases.clear();
        // Dropped, not ended: the copies that count them are gone.
        self.reservations.clear();
    }

    /// What a lane has to end, because it may not go on.
    #[must_use]
    pub fn stopped(&self, lane: &Lane) -> Vec<StopScope> {
        self.desk.stopped(lane)
    }

    /// Counts what left, or nothing, and ends the reservation.
    pub fn end_reservation(&mut self, withdrawal: WithdrawalId, dispensed: Option<Money>) {
        #[cfg(feature = "planted")]
        let dispensed = dispensed.filter(|_| !is(Bug::SpentForgotten));
        #[cfg(feature = "planted")]
        if is(Bug::ReservationKept) && dispensed.is_none() {
            return;
        }
        if let (Some(shared), Some(basis)) = (&self.desk.shared, self.bases.remove(&withdrawal)) {
            let reservation = self.reservations.remove(&withdrawal);
            return shared.end(&basis, || end(reservation, withdrawal, dispensed));
        }
        end(self.reservations.remove(&withdrawal), withdrawal, dispensed);
    }
}

fn end(reservation: Option<Reservation>, withdrawal: WithdrawalId, dispensed: Option<Money>) {
    let Some(reservation) = reservation else {
        tracing::error!(%withdrawal, "a withdrawal ended that had no reservation");
        return;
    };
    match dispensed {
        None => reservation.release(),
        Some(amount) => {
            if let Err(error) = reservation.settle(amount) {
                tracing::error!(%withdrawal, %error, "a reservation did not settle as it should");
            }
        }
    }
}

impl Admission for LaneDesk {
    fn admit(&mut self, approval: &Approval, machine: Machine<'_>, now: Timestamp) -> Result<Admitted, Refusal> {
        if self.desk.ledger_full.load(Ordering::Acquire) {
            return Err(Refusal::LedgerFull);
        }
        if !self.desk.follows_the_ledger(now) {
            return Err(Refusal::Overloaded);
        }
        let rules = self.desk.rules();
        let institution = rules.institution(&approval.institution)?;
        let device = &self.desk.devices.approving(&approval.institution, &approval.device)?;
        let asked = Asked { institution, device, approval, machine, now };
        // Before anything is computed: what is counted meanwhile only makes it stricter than it says.
        let basis = self.desk.shared.as_ref().map(|shared| shared.basis(self.desk.limit_keys(asked.intended())));
        let is_again = self.again.take() == Some(approval.fresh);
        #[cfg(feature = "planted")]
        let is_again = is_again && !is(Bug::AskedAgainCounted);
        let admitted = self.desk.judge(&rules, &asked, is_again).and_then(|judged| {
            let reservation = self.desk.reserve(&rules, &asked, &judged)?;
            if !is_again {
                self.desk.accepted(&asked);
            }
            Ok((judged, reservation))
        });
        self.desk.tell_alarms();
        let (Judged { decision, facts, confirm_code }, reservation) = admitted?;
        let evidence_demanded = institution.evidence_demanded;
        #[cfg(feature = "planted")]
        let evidence_demanded =
            if is(Bug::GradeIgnored) { cashgate_withdrawal::evidence::EvidenceGrade::C } else { evidence_demanded };
        let decision = Decision {
            policy_version: decision.policy_version,
            rules: decision.rules,
            facts: facts.to_record(),
            limit_figures: reservation.basis(),
            key: approval.code.key,
            day: calendar_day(institution, now),
            confirm_code: confirm_code.is_some(),
            machine_location: machine.facts.location,
        };
        #[cfg(feature = "planted")]
        if is(Bug::ReservationForgotten) {
            reservation.release();
            return Ok(Admitted { decision, confirm_code, evidence_demanded });
        }
        self.reservations.insert(approval.fresh, reservation);
        self.bases.extend(basis.map(|basis| (approval.fresh, basis)));
        Ok(Admitted { decision, confirm_code, evidence_demanded })
    }

    fn may_show_codes(&self, atm: &AtmId) -> Result<(), Refusal> {
        self.desk.stops.refuse_atm(atm)
    }

    fn has_dispense_key(&self, atm: &AtmId) -> bool {
        self.desk.dispense_tokens.has_key(atm)
    }
}
