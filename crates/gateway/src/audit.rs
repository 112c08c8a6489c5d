//! `cashgate ledger verify`: besides every record, what the records say: each history against `step`, each row against its history, and
//! the conservation of money for each account (design rule 12).

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use cashgate_ledger::{Finding, LedgerOpenError, StoredStep, VerifyReport, WithdrawalSummary, verify, verify_open};
use cashgate_wire::journal;
use cashgate_withdrawal::ids::{AccountId, InstitutionId, WithdrawalId};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::withdrawal::{State, Withdrawal};
use serde::Serialize;

use crate::config::LedgerSection;

/// Something that is wrong, on one line. No account is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditFinding {
    /// In the records, or in what they tell.
    Ledger(Finding),
    /// The money of one account does not add up.
    Account {
        /// Whose account.
        institution: InstitutionId,
        /// The account's first withdrawal, which leads to the account.
        withdrawal: WithdrawalId,
        /// What was approved in its withdrawals, in minor units.
        approved: u128,
        /// Where all of it is.
        parts: Parts,
        /// In which currency.
        currency: Currency,
    },
}

impl AuditFinding {
    /// One word for what is wrong.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Ledger(Finding::File(_)) => "file",
            Self::Ledger(Finding::Log(_)) => "log",
            Self::Ledger(Finding::Record(_)) => "record",
            Self::Ledger(Finding::History { .. }) => "history",
            Self::Ledger(_) => "ledger",
            Self::Account { .. } => "account",
        }
    }
}

impl fmt::Display for AuditFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ledger(finding) => finding.fmt(f),
            Self::Account { institution, withdrawal, approved, parts, currency } => write!(
                f,
                "account of {institution} with withdrawal {withdrawal}: {approved} {currency} were approved, and {} are accounted for: {parts}",
                parts.sum()
            ),
        }
    }
}

/// Where approved money is, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Parts {
    /// Left machines, and booked.
    pub confirmed: u128,
    /// Given back: reversed, or the rest of what left only in part.
    pub given_back: u128,
    /// Never held.
    pub declined: u128,
    /// In withdrawals that go on by themselves.
    pub open: u128,
    /// In withdrawals that wait for a person.
    pub suspect: u128,
}

impl Parts {
    /// All of it.
    #[must_use]
    pub const fn sum(&self) -> u128 {
        self.confirmed + self.given_back + self.declined + self.open + self.suspect
    }

    fn add(&mut self, state: &State, approved: Money) {
        let amount = u128::from(approved.minor_units());
        match state {
            State::Confirmed { amount: left, .. } => {
                let left = u128::from(left.minor_units());
                self.confirmed += left;
                // More than was approved makes a sum that is too large, which is then found.
                self.given_back += amount.saturating_sub(left);
            }
            State::Reversed { .. } => self.given_back += amount,
            State::Declined { .. } => self.declined += amount,
            State::Suspect { .. } => self.suspect += amount,
            State::HoldRequested
            | State::AwaitingCode { .. }
            | State::Held { .. }
            | State::DispenseCommanded { .. }
            | State::OutcomeUnknown { .. }
            | State::Confirming { .. }
            | State::Reversing { .. } => self.open += amount,
        }
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { confirmed, given_back, declined, open, suspect } = self;
        write!(f, "{confirmed} confirmed, {given_back} given back, {declined} declined, {open} open, {suspect} suspect")
    }
}

/// What was looked at.
#[derive(Clone, Debug)]
pub struct AuditReport {
    /// The records.
    pub ledger: VerifyReport,
    /// How many findings there were, those of accounts included.
    pub findings: u64,
    /// How many accounts there are, counted once for each currency.
    pub accounts: usize,
    /// Approved money and where it is, by currency, in minor units.
    pub totals: BTreeMap<Currency, (u128, Parts)>,
}

/// Checks a ledger and hands out each thing that is wrong. Blocking; only reads, also while a gateway runs. Keeps some 200 bytes for each
/// account.
///
/// # Errors
///
/// [`LedgerOpenError`] if nothing could be checked. All else is a finding.
pub fn audit(ledger: &LedgerSection, on_finding: &mut dyn FnMut(AuditFinding)) -> Result<AuditReport, LedgerOpenError> {
    let mut accounts = Accounts::default();
    let mut on_record = |finding| on_finding(AuditFinding::Ledger(finding));
    let mut check = |summary: &WithdrawalSummary, steps: &[StoredStep]| accounts.add(summary, steps);
    let ledger = match ledger {
        LedgerSection::File(path) => verify(path, &mut on_record, &mut check)?,
        LedgerSection::Postgres(_) => verify_open(&ledger.reader()?, &mut on_record, &mut check),
    };
    let unbalanced = accounts.unbalanced();
    let findings = ledger.findings + u64::try_from(unbalanced.len()).unwrap_or(u64::MAX);
    unbalanced.into_iter().for_each(on_finding);
    Ok(AuditReport { ledger, findings, accounts: accounts.accounts.len(), totals: accounts.totals() })
}

