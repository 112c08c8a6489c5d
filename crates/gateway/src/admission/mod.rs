//! Whether an approval is accepted: the kill switch, the policy's verdict, then the limits, with the amount reserved under the
//! withdrawal's id.

mod asked;
mod calendar;
mod hearing;
mod lane_desk;
mod recalling;
mod rulebook;
mod sharing;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use asked::Asked;
use cashgate_limits::{Headroom, HeadroomRequest, LimitRefusal, Limits, Reservation, Restored};
use cashgate_policy::patterns::Patterns;
use cashgate_policy::{Decision as PolicyDecision, Facts, Verdict};
use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::lane::{Begun, ConfirmCode, Lane};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::notice::{Happening, Notice, RefusedApproval};
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::stop::StopScope;
use cashgate_withdrawal::time::Timestamp;
use cashgate_withdrawal::withdrawal::{Terms, Withdrawal};

use crate::devices::KnownDevices;
use crate::dispense_tokens::{DispenseTokens, NoKeys};
use crate::notice_board::{NoBoard, NoticeBoard};
use crate::stops::Stops;
use crate::telemetry::Span;
pub use calendar::{calendar_day, day_began, local_hour};
pub use cashgate_ledger::LimitKey;
use hearing::{Counted, notice_of};
pub use lane_desk::LaneDesk;
pub use rulebook::{Policy, Rulebook, Rules};
pub use sharing::{Basis, LimitVersions};

/// What every lane asks. Shared by all of them.
#[derive(Debug)]
pub struct Desk {
    limits: Arc<Limits>,
    rulebook: Arc<Rulebook>,
    devices: Arc<KnownDevices>,
    stops: Arc<Stops>,
    /// Held for as long as it takes to look something up, never over an `await`.
    patterns: Mutex<Patterns>,
    board: Arc<dyn NoticeBoard>,
    /// Random bits for confirm codes; nothing when the system has none.
    random: fn() -> Option<u32>,
    dispense_tokens: DispenseTokens,
    /// Set while the ledger has no room for new withdrawals.
    ledger_full: AtomicBool,
    /// Until when it is known what other replicas have written, in milliseconds since 1970. From then on a stop might be missed.
    followed_until_ms: AtomicU64,
    /// With several replicas: of which version their entries are.
    shared: Option<LimitVersions>,
    /// With several replicas: which attempts are remembered here already.
    counted: Option<Mutex<Counted>>,
}

/// Where a customer would withdraw, from what and with which phone.
#[derive(Clone, Copy, Debug)]
pub struct Intended<'a> {
    /// Whose customer.
    pub institution: &'a InstitutionId,
    /// From which account.
    pub account: &'a AccountId,
    /// With which phone.
    pub device: &'a DeviceId,
    /// At which machine.
    pub atm: &'a AtmId,
}

/// What policy made of an approval, and what it was asked with.
struct Judged {
    decision: PolicyDecision,
    facts: Facts,
    confirm_code: Option<ConfirmCode>,
}

impl Desk {
    /// A desk over the limits that recovery has rebuilt. Nothing is stopped, nothing is remembered, and nobody hears its notices.
    #[must_use]
    pub fn new(
        limits: Arc<Limits>,
        rulebook: Arc<Rulebook>,
        devices: Arc<KnownDevices>,
        random: fn() -> Option<u32>,
    ) -> Self {
        Self {
            limits,
            rulebook,
            devices,
            stops: Arc::default(),
            patterns: Mutex::default(),
            board: Arc::new(NoBoard),
            random,
            dispense_tokens: DispenseTokens::new(Arc::new(NoKeys)),
            ledger_full: AtomicBool::new(false),
            followed_until_ms: AtomicU64::new(u64::MAX),
            shared: None,
            counted: None,
        }
    }

    /// The same desk for one replica of several: its limits are copies of what all of them share, and it hears what the others were asked for.
    #[must_use]
    pub fn with_shared_limits(self) -> Self {
        Self { shared: Some(LimitVersions::default()), counted: Some(Mutex::default()), ..self }
    }

    /// The same desk for machines whose tokens are made and verified so; without it no machine has a dispense key.
    #[must_use]
    pub fn with_dispense_tokens(self, dispense_tokens: DispenseTokens) -> Self {
        Self { dispense_tokens, ..self }
    }

    /// The same desk under these stops, and with somebody to tell.
    #[must_use]
    pub fn with_stops(self, stops: Arc<Stops>, board: Arc<dyn NoticeBoard>) -> Self {
        Self { stops, board, ..self }
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

    /// Whether all that other replicas have written is known here. While it is not, new withdrawals are refused: one of them may be stopped.
    pub fn ledger_is_followed(&self, is_followed: bool) {
        self.ledger_is_followed_until(Timestamp::from_unix_ms(if is_followed { u64::MAX } else { 0 }));
    }

    /// The same up to a moment: whoever says so may be late to take it back, because what he waits for hangs, or his process stood still.
    pub fn ledger_is_followed_until(&self, until: Timestamp) {
        self.followed_until_ms.store(until.unix_ms(), Ordering::Release);
    }

    fn follows_the_ledger(&self, now: Timestamp) -> bool {
        now.unix_ms() < self.followed_until_ms.load(Ordering::Acquire)
    }

    /// The limits.
    #[must_use]
    pub const fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// The rules that hold now.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        self.rulebook.current()
    }

