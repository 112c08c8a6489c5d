//! Whether an approval is accepted: the policy's verdict, then the limits, with the amount reserved under the withdrawal's id.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cashgate_limits::{AccountKey, Headroom, LimitRefusal, Limits, Reservation};
use cashgate_policy::{Decision as PolicyDecision, Facts, PolicySet, Verdict};
use cashgate_withdrawal::ids::{AccountId, AtmId, InstitutionId, WithdrawalId};
use cashgate_withdrawal::lane::{Admission, Admitted, Approval, ConfirmCode};
use cashgate_withdrawal::money::Money;
#[cfg(feature = "planted")]
use cashgate_withdrawal::planted::{Bug, is};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use cashgate_withdrawal::withdrawal::{Decision, Withdrawal};

use crate::config::Institution;
use crate::devices::KnownDevices;
use crate::dispense_tokens::{DispenseTokens, NoKeys};

const HOUR_MS: u64 = 3_600_000;

/// What decides on an approval before limits do: the same facts always get the same answer.
pub trait Policy: std::fmt::Debug + Send + Sync {
    /// The decision and what stands behind it.
    fn decide(&self, facts: &Facts) -> PolicyDecision;
}

impl Policy for PolicySet {
    fn decide(&self, facts: &Facts) -> PolicyDecision {
        self.decide(facts)
    }
}

/// What every lane asks. Shared by all of them.
#[derive(Debug)]
pub struct Desk {
    limits: Arc<Limits>,
    policy: Box<dyn Policy>,
    devices: Arc<KnownDevices>,
    institutions: HashMap<InstitutionId, Institution>,
    /// Random bits for confirm codes; nothing when the system has none.
    random: fn() -> Option<u32>,
    dispense_tokens: DispenseTokens,
    /// Set while the ledger has no room for new withdrawals.
    ledger_full: AtomicBool,
}

impl Desk {
    /// A desk over the limits that recovery has rebuilt.
    #[must_use]
    pub fn new(
        limits: Arc<Limits>,
        policy: Box<dyn Policy>,
        devices: Arc<KnownDevices>,
        institutions: &[Institution],
        random: fn() -> Option<u32>,
    ) -> Self {
        let institutions = institutions.iter().map(|one| (one.id.clone(), one.clone())).collect();
        Self {
            limits,
            policy,
            devices,
            institutions,
            random,
            dispense_tokens: DispenseTokens::new(Arc::new(NoKeys)),
            ledger_full: AtomicBool::new(false),
        }
    }

    /// The same desk for machines whose tokens are made and verified so; without it no machine has a dispense key.
    #[must_use]
    pub fn with_dispense_tokens(self, dispense_tokens: DispenseTokens) -> Self {
        Self { dispense_tokens, ..self }
    }

    /// What makes and verifies the tokens of machines with end-to-end security.
    #[must_use]
    pub const fn dispense_tokens(&self) -> &DispenseTokens {
        &self.dispense_tokens
    }

    /// Whether the ledger has room for new withdrawals. While it has none they are refused, and what room is left is for the outcomes of
    /// those that are open.
    pub fn ledger_has_room(&self, has_room: bool) {
        self.ledger_full.store(!has_room, Ordering::Release);
    }

    /// The limits.
    #[must_use]
    pub const fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Whether the institution is one of this gateway's.
    pub fn institution(&self, id: &InstitutionId) -> Result<&Institution, Refusal> {
        self.institutions.get(id).ok_or(Refusal::NotAllowed { factor: "institution_unknown" })
    }

    /// What an account could withdraw now.
    pub fn headroom(&self, id: &InstitutionId, account: AccountId, now: Timestamp) -> Result<Headroom, Refusal> {
        let institution = self.institution(id)?;
        let key = AccountKey::new(id.clone(), account);
        Ok(self.limits.headroom(&key, &institution.limits, calendar_day(institution, now), now))
    }

    /// The reservation of a withdrawal that was found open at the start.
    pub fn restore(&self, withdrawal: &Withdrawal) -> Result<Reservation, String> {
        let terms = &withdrawal.terms;
        let institution = self
            .institutions
            .get(&terms.institution)
            .ok_or_else(|| format!("its institution {} is not configured any more; put it back", terms.institution))?;
        let key = AccountKey::new(terms.institution.clone(), terms.account.clone());
        self.limits
            .restore_reservation(
                &key,
                terms.withdrawal,
                terms.amount,
                terms.decision.day,
                terms.approved_at,
                institution.limits.burst(),
            )
            .map_err(|error| error.to_string())
    }

