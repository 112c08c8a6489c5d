//! One difference, for people and for machines.

use std::fmt;

use cashgate_withdrawal::ids::{AtmId, InstitutionId, WithdrawalId};
use cashgate_withdrawal::money::{Currency, Money};
use serde::{Serialize, Serializer};

use super::book::{BookState, Entry};
use super::counter::Counter;
use super::posting::Posting;

/// What kind of difference. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// The gateway ended a withdrawal whose hold was granted, and core banking has no row of it.
    MissingAtCoreBanking,
    /// Core banking has a row that belongs to no withdrawal of its institution, or one in another currency.
    ExtraAtCoreBanking,
    /// Core banking has one more row of the same withdrawal.
    DuplicateAtCoreBanking,
    /// Core banking's row is of another account.
    AccountDiffers,
    /// Core banking's hold stands where it cannot stand: never released, booked though nothing left, given back though money left.
    StandingDiffers,
    /// Core banking held or booked another amount.
    AmountDiffers,
    /// Money left by the gateway's books, and the ATM has no row of it.
    MissingAtAtm,
    /// The ATM has a row that belongs to no withdrawal at this ATM, or one in another currency.
    ExtraAtAtm,
    /// The ATM has one more row of the same withdrawal.
    DuplicateAtAtm,
    /// Another amount stayed out.
    CashDiffers,
    /// The withdrawal has ended, and the ATM's retract bin has not been counted.
    UncountedAtAtm,
    /// A suspect for longer than one may be.
    AgedSuspect,
    /// Open, and no suspect, for longer than anything takes.
    HeldTooLong,
}

impl Kind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 13] = [
        Self::MissingAtCoreBanking,
        Self::ExtraAtCoreBanking,
        Self::DuplicateAtCoreBanking,
        Self::AccountDiffers,
        Self::StandingDiffers,
        Self::AmountDiffers,
        Self::MissingAtAtm,
        Self::ExtraAtAtm,
        Self::DuplicateAtAtm,
        Self::CashDiffers,
        Self::UncountedAtAtm,
        Self::AgedSuspect,
        Self::HeldTooLong,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingAtCoreBanking => "missing_at_core_banking",
            Self::ExtraAtCoreBanking => "extra_at_core_banking",
            Self::DuplicateAtCoreBanking => "duplicate_at_core_banking",
            Self::AccountDiffers => "account_differs",
            Self::StandingDiffers => "standing_differs",
            Self::AmountDiffers => "amount_differs",
            Self::MissingAtAtm => "missing_at_atm",
            Self::ExtraAtAtm => "extra_at_atm",
            Self::DuplicateAtAtm => "duplicate_at_atm",
            Self::CashDiffers => "cash_differs",
            Self::UncountedAtAtm => "uncounted_at_atm",
            Self::AgedSuspect => "aged_suspect",
            Self::HeldTooLong => "held_too_long",
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A difference, with what each side says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind.
    pub kind: Kind,
    /// Of which withdrawal.
    #[serde(rename = "withdrawal_id", serialize_with = "as_text")]
    pub withdrawal: WithdrawalId,
    /// Whose customer draws; `None` if the gateway does not know the withdrawal.
    #[serde(rename = "institution_id", serialize_with = "as_text_if_any")]
    pub institution: Option<InstitutionId>,
    /// The machine: for a row that the gateway does not expect the one in the row, else the gateway's.
    #[serde(rename = "atm_id", serialize_with = "as_text_if_any")]
    pub atm: Option<AtmId>,
    /// The currency of every amount here; `None` for a row without any.
    #[serde(serialize_with = "as_text_if_any")]
    pub currency: Option<Currency>,
    /// What the gateway says, if it knows the withdrawal.
    pub gateway: Option<GatewaySide>,
    /// Core banking's row.
    pub core_banking: Option<Posting>,
    /// The ATM's row.
    pub atm_counter: Option<Counter>,
    /// What the other side counted more (or less, below zero) than the gateway: booked or stayed out, in minor units. `None` while the
    /// withdrawal is open: no side has a last word then.
    pub difference_minor_units: Option<i64>,
}

/// What the gateway says of a withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct GatewaySide {
    /// How far it is.
    #[serde(serialize_with = "as_state")]
    pub state: BookState,
    /// What was approved, in minor units.
    pub approved_minor_units: u64,
    /// What left the machine, in minor units; zero while that is not settled.
    pub dispensed_minor_units: u64,
}