    /// Where rules are replaced.
    #[must_use]
    pub const fn rulebook(&self) -> &Arc<Rulebook> {
        &self.rulebook
    }

    /// Who is told what happens beside withdrawals.
    #[must_use]
    pub fn board(&self) -> &dyn NoticeBoard {
        self.board.as_ref()
    }

    /// Whether a customer may scan a code: nothing that concerns him is stopped, and the phone is neither unknown, revoked nor locked.
    ///
    /// # Errors
    /// It may not. What concerns the account or the phone alone does not show from outside.
    pub fn may_scan(&self, intended: Intended<'_>) -> Result<(), Refusal> {
        self.rules().institution(intended.institution)?;
        self.stops.refuse(intended)?;
        self.devices.approving(intended.institution, intended.device)?;
        if self.limits.attempts(intended.institution, intended.device).locked {
            return Err(Refusal::NotAllowed { factor: "device_locked" });
        }
        Ok(())
    }

    /// What a lane has to end: everything, if its machine is stopped; else what its customers have begun and may not carry on.
    fn stopped(&self, lane: &Lane) -> Vec<StopScope> {
        if self.stops.refuse_atm(lane.atm()).is_err() {
            return vec![StopScope::Atm(lane.atm().clone())];
        }
        lane.begun().filter_map(|begun| self.stopped_of(begun)).collect()
    }

    fn stopped_of(&self, begun: Begun<'_>) -> Option<StopScope> {
        let Begun { institution, account, device, since } = begun;
        if let Some(account) = account.filter(|account| self.stops.has_account(institution, account)) {
            return Some(StopScope::Account(institution.clone(), account.clone()));
        }
        let goes_on = !self.stops.has_institution_or_device(institution, device)
            && !self.limits.attempts(institution, device).locked
            && self.devices.approving(institution, device).is_ok_and(|known| known.key_since <= since);
        (!goes_on).then(|| StopScope::Device(institution.clone(), device.clone()))
    }

    /// What a customer could withdraw now.
    ///
    /// # Errors
    /// The institution or the phone is not known.
    pub fn headroom(&self, intended: Intended<'_>, now: Timestamp) -> Result<Headroom, Refusal> {
        let Intended { institution, account, device, atm } = intended;
        let rules = self.rules();
        let of = rules.institution(institution)?;
        let device_age = self.devices.approving(institution, device)?.age(now);
        let day_began = day_began(of, now);
        let request = HeadroomRequest { institution, account, device, atm, device_age, day_began, now };
        Ok(self.limits.headroom(&request, &of.limits, &rules.atm_caps))
    }

    /// The reservation of a withdrawal that was found open at the start.
    ///
    /// # Errors
    /// Its institution is not served any more.
    pub fn restore(&self, withdrawal: &Withdrawal) -> Result<Reservation, String> {
        let terms = &withdrawal.terms;
        let rules = self.rules();
        let institution = rules
            .institutions
            .get(&terms.institution)
            .ok_or_else(|| format!("its institution {} is not configured any more; put it back", terms.institution))?;
        Ok(self.limits.restore_reservation(&Restored {
            institution: &terms.institution,
            account: &terms.account,
            device: &terms.device,
            atm: &terms.atm,
            amount: terms.amount,
            approved_at: terms.approved_at,
            is_new_device: institution.limits.is_new(self.age_then(
                &terms.institution,
                &terms.device,
                terms.approved_at,
            )),
            burst: institution.limits.burst(),
        }))
    }

    /// Whether a withdrawal's phone was new when it was approved.
    #[must_use]
    pub fn was_new_device(&self, terms: &Terms) -> bool {
        let age = self.age_then(&terms.institution, &terms.device, terms.approved_at);
        self.rules().institution(&terms.institution).is_ok_and(|of| of.limits.is_new(age))
    }

    /// How old a phone was at a moment of the past. One that is not known any more was new, which is stricter.
    fn age_then(&self, institution: &InstitutionId, device: &DeviceId, at: Timestamp) -> Duration {
        self.devices.find(institution, device).map_or(Duration::ZERO, |known| known.age_then(at))
    }

    fn patterns(&self) -> MutexGuard<'_, Patterns> {
        self.patterns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of what no decision needs any more, from time to time.
    pub fn forget(&self, now: Timestamp) -> usize {
        self.patterns().forget_older(now);
        self.limits.forget_idle(now)
    }

