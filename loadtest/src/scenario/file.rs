//! The TOML of a scenario as it is written, and its way to a checked one.

use std::time::Duration;

use serde::Deserialize;

use super::fault::FaultTable;
use super::{Customer, Fault, Rate, RatePoint, Scenario, ScenarioError, Thieves, Thresholds};

/// More would be refused by the default limits of an account: ten withdrawals a day.
const WITHDRAWALS_AN_ACCOUNT_MAX: u64 = 10;
const DURATION_S_MAX: u32 = 24 * 3_600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    about: String,
    #[serde(default)]
    seed: u64,
    duration_s: u32,
    #[serde(default)]
    warm_up_s: u32,
    #[serde(default = "settle_usual")]
    settle_s: u32,
    atms: u32,
    #[serde(default)]
    atm_record: AtmRecord,
    accounts: u32,
    customer: CustomerTable,
    thieves: Option<ThievesTable>,
    arrivals: Vec<RatePoint>,
    #[serde(default)]
    core_bank: CoreBankTable,
    #[serde(default)]
    fault: Vec<FaultTable>,
    #[serde(default)]
    thresholds: Thresholds,
}

#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum AtmRecord {
    #[default]
    Memory,
    Disk,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomerTable {
    amounts: Vec<u64>,
    #[serde(default)]
    think_ms: u32,
    patience_s: u32,
    #[serde(default)]
    present_ms: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ThievesTable {
    phones: u32,
    percent_of_arrivals: f64,
    amount: u64,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CoreBankTable {
    #[serde(default)]
    delay_ms: u32,
}

const fn settle_usual() -> u32 {
    60
}

pub(super) fn read(name: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let form = |problem: toml::de::Error| ScenarioError::Form { name: name.to_owned(), problem: in_words(&problem) };
    let table: Table = toml::from_str(text).map_err(form)?;
    let mut problems = table.problems();
    let arrivals = Rate::new(&table.arrivals).map_err(|problem| problems.push(problem)).ok();
    let (faults, wrong): (Vec<_>, Vec<_>) = table.fault.iter().map(FaultTable::checked).partition(Result::is_ok);
    problems.extend(wrong.into_iter().filter_map(Result::err));
    let mut faults: Vec<Fault> = faults.into_iter().filter_map(Result::ok).collect();
    faults.sort_by_key(|fault| fault.at);
    if let Some(late) = faults.iter().find(|fault| fault.ends_at() > seconds(table.duration_s)) {
        problems.push(format!("fault: `{}` ends after the run does (duration_s)", late.what));
    }
    if let Some(arrivals) = &arrivals {
        problems.extend(table.too_few_accounts(arrivals));
    }
    match arrivals.filter(|_| problems.is_empty()) {
        Some(arrivals) => Ok(table.into_scenario(arrivals, faults)),
        None => Err(ScenarioError::Values { name: name.to_owned(), problems }),
    }
}

/// What the parser says, in the words of whoever writes scenarios. A key that is missing has no place, and the parser names the first line.
fn in_words(problem: &toml::de::Error) -> String {
    let said = problem.message();
    if said.starts_with("missing field") {
        return format!("{said}; the scenarios that come along have all of them");
    }
    // The types of this program, by the numbers that they take.
    let types = [
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected u64", "expected a whole number from 0 on"),
        ("expected f64", "expected a number"),
        ("number too large to fit in target type", "the number is too large"),
    ];
    types.iter().fold(problem.to_string(), |words, (of_type, in_words)| words.replace(of_type, in_words))
}

impl Table {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut demand = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        let in_names = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        demand(
            (1..=64).contains(&self.name.len()) && self.name.chars().all(in_names) && !self.name.starts_with('.'),
            "name: must be 1 to 64 letters, digits or -_. (it names the folder of the report), and not begin with a point",
        );
        demand((1..=DURATION_S_MAX).contains(&self.duration_s), "duration_s: must be 1 to 86400");
        demand(self.warm_up_s < self.duration_s, "warm_up_s: must be less than duration_s");
        demand((1..=100_000).contains(&self.atms), "atms: must be 1 to 100000");
        demand((1..=1_000_000).contains(&self.accounts), "accounts: must be 1 to 1000000");
        let payable = |amount: &u64| *amount > 0 && amount.is_multiple_of(1_000) && *amount <= 200_000;
        demand(!self.customer.amounts.is_empty(), "customer.amounts: name at least one");
        demand(
            self.customer.amounts.iter().all(payable),
            "customer.amounts: each must be a multiple of 1000 up to 200000, or no ATM can pay it",
        );
        demand((1..=600).contains(&self.customer.patience_s), "customer.patience_s: must be 1 to 600");
        if let Some(thieves) = &self.thieves {
            demand((1..=100_000).contains(&thieves.phones), "thieves.phones: must be 1 to 100000");
            demand(payable(&thieves.amount), "thieves.amount: must be a multiple of 1000 up to 200000");
            demand(
                (0.0..=100.0).contains(&thieves.percent_of_arrivals),
                "thieves.percent_of_arrivals: must be 0 to 100",
            );
        }
        problems.extend(self.thresholds.problems());
        problems
    }

    /// A run that the account limits refuse would measure refusals.
    fn too_few_accounts(&self, arrivals: &Rate) -> Option<String> {
        let expected = arrivals.expected(seconds(self.duration_s));
        let wanted = expected.div_ceil(WITHDRAWALS_AN_ACCOUNT_MAX);
        (u64::from(self.accounts) < wanted).then(|| {
            format!(
                "accounts: about {expected} customers arrive, and an account may draw {WITHDRAWALS_AN_ACCOUNT_MAX} times a day: at \
                 least {wanted} are needed"
            )
        })
    }

    fn into_scenario(self, arrivals: Rate, faults: Vec<Fault>) -> Scenario {
        let CustomerTable { amounts, think_ms, patience_s, present_ms } = self.customer;
        Scenario {
            name: self.name,
            about: self.about,
            seed: self.seed,
            duration: seconds(self.duration_s),
            warm_up: seconds(self.warm_up_s),
            settle: seconds(self.settle_s),
            atms: self.atms,
            atm_record_on_disk: self.atm_record == AtmRecord::Disk,
            accounts: self.accounts,
            customer: Customer {
                amounts,
                think: milliseconds(think_ms),
                patience: seconds(patience_s),
                present: milliseconds(present_ms),
            },
            thieves: self.thieves.map(|ThievesTable { phones, percent_of_arrivals, amount }| Thieves {
                phones,
                percent_of_arrivals,
                amount,
            }),
            arrivals,
            core_bank_delay: milliseconds(self.core_bank.delay_ms),
            faults,
            thresholds: self.thresholds,
        }
    }
}

pub(super) fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

pub(super) fn milliseconds(milliseconds: u32) -> Duration {
    Duration::from_millis(milliseconds.into())
}
