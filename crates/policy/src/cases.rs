//! Cases: what an analyst expects of a rule set, kept beside it as `*.cases.toml` and run before the set is used.
//!
//! A case names the facts in which it differs from an ordinary customer ([`ordinary_customer`]), under the names that rules use:
//!
//! ```toml
//! [[case]]
//! name = "a new phone takes more than 30,000 yen"
//! facts = { context.device.age_hours = 71, context.amount = 30001 }
//! expect = "step_up"
//! reasons = ["new_device_large_amount"]
//! ```

use std::fmt;
use std::time::Duration;

use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::ReasonCode;
use cashgate_withdrawal::money::{Currency, Money};
use serde::Deserialize;
use toml::Spanned;

use crate::decision::{Decision, Verdict};
use crate::facts::{Attestation, Channel, Facts};
use crate::problem::Problem;
use crate::rules::reason_code;
use crate::set::PolicySet;
use crate::sources::Source;

mod overrides;

use overrides::Overrides;

/// One expectation.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file it stands in, without its folder.
    pub file: String,
    /// The line, from 1, on which it begins.
    pub line: usize,
    /// What it shows, in the analyst's words.
    pub name: String,
    /// An ordinary customer with the case's differences.
    pub facts: Facts,
    /// The verdict that must come.
    pub expect: Verdict,
    /// The reason codes that must come with it, sorted; all of them and no other.
    pub reasons: Vec<ReasonCode>,
}

/// A case that came out differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseFailure {
    /// The case's file.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// What should have come.
    pub expected: (Verdict, Vec<ReasonCode>),
    /// What came, with the rules behind it.
    pub found: Decision,
}

impl CaseFailure {
    pub(crate) fn problem(&self) -> Problem {
        Problem { file: self.file.clone(), line: Some(self.line), rule: None, message: self.message() }
    }

    fn message(&self) -> String {
        let (verdict, reasons) = &self.expected;
        let found = &self.found;
        let by = if found.rules.is_empty() { String::new() } else { format!(" by {}", found.rules.join(", ")) };
        format!(
            "case \"{}\": expected {} [{}], found {} [{}]{by}",
            self.name,
            verdict.name(),
            joined(reasons),
            found.verdict.name(),
            joined(&found.reasons)
        )
    }
}

impl fmt::Display for CaseFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problem())
    }
}

/// Asks the set about each case; empty if all came out as expected.
#[must_use]
pub fn run(set: &PolicySet, cases: &[Case]) -> Vec<CaseFailure> {
    let failure = |case: &Case| {
        let found = set.decide(&case.facts);
        let as_expected = found.verdict == case.expect && found.reasons == case.reasons;
        (!as_expected).then(|| CaseFailure {
            file: case.file.clone(),
            line: case.line,
            name: case.name.clone(),
            expected: (case.expect, case.reasons.clone()),
            found,
        })
    };
    cases.iter().filter_map(failure).collect()
}

/// The customer that cases start from: account 4711 of `bank-a`, at noon, at `tokyo-0001`, wants 30,000 yen with a phone that the branch activated
/// a year ago. The account made 6 withdrawals in 90 days and usually stays at 40,000 yen; one phone, one account, nothing failed, nothing
/// unusual anywhere, grade B. The phone does not share its place, and there is no travel to judge.
///
/// # Errors
/// None in practice: the names are constants that fit.
pub fn ordinary_customer() -> Result<Facts, Box<dyn std::error::Error + Send + Sync>> {
    let amount = Money::from_minor_units(30_000, Currency::JPY)?;
    let outlines =
        Facts::unknown("bank-a".parse()?, "4711".parse()?, "phone-7".parse()?, "tokyo-0001".parse()?, amount);
    Ok(Facts {
        local_hour: 12,
        device_age: Duration::from_secs(365 * 86_400),
        device_channel: Channel::of("branch"),
        device_attestation: Attestation::None,
        new_device_usual_at_institution_1h_milli: 1_000,
        account_usual_amount: 40_000,
        account_withdrawals_90d: 6,
        evidence_grade: EvidenceGrade::B,
        ..outlines
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    case: Vec<Spanned<Written>>,
}

/// A case as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    facts: Overrides,
    expect: String,
    #[serde(default)]
    reasons: Vec<String>,
}

/// The cases of one file, or everything that is wrong with it.
pub(crate) fn parse(source: &Source) -> Result<Vec<Case>, Vec<Problem>> {
    let file: File = toml::from_str(&source.text).map_err(|error| {
        let line = error.span().map(|span| source.line_at(span.start));
        vec![Problem { file: source.file.clone(), line, rule: None, message: error.message().to_owned() }]
    })?;
    let (mut cases, mut problems) = (Vec::new(), Vec::new());
    for written in file.case {
        let line = source.line_at(written.span().start);
        let written = written.into_inner();
        let name = written.name.clone();
        match written.case(&source.file, line) {
            Ok(case) => cases.push(case),
            Err(message) => problems.push(Problem {
                file: source.file.clone(),
                line: Some(line),
                rule: None,
                message: format!("case \"{name}\": {message}"),
            }),
        }
    }
    if problems.is_empty() { Ok(cases) } else { Err(problems) }
}

impl Written {
    fn case(self, file: &str, line: usize) -> Result<Case, String> {
        let expect = Verdict::ALL.into_iter().find(|verdict| verdict.name() == self.expect);
        let expect = expect
            .ok_or_else(|| format!("expect = \"{}\" is not known; write permit, step_up or forbid", self.expect))?;
        let mut reasons =
            self.reasons.iter().map(|text| reason_code(text)).collect::<Result<Vec<ReasonCode>, String>>()?;
        reasons.sort();
        let ordinary = ordinary_customer().map_err(|error| error.to_string())?;
        let facts = self.facts.over(ordinary)?;
        Ok(Case { file: file.to_owned(), line, name: self.name, facts, expect, reasons })
    }
}

fn joined(reasons: &[ReasonCode]) -> String {
    reasons.iter().map(ReasonCode::as_str).collect::<Vec<_>>().join(", ")
}
