//! The facts in which a case differs from an ordinary customer, under the names of `policies/schema.cedarschema`.

use std::time::Duration;

use cashgate_withdrawal::money::Money;
use serde::Deserialize;

use crate::facts::{Channel, Facts};

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Overrides {
    principal: Account,
    resource: Atm,
    context: Context,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Account {
    id: Option<String>,
    usual_amount: Option<u64>,
    withdrawals_90d: Option<u32>,
    devices_30d: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Atm {
    id: Option<String>,
    new_device_withdrawals_1h: Option<u32>,
    evidence_grade: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Context {
    institution: Institution,
    device: Device,
    amount: Option<u64>,
    currency: Option<String>,
    amount_chosen_at_atm: Option<bool>,
    local_hour: Option<u8>,
    phone_to_atm_m: Option<u32>,
    travel: Option<Travel>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Institution {
    id: Option<String>,
    new_device_withdrawals_1h: Option<u32>,
    new_device_usual_1h_milli: Option<u32>,
    alarmed_7d: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Device {
    id: Option<String>,
    age_minutes: Option<u64>,
    age_hours: Option<u64>,
    age_days: Option<u64>,
    channel: Option<String>,
    attestation: Option<String>,
    accounts_30d: Option<u32>,
    drawn_7d: Option<u64>,
    failed_attempts: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Travel {
    km: u32,
    minutes: u32,
}

impl Overrides {
    /// The facts with the differences in them, or what is wrong with one.
    pub(super) fn over(self, mut facts: Facts) -> Result<Facts, String> {
        self.principal.over(&mut facts)?;
        self.resource.over(&mut facts)?;
        self.context.over(&mut facts)?;
        Ok(facts)
    }
}

impl Account {
    fn over(self, facts: &mut Facts) -> Result<(), String> {
        set_parsed(&mut facts.account, self.id)?;
        set(&mut facts.account_usual_amount, self.usual_amount);
        set(&mut facts.account_withdrawals_90d, self.withdrawals_90d);
        set(&mut facts.devices_on_account_30d, self.devices_30d);
        Ok(())
    }
}

impl Atm {
    fn over(self, facts: &mut Facts) -> Result<(), String> {
        set_parsed(&mut facts.atm, self.id)?;
        set(&mut facts.new_device_withdrawals_at_atm_1h, self.new_device_withdrawals_1h);
        set_parsed(&mut facts.evidence_grade, self.evidence_grade)
    }
}

impl Context {
    fn over(self, facts: &mut Facts) -> Result<(), String> {
        let mut currency = facts.amount.currency();
        set_parsed(&mut currency, self.currency)?;
        let amount = self.amount.unwrap_or_else(|| facts.amount.minor_units());
        facts.amount = Money::from_minor_units(amount, currency).map_err(|error| error.to_string())?;
        set(&mut facts.amount_chosen_at_atm, self.amount_chosen_at_atm);
        set(&mut facts.local_hour, self.local_hour);
        facts.distance_phone_atm_m = self.phone_to_atm_m.or(facts.distance_phone_atm_m);
        if let Some(Travel { km, minutes }) = self.travel {
            (facts.km_since_last_withdrawal, facts.minutes_since_last_withdrawal) = (Some(km), Some(minutes));
        }
        self.institution.over(facts)?;
        self.device.over(facts)
    }
}

impl Institution {
    fn over(self, facts: &mut Facts) -> Result<(), String> {
        set_parsed(&mut facts.institution, self.id)?;
        set(&mut facts.new_device_withdrawals_at_institution_1h, self.new_device_withdrawals_1h);
        set(&mut facts.new_device_usual_at_institution_1h_milli, self.new_device_usual_1h_milli);
        set(&mut facts.institution_alarmed_7d, self.alarmed_7d);
        Ok(())
    }
}

impl Device {
    fn over(self, facts: &mut Facts) -> Result<(), String> {
        let ages = [(self.age_minutes, 60), (self.age_hours, 3_600), (self.age_days, 86_400)];
        let mut ages = ages.into_iter().filter_map(|(age, seconds)| Some(age?.saturating_mul(seconds)));
        set(&mut facts.device_age, ages.next().map(Duration::from_secs));
        if ages.next().is_some() {
            return Err("the device has one age: give age_minutes, age_hours or age_days".to_owned());
        }
        set_parsed(&mut facts.device, self.id)?;
        if let Some(word) = self.channel {
            let channel = Channel::of(&word);
            if channel.as_str() != word {
                return Err(format!("channel = \"{word}\" never comes: it is one short lower-case word"));
            }
            facts.device_channel = channel;
        }
        set_parsed(&mut facts.device_attestation, self.attestation)?;
        set(&mut facts.accounts_on_device_30d, self.accounts_30d);
        set(&mut facts.device_drawn_7d, self.drawn_7d);
        set(&mut facts.failed_attempts, self.failed_attempts);
        Ok(())
    }
}

fn set<T>(fact: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *fact = value;
    }
}

fn set_parsed<T: std::str::FromStr<Err: std::fmt::Display>>(fact: &mut T, given: Option<String>) -> Result<(), String> {
    if let Some(text) = given {
        *fact = text.parse().map_err(|error| format!("\"{text}\": {error}"))?;
    }
    Ok(())
}
