//! From the domain's types to the checker's plain ones.

use cashgate_withdrawal::dispense::{EvidenceSource, Outcome, OutcomeReport};
use cashgate_withdrawal::ids::WithdrawalId;
use cashgate_withdrawal::withdrawal::{State, Withdrawal};

use crate::boundary::{Book, Report, Standing, Word};
use crate::names;

pub(crate) fn number(id: WithdrawalId) -> u128 {
    u128::from_be_bytes(*id.as_bytes())
}

pub(crate) fn book(withdrawal: &Withdrawal) -> Book {
    Book {
        withdrawal: number(withdrawal.terms.withdrawal),
        account: names::account_number(&withdrawal.terms.account),
        amount: withdrawal.terms.amount.minor_units(),
        standing: match &withdrawal.state {
            State::Suspect { .. } => Standing::Suspect,
            State::Declined { .. } => Standing::Declined,
            State::Confirmed { amount, .. } => Standing::Confirmed(amount.minor_units()),
            State::Reversed { .. } => Standing::Reversed,
            _ => Standing::Open,
        },
    }
}

pub(crate) fn report(report: &OutcomeReport) -> Report {
    Report {
        word: match report.outcome {
            Outcome::Dispensed => Word::Dispensed,
            Outcome::PartiallyDispensed => Word::PartiallyDispensed,
            Outcome::NotDispensed => Word::NotDispensed,
            Outcome::Retracted => Word::Retracted,
            Outcome::Unknown => Word::Unknown,
        },
        presented: report.presented.minor_units(),
        retracted: report.retracted.map(|amount| amount.minor_units()),
        proven: report.evidence != EvidenceSource::BareWord,
    }
}
