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
use super::{Desk, Judged, calendar_day};

/// One lane's access to the desk, and the reservations of its open withdrawals.
#[derive(Debug)]
pub struct LaneDesk {
    desk: Arc<Desk>,
    reservations: HashMap<WithdrawalId, Reservation>,
}

impl LaneDesk {
    /// Access with the reservations that recovery found.
    #[must_use]
    pub const fn new(desk: Arc<Desk>, reservations: HashMap<WithdrawalId, Reservation>) -> Self {
        Self { desk, reservations }
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
        let Some(reservation) = self.reservations.remove(&withdrawal) else {
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
}

impl Admission for LaneDesk {
    fn admit(&mut self, approval: &Approval, machine: Machine<'_>, now: Timestamp) -> Result<Admitted, Refusal> {
        if self.desk.ledger_full.load(Ordering::Acquire) {
            return Err(Refusal::LedgerFull);
        }
        let rules = self.desk.rules();
        let institution = rules.institution(&approval.institution)?;
        let device = &self.desk.devices.approving(&approval.institution, &approval.device)?;
        let asked = Asked { institution, device, approval, machine, now };
        let admitted = self.desk.judge(&rules, &asked).and_then(|judged| {
            let reservation = self.desk.reserve(&rules, &asked, &judged)?;
            self.desk.accepted(&asked);
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
        };
        #[cfg(feature = "planted")]
        if is(Bug::ReservationForgotten) {
            reservation.release();
            return Ok(Admitted { decision, confirm_code, evidence_demanded });
        }
        self.reservations.insert(approval.fresh, reservation);
        Ok(Admitted { decision, confirm_code, evidence_demanded })
    }

    fn may_show_codes(&self, atm: &AtmId) -> Result<(), Refusal> {
        self.desk.stops.refuse_atm(atm)
    }

    fn has_dispense_key(&self, atm: &AtmId) -> bool {
        self.desk.dispense_tokens.has_key(atm)
    }
}
