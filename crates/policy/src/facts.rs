//! The facts of one withdrawal: all that a rule may know.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::{AccountId, AtmId, DeviceId, InstitutionId};
use cashgate_withdrawal::money::Money;

/// What the gateway knows about a withdrawal when it asks for a decision.
///
/// Each fact says what stands in it when it is not known, and whether that makes the rules stricter or more lenient;
/// [`Facts::unknown`] has all of them. A rule sees them under the names of `policies/schema.cedarschema`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The customer's bank. Always known.
    pub institution: InstitutionId,
    /// The account to be debited. Always known.
    pub account: AccountId,
    /// The phone that signed the approval. Always known.
    pub device: DeviceId,
    /// The machine that is to pay. Always known.
    pub atm: AtmId,
    /// How much. Always known.
    pub amount: Money,
    /// Whether the customer chose the amount at the machine (inside the signed code) and not in the app. Not known: `false`, which no
    /// built-in rule looks at.
    pub amount_chosen_at_atm: bool,
    /// The hour of the day in the institution's time zone, 0 to 23; any other value is answered with a forbid. Not known: 0, which is
    /// night, the strict side.
    pub local_hour: u8,
    /// How long ago the phone was bound to the account. Not known: zero, the strict side.
    pub device_age: Duration,
    /// How the app on this phone was activated. Not known: `unknown`, which no built-in rule trusts.
    pub device_channel: Channel,
    /// What the phone's maker said about the app when it was registered. Not known: [`Attestation::None`]. That is the lenient side,
    /// because most institutions have none to give.
    pub device_attestation: Attestation,
    /// From how many accounts this phone asked for money in 30 days, this one included. Not known: 1, the lenient side.
    pub accounts_on_device_30d: u32,
    /// How many phones asked for money from this account in 30 days, this one included. Not known: 1, the lenient side.
    pub devices_on_account_30d: u32,
    /// What this phone has drawn in 7 days, from all accounts, in minor units, without this withdrawal. Not known: 0, the lenient side.
    pub device_drawn_7d: u64,
    /// Withdrawals by new devices at this machine in the past hour, this attempt included if its device is new. Not known: 0, the
    /// lenient side.
    pub new_device_withdrawals_at_atm_1h: u32,
    /// The same over all machines, for customers of this institution.
    pub new_device_withdrawals_at_institution_1h: u32,
    /// What [`Self::new_device_withdrawals_at_institution_1h`] usually is: the mean of the same hour of the same weekday over the past four weeks, in
    /// thousandths of a withdrawal. Not known, or no past yet: 0, the strict side.
    pub new_device_usual_at_institution_1h_milli: u32,
    /// Whether an [alarm](crate::patterns::Alarm) has been raised for the institution in the past 7 days. Not known: `false`, the lenient side.
    pub institution_alarmed_7d: bool,
    /// The account's own habit in minor units: about nine of ten of its withdrawals stayed at or below it. No history: 0, the strict
    /// side, because every amount is above it.
    pub account_usual_amount: u64,
    /// How many withdrawals the account made in 90 days, this one not included. Not known: 0, the strict side.
    pub account_withdrawals_90d: u32,
    /// How far the phone was from the machine when the code was scanned, in metres, by the phone's own word. Not known: none, and then rules
    /// about it stay silent: the lenient side, because many honest customers do not share their place.
    pub distance_phone_atm_m: Option<u32>,
    /// How far this machine is from the one of the account's last withdrawal, in whole kilometres. No such withdrawal, or a machine without
    /// a place: none, the lenient side.
    pub km_since_last_withdrawal: Option<u32>,
    /// How long ago that last withdrawal was approved, in whole minutes. None if there was none.
    pub minutes_since_last_withdrawal: Option<u32>,
    /// Approvals and codes of this phone that failed since the last one that did not. Not known: 0, the lenient side.
    pub failed_attempts: u8,
    /// What the machine's reports are worth. Not known: C, the strict side.
    pub evidence_grade: EvidenceGrade,
}

impl Facts {
    /// A withdrawal of which only the outlines are known: every other fact has the value that stands for "not known".
    #[must_use]
    pub fn unknown(
        institution: InstitutionId,
        account: AccountId,
        device: DeviceId,
        atm: AtmId,
        amount: Money,
    ) -> Self {
        Self {
            institution,
            account,
            device,
            atm,
            amount,
            amount_chosen_at_atm: false,
            local_hour: 0,
            device_age: Duration::ZERO,
            device_channel: Channel::unknown(),
            device_attestation: Attestation::None,
            accounts_on_device_30d: 1,
            devices_on_account_30d: 1,
            device_drawn_7d: 0,
            new_device_withdrawals_at_atm_1h: 0,
            new_device_withdrawals_at_institution_1h: 0,
            new_device_usual_at_institution_1h_milli: 0,
            institution_alarmed_7d: false,
            account_usual_amount: 0,
            account_withdrawals_90d: 0,
            distance_phone_atm_m: None,
            km_since_last_withdrawal: None,
            minutes_since_last_withdrawal: None,
            failed_attempts: 0,
            evidence_grade: EvidenceGrade::C,
        }
    }
}

/// What the phone's maker said about the app (Play Integrity, App Attest) when the institution registered the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Attestation {
    /// A genuine app on a genuine phone.
    Passed,
    /// An altered app, a rooted phone or an emulator.
    Failed,
    /// The institution gave no result.
    #[default]
    None,
}

impl Attestation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Passed, Self::Failed, Self::None];

    /// The word that rules and records use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::None => "none",
        }
    }
}

/// A text was no result of an attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an attestation is passed, failed or none")]
pub struct NotAnAttestation;

impl FromStr for Attestation {
    type Err = NotAnAttestation;

    fn from_str(text: &str) -> Result<Self, NotAnAttestation> {
        Self::ALL.into_iter().find(|one| one.name() == text).ok_or(NotAnAttestation)
    }
}

/// How an app was activated, in one word of the institution's: `branch`, `atm`, `post`, `video`, `online`, `unknown` or another.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Channel(Arc<str>);

impl Channel {
    /// The longest word, in characters.
    pub const LENGTH_MAX: usize = 24;

    /// The word in lower case, if it has 1 to [`Self::LENGTH_MAX`] characters out of `A-Z a-z 0-9 . _ -`; anything else is `unknown`, which no
    /// rule trusts.
    #[must_use]
    pub fn of(word: &str) -> Self {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if word.is_empty() || word.len() > Self::LENGTH_MAX || !word.bytes().all(allowed) {
            return Self::unknown();
        }
        Self(word.to_ascii_lowercase().into())
    }

    /// Nobody said.
    #[must_use]
    pub fn unknown() -> Self {
        Self("unknown".into())
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_is_one_short_word() {
        for (text, word) in [("branch", "branch"), ("Video", "video"), ("partner-7", "partner-7")] {
            assert_eq!(Channel::of(text).as_str(), word);
        }
        for text in ["", "two words", "窓口", "a\"b", &"x".repeat(25)] {
            assert_eq!(Channel::of(text), Channel::unknown(), "{text:?}");
        }
    }

    #[test]
    fn an_attestation_reads_what_it_writes() {
        for one in Attestation::ALL {
            assert_eq!(one.name().parse(), Ok(one));
        }
        assert_eq!("Passed".parse::<Attestation>(), Err(NotAnAttestation));
    }
}
