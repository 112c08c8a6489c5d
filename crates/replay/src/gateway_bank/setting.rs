//! The gateway's rules with some of the controls taken out.

use std::sync::Arc;
use std::time::Duration;

use cashgate_gateway::admission::{Policy, Rules};
use cashgate_gateway::config::{CoreBanking, FAILED_ATTEMPTS_USUAL, Institution, usual_limits};
use cashgate_limits::{Burst, Caps, FiguresError, LimitFigures, SumCaps, Tier};
use cashgate_policy::{Decision, Facts, PolicyError, PolicySet, Verdict};
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::money::Currency;

use super::names;
use crate::attempt::InstitutionNo;
use crate::controls::{Control, Controls};

/// Japan has no summer time.
const HOURS_FROM_UTC: i8 = 9;

/// What two banks allow with a set of controls.
#[derive(Clone, Debug)]
pub struct Setting {
    controls: Controls,
    policy: Arc<dyn Policy>,
    limits: LimitFigures,
}

/// The gateway's defaults are broken.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// The built-in rules.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The usual limits.
    #[error(transparent)]
    Limits(#[from] FiguresError),
}

impl Setting {
    /// The gateway's defaults without what belongs to the other controls.
    ///
    /// # Errors
    /// The defaults are broken.
    pub fn new(controls: Controls) -> Result<Self, SettingError> {
        Ok(Self { controls, policy: Arc::new(Shortcut(rules(controls)?)), limits: limits(controls)? })
    }

    /// The same without a shortcut: the rules are asked every time.
    ///
    /// # Errors
    /// The defaults are broken.
    pub fn without_shortcut(controls: Controls) -> Result<Self, SettingError> {
        Ok(Self { controls, policy: Arc::new(rules(controls)?), limits: limits(controls)? })
    }

    /// Which controls it has.
    #[must_use]
    pub const fn controls(&self) -> Controls {
        self.controls
    }

    pub(super) fn rules(&self) -> Rules {
        let institution = |number| Institution {
            id: names::institution(InstitutionNo(number)),
            currency: Currency::JPY,
            time_zone: jiff::tz::TimeZone::fixed(jiff::tz::offset(HOURS_FROM_UTC)),
            limits: self.limits.clone(),
            failed_attempts_max: FAILED_ATTEMPTS_USUAL,
            evidence_demanded: EvidenceGrade::B,
            core_banking: CoreBanking {
                endpoint: String::new(),
                server_name: String::new(),
                call_timeout: Duration::from_secs(5),
            },
        };
        Rules::new(Arc::clone(&self.policy), &[0, 1].map(institution))
    }
}

fn rules(controls: Controls) -> Result<PolicySet, PolicyError> {
    PolicySet::builtin_part(|reason| control_of(reason).is_none_or(|control| controls.has(control)))
}

/// The control that a rule belongs to, by its reason; none for a rule that is nobody's and always on.
fn control_of(reason: &str) -> Option<Control> {
    Some(match reason {
        "many_accounts_on_new_device"
        | "many_accounts_on_young_device"
        | "very_many_accounts_on_device"
        | "second_device_above_habit" => Control::DeviceSharing,
        "new_devices_at_atm"
        | "many_new_devices_at_atm"
        | "new_device_burst"
        | "large_new_device_burst"
        | "institution_alarmed" => Control::FleetPatterns,
        "impossible_travel" | "very_fast_travel" | "phone_far_from_atm" => Control::Place,
        "new_device_above_habit"
        | "new_device_large_amount"
        | "new_device_at_night"
        | "new_device_at_grade_c"
        | "young_device_far_above_habit"
        | "young_device_above_habit" => Control::Habit,
        "attestation_failed" | "attestation_failed_on_young_device" => Control::Attestation,
        "failed_attempts" => Control::FailedAttempts,
        _ => return None,
    })
}

/// Without the ages new phones may do what all may; they are counted as new all the same, so that patterns see them. Without the counts there are
/// the 200,000 yen a withdrawal and 500,000 a day of 2020, and what the ages say of a withdrawal and a day.
fn limits(controls: Controls) -> Result<LimitFigures, FiguresError> {
    let usual = usual_limits(Currency::JPY)?;
    let counts = controls.has(Control::Counts);
    let counted = |caps: &Caps| match counts {
        true => *caps,
        false => Caps { per_withdrawal: caps.per_withdrawal, per_day: caps.per_day, ..Caps::UNLIMITED },
    };
    let established = counted(usual.established());
    let of_age = |tier: &Tier| {
        let caps = if controls.has(Control::DeviceAge) { counted(&tier.caps) } else { established };
        Tier { until_age: tier.until_age, caps }
    };
    let tiers = usual.tiers().iter().map(of_age).collect();
    let device = usual.device().filter(|_| counts).copied();
    let institution = if counts { *usual.institution() } else { SumCaps::default() };
    let burst = if counts { usual.burst() } else { Burst { every: Duration::ZERO, ..usual.burst() } };
    LimitFigures::new(usual.currency(), established, tiers, device, institution, burst)
}

/// Answers the question of nearly every withdrawal without the rules, which take most of a run's time: those that speak of old phones at all speak of
/// failures, places and many accounts. `tests/gateway.rs` holds that a run comes to the same without this.
#[derive(Debug)]
struct Shortcut(PolicySet);

impl Shortcut {
    const OLD: Duration = Duration::from_hours(30 * 24);

    fn is_plain(facts: &Facts) -> bool {
        let minutes = u64::from(facts.minutes_since_last_withdrawal.unwrap_or(0));
        let is_slow = |km: u32| u64::from(km) * 60 <= 300 * (minutes + 10);
        facts.device_age >= Self::OLD
            && facts.failed_attempts < 2
            && facts.accounts_on_device_30d < 6
            && facts.distance_phone_atm_m.is_none_or(|metres| metres <= 2_000)
            && facts.km_since_last_withdrawal.is_none_or(is_slow)
    }
}

impl Policy for Shortcut {
    fn decide(&self, facts: &Facts) -> Decision {
        if Self::is_plain(facts) {
            let policy_version = self.0.version().to_owned();
            return Decision { verdict: Verdict::Permit, reasons: Vec::new(), rules: Vec::new(), policy_version };
        }
        self.0.decide(facts)
    }

    fn version(&self) -> &str {
        self.0.version()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_rule_belongs_to_a_control() {
        let set = PolicySet::builtin().unwrap();
        for reason in set.reasons() {
            assert!(control_of(reason.as_str()).is_some(), "{reason}: say in control_of which control it is");
        }
    }
}
