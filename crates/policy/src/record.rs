//! Facts as they are kept with a decision: compact JSON that stays readable when facts are added.

use std::time::Duration;

use cashgate_withdrawal::ids::IdError;
use cashgate_withdrawal::money::{Money, MoneyError};
use serde::{Deserialize, Serialize};

use crate::facts::{Attestation, Channel, Facts};

/// Raised only when a field changes its meaning; a new field does not raise it.
const VERSION: u32 = 1;

/// Why a record was not read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not the JSON that [`Facts::to_record`] writes.
    #[error("the facts are not readable: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a later version whose fields mean something else.
    #[error("the facts have version {found}, and this program reads version {VERSION}; use the later one")]
    Version {
        /// What stands in the record.
        found: u32,
    },
    /// An id that is none.
    #[error("the facts name {0}")]
    Id(#[from] IdError),
    /// An amount that is none.
    #[error("the facts' amount: {0}")]
    Money(#[from] MoneyError),
    /// A word that stands for nothing.
    #[error("the facts' field `{field}` is {found:?}")]
    Word {
        /// Which field.
        field: &'static str,
        /// What stands there.
        found: String,
    },
}

/// The fields as they are written. Short names, because each decision keeps them; those that may be missing in old records are options.
#[derive(Serialize, Deserialize)]
struct Record {
    v: u32,
    institution: String,
    account: String,
    device: String,
    atm: String,
    amount: u64,
    currency: String,
    #[serde(flatten)]
    known: Known,
}

/// One field for each fact that may be unknown.
#[derive(Default, Serialize, Deserialize)]
struct Known {
    #[serde(skip_serializing_if = "Option::is_none")]
    at_atm: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hour: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attestation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_accounts_30d: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_devices_30d: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_drawn_7d: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    atm_new_1h: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    institution_new_1h: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    institution_usual_milli: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alarmed_7d: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usual_amount: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawals_90d: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone_m: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    travel_km: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    travel_min: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grade: Option<String>,
}

impl Facts {
    /// The facts as one line of JSON with a version, at most 1,024 bytes: what is kept with a decision. The age is kept to the second.
    #[must_use]
    pub fn to_record(&self) -> String {
        let known = Known {
            at_atm: Some(self.amount_chosen_at_atm),
            hour: Some(self.local_hour),
            age_s: Some(self.device_age.as_secs()),
            channel: Some(self.device_channel.as_str().to_owned()),
            attestation: Some(self.device_attestation.name().to_owned()),
            device_accounts_30d: Some(self.accounts_on_device_30d),
            account_devices_30d: Some(self.devices_on_account_30d),
            device_drawn_7d: Some(self.device_drawn_7d),
            atm_new_1h: Some(self.new_device_withdrawals_at_atm_1h),
            institution_new_1h: Some(self.new_device_withdrawals_at_institution_1h),
            institution_usual_milli: Some(self.new_device_usual_at_institution_1h_milli),
            alarmed_7d: Some(self.institution_alarmed_7d),
            usual_amount: Some(self.account_usual_amount),
            withdrawals_90d: Some(self.account_withdrawals_90d),
            phone_m: self.distance_phone_atm_m,
            travel_km: self.km_since_last_withdrawal,
            travel_min: self.minutes_since_last_withdrawal,
            failed: Some(self.failed_attempts),
            grade: Some(self.evidence_grade.name().to_owned()),
        };
        let record = Record {
            v: VERSION,
            institution: self.institution.to_string(),
            account: self.account.to_string(),
            device: self.device.to_string(),
            atm: self.atm.to_string(),
            amount: self.amount.minor_units(),
            currency: self.amount.currency().to_string(),
            known,
        };
        // Strings and numbers only: there is nothing in it that JSON cannot say.
        serde_json::to_string(&record).unwrap_or_default()
    }

    /// Facts out of what [`Facts::to_record`] wrote, now or by an earlier version: a field that is not there has the value that
    /// stands for "not known", and one that is not known here is passed over.
    ///
    /// # Errors
    /// [`RecordError`] says what is wrong with the text.
    pub fn from_record(text: &str) -> Result<Self, RecordError> {
        let record: Record = serde_json::from_str(text)?;
        if record.v != VERSION {
            return Err(RecordError::Version { found: record.v });
        }
        let facts = Self::unknown(
            record.institution.parse()?,
            record.account.parse()?,
            record.device.parse()?,
            record.atm.parse()?,
            Money::from_minor_units(record.amount, record.currency.parse()?)?,
        );
        record.known.over(facts)
    }
}

impl Known {
    /// The facts with what is known in place of what is not.
    fn over(self, unknown: Facts) -> Result<Facts, RecordError> {
        let word = |field, found: &str| RecordError::Word { field, found: found.to_owned() };
        let attestation = self.attestation.map(|text| {
            let parsed: Result<Attestation, _> = text.parse();
            parsed.map_err(|_| word("attestation", &text))
        });
        let grade = self.grade.map(|text| text.parse().map_err(|_| word("grade", &text)));
        Ok(Facts {
            amount_chosen_at_atm: self.at_atm.unwrap_or(unknown.amount_chosen_at_atm),
            local_hour: self.hour.unwrap_or(unknown.local_hour),
            device_age: self.age_s.map_or(unknown.device_age, Duration::from_secs),
            device_channel: self.channel.map_or(unknown.device_channel, |word| Channel::of(&word)),
            device_attestation: attestation.transpose()?.unwrap_or(unknown.device_attestation),
            accounts_on_device_30d: self.device_accounts_30d.unwrap_or(unknown.accounts_on_device_30d),
            devices_on_account_30d: self.account_devices_30d.unwrap_or(unknown.devices_on_account_30d),
            device_drawn_7d: self.device_drawn_7d.unwrap_or(unknown.device_drawn_7d),
            new_device_withdrawals_at_atm_1h: self.atm_new_1h.unwrap_or(unknown.new_device_withdrawals_at_atm_1h),
            new_device_withdrawals_at_institution_1h: self
                .institution_new_1h
                .unwrap_or(unknown.new_device_withdrawals_at_institution_1h),
            new_device_usual_at_institution_1h_milli: self
                .institution_usual_milli
                .unwrap_or(unknown.new_device_usual_at_institution_1h_milli),
            institution_alarmed_7d: self.alarmed_7d.unwrap_or(unknown.institution_alarmed_7d),
            account_usual_amount: self.usual_amount.unwrap_or(unknown.account_usual_amount),
            account_withdrawals_90d: self.withdrawals_90d.unwrap_or(unknown.account_withdrawals_90d),
            distance_phone_atm_m: self.phone_m,
            km_since_last_withdrawal: self.travel_km,
            minutes_since_last_withdrawal: self.travel_min,
            failed_attempts: self.failed.unwrap_or(unknown.failed_attempts),
            evidence_grade: grade.transpose()?.unwrap_or(unknown.evidence_grade),
            ..unknown
        })
    }
}