/// What is known of each account.
#[derive(Default)]
struct Accounts {
    accounts: HashMap<(InstitutionId, AccountId, Currency), Account>,
}

struct Account {
    first: WithdrawalId,
    /// By the rows.
    approved: u128,
    /// By the histories.
    parts: Parts,
}

impl Accounts {
    /// Takes a withdrawal up, and says what is wrong with it.
    fn add(&mut self, summary: &WithdrawalSummary, steps: &[StoredStep]) -> Vec<String> {
        let row = &summary.row;
        let key = (row.institution.clone(), row.account.clone(), row.amount.currency());
        let account = self.accounts.entry(key).or_insert_with(|| Account {
            first: summary.id,
            approved: 0,
            parts: Parts::default(),
        });
        account.approved += u128::from(row.amount.minor_units());
        match journal::replay(summary.id, steps.iter().map(|step| (step.number, step.at, step.body.as_slice()))) {
            // The text names the withdrawal, which the finding does too; better twice than not.
            Err(error) => vec![error.to_string()],
            Ok(told) => {
                if told.terms.amount.currency() == row.amount.currency() {
                    account.parts.add(&told.state, told.terms.amount);
                }
                faults_of(summary, &told)
            }
        }
    }

    fn unbalanced(&self) -> Vec<AuditFinding> {
        let mut found: Vec<_> = self
            .accounts
            .iter()
            .filter(|(_, account)| account.approved != account.parts.sum())
            .map(|((institution, _, currency), account)| AuditFinding::Account {
                institution: institution.clone(),
                withdrawal: account.first,
                approved: account.approved,
                parts: account.parts,
                currency: *currency,
            })
            .collect();
        found.sort_by_key(|finding| match finding {
            AuditFinding::Account { withdrawal, .. } => Some(*withdrawal),
            AuditFinding::Ledger(_) => None,
        });
        found
    }

    fn totals(&self) -> BTreeMap<Currency, (u128, Parts)> {
        let mut totals: BTreeMap<Currency, (u128, Parts)> = BTreeMap::new();
        for ((.., currency), account) in &self.accounts {
            let (approved, parts) = totals.entry(*currency).or_default();
            *approved += account.approved;
            parts.confirmed += account.parts.confirmed;
            parts.given_back += account.parts.given_back;
            parts.declined += account.parts.declined;
            parts.open += account.parts.open;
            parts.suspect += account.parts.suspect;
        }
        totals
    }
}

/// Where a row differs from what its history tells. Values stay out: some of them name a customer.
fn faults_of(summary: &WithdrawalSummary, told: &Withdrawal) -> Vec<String> {
    let (row, terms, state) = (&summary.row, &told.terms, &told.state);
    let columns = [
        ("state", row.state == state.name()),
        ("open", row.open != state.is_ended()),
        ("institution", row.institution == terms.institution),
        ("account", row.account == terms.account),
        ("device", row.device == terms.device),
        ("atm", row.atm == terms.atm),
        ("qr_session", row.qr_session == terms.qr_session),
        ("nonce", row.nonce == terms.nonce),
        ("amount", row.amount == terms.amount),
        ("dispensed", row.dispensed == state.dispensed()),
        ("hold", row.hold.as_ref() == state.hold()),
        ("day", row.day == terms.decision.day),
        ("approved_at_ms", row.approved_at == terms.approved_at),
        ("policy_version", row.policy_version == terms.decision.policy_version),
        ("key_id", row.key_id == terms.decision.key),
    ];
    let mut faults: Vec<String> = columns
        .into_iter()
        .filter(|(_, same)| !same)
        .map(|(column, _)| format!("the row's {column} is not what its steps tell"))
        .collect();
    if state.dispensed().is_some_and(|left| left.exceeds(terms.amount) != Ok(false)) {
        faults.push("more left the machine than was approved".to_owned());
    }
    faults
}

#[cfg(test)]
mod tests;