impl Finding {
    /// A difference of a withdrawal that the gateway knows.
    pub(super) fn of(kind: Kind, entry: &Entry, difference_minor_units: Option<i64>) -> Self {
        Self {
            kind,
            withdrawal: entry.id,
            institution: Some(entry.institution.clone()),
            atm: Some(entry.atm.clone()),
            currency: Some(entry.approved.currency()),
            gateway: Some(GatewaySide {
                state: entry.state,
                approved_minor_units: entry.approved.minor_units(),
                dispensed_minor_units: entry.dispensed,
            }),
            core_banking: entry.posting,
            atm_counter: entry.counter,
            difference_minor_units,
        }
    }

    /// One row too many.
    pub(super) fn row(kind: Kind, withdrawal: WithdrawalId, known: Option<&Entry>, row: Row) -> Self {
        let (atm, core_banking, atm_counter, currency, difference) = match row {
            Row::Posting(posting) => {
                let atm = known.map(|entry| entry.atm.clone());
                (atm, Some(posting), None, posting.currency, posting.confirmed)
            }
            Row::Counter(atm, counter) => {
                (Some(atm), None, Some(counter), counter.currency, counter.stayed_out().unwrap_or(0))
            }
        };
        let known = known.map(|entry| Self::of(kind, entry, None));
        Self {
            kind,
            withdrawal,
            institution: known.as_ref().and_then(|known| known.institution.clone()),
            atm,
            currency: currency.or_else(|| known.as_ref().and_then(|known| known.currency)),
            // Beside a row in another currency the gateway's amounts would read as amounts of that.
            gateway: known
                .filter(|known| currency.is_none() || known.currency == currency)
                .and_then(|known| known.gateway),
            core_banking,
            atm_counter,
            difference_minor_units: Some(signed(difference)),
        }
    }

    /// What the withdrawal was approved for; zero if the gateway does not know it.
    pub(super) fn approved(&self) -> u64 {
        self.gateway.map_or(0, |gateway| gateway.approved_minor_units)
    }

    /// One line of JSON.
    #[must_use]
    pub fn json(&self) -> String {
        #[derive(Serialize)]
        struct Line<'a> {
            finding: &'a Finding,
        }
        serde_json::to_string(&Line { finding: self }).unwrap_or_default()
    }
}

/// A row that nobody was waiting for.
pub(super) enum Row {
    Posting(Posting),
    Counter(AtmId, Counter),
}

/// Amounts are at most [`Money::MINOR_UNITS_MAX`], so each fits.
pub(super) fn signed(minor_units: u64) -> i64 {
    const { assert!(Money::MINOR_UNITS_MAX < i64::MAX as u64) };
    i64::try_from(minor_units).unwrap_or(i64::MAX)
}

impl fmt::Display for Finding {
    /// One line for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let currency = self.currency.map_or_else(String::new, |currency| format!(" {currency}"));
        let institution = self.institution.as_ref().map_or("-", InstitutionId::as_str);
        let atm = self.atm.as_ref().map_or("-", AtmId::as_str);
        write!(f, "{:<25} {}  {institution}/{atm}  gateway: ", self.kind.name(), self.withdrawal)?;
        match &self.gateway {
            None => write!(f, "unknown")?,
            Some(GatewaySide { state, approved_minor_units: approved, dispensed_minor_units: dispensed }) => {
                write!(f, "{}, approved {approved}{currency}, dispensed {dispensed}{currency}", state.name())?;
            }
        }
        if let Some(Posting { standing, held, confirmed, line, .. }) = &self.core_banking {
            write!(
                f,
                "; core banking: {standing}, held {held}{currency}, confirmed {confirmed}{currency} (line {line})"
            )?;
        } else {
            write!(f, "; core banking: -")?;
        }
        if let Some(Counter { presented, retracted, line, .. }) = &self.atm_counter {
            let retracted = retracted.map_or("not counted".to_owned(), |amount| format!("{amount}{currency}"));
            write!(f, "; ATM: presented {presented}{currency}, retracted {retracted} (line {line})")?;
        } else {
            write!(f, "; ATM: -")?;
        }
        match self.difference_minor_units {
            Some(difference) if difference != 0 => write!(f, "; difference {difference:+}{currency}"),
            _ => Ok(()),
        }
    }
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn as_text_if_any<T: fmt::Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

fn as_state<S: Serializer>(state: &BookState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.name())
}