    fn judge(&self, approval: &Approval, atm: &AtmId, chosen_at_atm: bool, now: Timestamp) -> Result<Judged, Refusal> {
        let institution = self.institution(&approval.institution)?;
        if approval.amount.currency() != institution.currency {
            return Err(Refusal::CurrencyDiffers);
        }
        let device = self.devices.approving(&approval.institution, &approval.device)?;
        let decision = self.policy.decide(&Facts {
            institution: approval.institution.clone(),
            account: approval.account.clone(),
            device: approval.device.clone(),
            atm: atm.clone(),
            amount: approval.amount,
            device_age: now.since(device.bound_at),
            amount_chosen_at_atm: chosen_at_atm,
            local_hour: local_hour(institution, now),
        });
        let confirm_code = match decision.verdict {
            Verdict::Permit => None,
            Verdict::StepUp => {
                let bits = (self.random)().ok_or(Refusal::NotAllowed { factor: "no_random_bits" })?;
                Some(ConfirmCode::from_random(bits))
            }
            Verdict::Forbid => {
                tracing::info!(reasons = ?decision.reasons, rules = ?decision.rules, "policy forbids an approval");
                return Err(Refusal::NotAllowed { factor: "policy" });
            }
        };
        Ok(Judged { policy_version: decision.policy_version, confirm_code })
    }
}

struct Judged {
    policy_version: String,
    confirm_code: Option<ConfirmCode>,
}

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
    fn admit(
        &mut self,
        approval: &Approval,
        atm: &AtmId,
        chosen_at_atm: bool,
        now: Timestamp,
    ) -> Result<Admitted, Refusal> {
        if self.desk.ledger_full.load(Ordering::Acquire) {
            return Err(Refusal::LedgerFull);
        }
        let Judged { policy_version, confirm_code } = self.desk.judge(approval, atm, chosen_at_atm, now)?;
        let institution = self.desk.institution(&approval.institution)?;
        let key = AccountKey::new(approval.institution.clone(), approval.account.clone());
        let (figures, today) = (&institution.limits, calendar_day(institution, now));
        #[cfg(feature = "planted")]
        let figures = &crate::lanes::planted::figures(figures);
        let reservation = self
            .desk
            .limits
            .reserve(&key, approval.fresh, approval.amount, figures, today, now)
            .map_err(|refusal: LimitRefusal| Refusal::LimitExceeded { limit: refusal.reason() })?;
        let evidence_demanded = institution.evidence_demanded;
        #[cfg(feature = "planted")]
        let evidence_demanded =
            if is(Bug::GradeIgnored) { cashgate_withdrawal::evidence::EvidenceGrade::C } else { evidence_demanded };
        let decision = Decision {
            policy_version,
            limit_figures: figures.to_string(),
            key: approval.code.key,
            day: reservation.day(),
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

    fn has_dispense_key(&self, atm: &AtmId) -> bool {
        self.desk.dispense_tokens.has_key(atm)
    }
}

/// The calendar day at an institution.
#[must_use]
pub fn calendar_day(institution: &Institution, now: Timestamp) -> CalendarDay {
    let date = zoned(institution, now).date();
    let epoch = jiff::civil::date(1970, 1, 1);
    CalendarDay(epoch.until(date).map_or(0, |span| span.get_days()))
}

/// The earliest calendar day that still counts anywhere: that of an hour ago, so that an approval which read its day just before
/// midnight still finds what was spent on it.
#[must_use]
pub fn earliest_day(institutions: &[Institution], now: Timestamp) -> CalendarDay {
    let an_hour_ago = Timestamp::from_unix_ms(now.unix_ms().saturating_sub(HOUR_MS));
    institutions.iter().map(|one| calendar_day(one, an_hour_ago)).min().unwrap_or(CalendarDay(0))
}

fn local_hour(institution: &Institution, now: Timestamp) -> u8 {
    u8::try_from(zoned(institution, now).hour()).unwrap_or(0)
}

fn zoned(institution: &Institution, now: Timestamp) -> jiff::Zoned {
    let ms = i64::try_from(now.unix_ms()).unwrap_or(i64::MAX);
    let instant = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    instant.to_zoned(institution.time_zone.clone())
}