    /// Puts an approval to the kill switch and the policy, with all that is known of it.
    /// One that is asked `again`, because the ledger did not take it, is remembered already.
    fn judge(&self, rules: &Rules, asked: &Asked<'_>, again: bool) -> Result<Judged, Refusal> {
        if asked.approval.amount.currency() != asked.institution.currency {
            return Err(Refusal::CurrencyDiffers);
        }
        if let Err(refusal) = self.stops.refuse(asked.intended()) {
            self.tell_failed(asked.intended(), Some(asked.approval.amount), refusal.factor(), asked.now);
            return Err(refusal);
        }
        let _span = Span::current().child("policy");
        let attempt = asked.attempt();
        let gathered = {
            let mut patterns = self.patterns();
            let gathered = patterns.gathered(&attempt);
            if !again {
                self.counted_here(asked.approval.fresh);
                // A phone that is refused has shown what it wants all the same.
                patterns.attempted(&attempt);
            }
            gathered
        };
        let failed_attempts = self.limits.attempts(attempt.institution, attempt.device).failed;
        let facts = asked.facts(gathered, failed_attempts);
        let decision = rules.policy.decide(&facts);
        self.board.decided(&decision);
        if let Some(shadow) = &rules.shadow {
            self.board.shadowed(&decision, &shadow.decide(&facts));
        }
        let confirm_code = match decision.verdict {
            Verdict::Permit => None,
            Verdict::StepUp => {
                let bits = (self.random)().ok_or(Refusal::NotAllowed { factor: "no_random_bits" })?;
                Some(ConfirmCode::from_random(bits))
            }
            Verdict::Forbid => {
                tracing::info!(reasons = ?decision.reasons, rules = ?decision.rules, "policy forbids an approval");
                let reasons = decision.reasons.iter().map(ToString::to_string).collect();
                self.tell_refused(asked, reasons, &Judged { decision, facts, confirm_code: None });
                return Err(Refusal::NotAllowed { factor: "policy" });
            }
        };
        Ok(Judged { decision, facts, confirm_code })
    }

    /// Counts an approval that policy let pass against the limits.
    fn reserve(&self, rules: &Rules, asked: &Asked<'_>, judged: &Judged) -> Result<Reservation, Refusal> {
        let _span = Span::current().child("limits");
        let figures = &asked.institution.limits;
        #[cfg(feature = "planted")]
        let figures = &crate::lanes::planted::figures(figures);
        // What all replicas' customers of an institution withdraw no copy can follow: the ledger itself adds that up.
        let without_institution = self.shared.as_ref().map(|_| figures.without_institution());
        let figures = without_institution.as_ref().unwrap_or(figures);
        let reserved = self.limits.reserve(&asked.limit_request(), figures, &rules.atm_caps);
        reserved.map_err(|limit| {
            // Operators and the institution learn which limit it is, the customer's side that there is one.
            let reason = limit.reason();
            tracing::info!(withdrawal = %asked.approval.fresh, reason, "a limit refuses an approval: {limit}");
            self.tell_refused(asked, vec![reason.to_owned()], judged);
            match limit {
                LimitRefusal::DeviceLocked => Refusal::NotAllowed { factor: reason },
                _ => Refusal::LimitExceeded { limit: reason },
            }
        })
    }

    /// An approval was accepted: from now on it is part of what is remembered.
    fn accepted(&self, asked: &Asked<'_>) {
        self.patterns().withdrew(&asked.attempt());
    }

    /// Tells of the patterns that have come to stand out.
    fn tell_alarms(&self) {
        let alarms = self.patterns().alarms();
        alarms.into_iter().for_each(|alarm| self.tell_alarm(notice_of(alarm)));
    }

    /// Tells the institution of a scan or an approval that was refused before anything was asked of the policy. A scan has no amount yet.
    pub fn tell_failed(&self, intended: Intended<'_>, amount: Option<Money>, reason: &str, now: Timestamp) {
        let amount = amount.unwrap_or_else(|| Money::zero(self.currency(intended.institution)));
        self.post_refused(intended.refused(amount, vec![reason.to_owned()]), now);
    }

    fn currency(&self, institution: &InstitutionId) -> Currency {
        self.rules().institution(institution).map_or(Currency::JPY, |known| known.currency)
    }

    /// Tells the institution and its analysts of an approval that was refused: why exactly, and on which facts.
    fn tell_refused(&self, asked: &Asked<'_>, reasons: Vec<String>, judged: &Judged) {
        let Judged { decision, facts, .. } = judged;
        let refused = RefusedApproval {
            policy_version: decision.policy_version.clone(),
            policy_verdict: decision.verdict.name().to_owned(),
            facts: facts.to_record(),
            attempt: Some(asked.approval.fresh),
            ..asked.intended().refused(asked.approval.amount, reasons)
        };
        self.post_refused(refused, asked.now);
    }

    fn post_refused(&self, refused: RefusedApproval, at: Timestamp) {
        self.board.post(Notice { at, what: Happening::ApprovalRefused(Box::new(refused)) });
    }
}

impl Intended<'_> {
    /// The refusal of it, before anything was asked of the policy.
    fn refused(self, amount: Money, reasons: Vec<String>) -> RefusedApproval {
        RefusedApproval {
            attempt: None,
            institution: self.institution.clone(),
            account: self.account.clone(),
            device: self.device.clone(),
            atm: self.atm.clone(),
            amount,
            reasons,
            policy_version: String::new(),
            policy_verdict: String::new(),
            facts: String::new(),
        }
    }
}
