//! A draft's decisions over recorded withdrawals, beside those that were made.

use std::collections::BTreeMap;
use std::fmt;

use cashgate_withdrawal::money::Currency;
use cashgate_withdrawal::time::Timestamp;

use crate::decision::{Decision, Verdict};
use crate::difference::Difference;
use crate::facts::Facts;
use crate::set::PolicySet;

/// One decision of the past.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// What was known.
    pub facts: Facts,
    /// What was decided.
    pub verdict: Verdict,
    /// When.
    pub at: Timestamp,
    /// Whether notes were paid out in the end.
    pub dispensed: bool,
}

/// What would have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsal {
    /// The draft's version.
    pub draft: String,
    /// How many decisions were compared.
    pub compared: u64,
    /// How many of them would have come out the same.
    pub unchanged: u64,
    /// The others, by what changes and the reason for it: the draft's reasons where it is stricter, those of the current set where it is milder.
    /// A decision with several reasons counts under each, so rows do not add up.
    pub changes: BTreeMap<(Difference, String), Change>,
}

/// One row of a rehearsal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// How many withdrawals.
    pub withdrawals: u64,
    /// How many of them were paid out.
    pub dispensed: u64,
    /// What they came to, in minor units of each currency.
    pub sums: BTreeMap<Currency, u64>,
    /// The first few, at most [`Change::EXAMPLES_MAX`].
    pub examples: Vec<Example>,
}

/// A withdrawal that would have come out differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// When it was decided on.
    pub at: Timestamp,
    /// What was known.
    pub facts: Facts,
    /// Whether it was paid out.
    pub dispensed: bool,
    /// What had been decided.
    pub was: Verdict,
    /// What the draft decides.
    pub draft: Decision,
}

impl Change {
    /// Enough to see what kind of customer it is.
    pub const EXAMPLES_MAX: usize = 5;

    fn add(&mut self, recorded: &Recorded, was: Verdict, draft: &Decision) {
        self.withdrawals += 1;
        self.dispensed += u64::from(recorded.dispensed);
        let amount = recorded.facts.amount;
        let sum = self.sums.entry(amount.currency()).or_default();
        *sum = sum.saturating_add(amount.minor_units());
        if self.examples.len() < Self::EXAMPLES_MAX {
            let (facts, draft) = (recorded.facts.clone(), draft.clone());
            self.examples.push(Example { at: recorded.at, facts, dispensed: recorded.dispensed, was, draft });
        }
    }
}

/// Asks the draft about every record. It is compared with what `current` says of the same facts, or, without one, with what was decided then.
///
/// The records are what happened under the rules of their time: a customer whom a stricter draft stops would have come back with a smaller
/// amount, and one whom a milder draft lets through may never have been a thief. It shows whom a rule meets, not what they do next.
pub fn rehearse(current: Option<&PolicySet>, draft: &PolicySet, records: impl Iterator<Item = Recorded>) -> Rehearsal {
    let mut rehearsal = Rehearsal { draft: draft.version().to_owned(), ..Rehearsal::default() };
    for recorded in records {
        let then = current.map(|set| set.decide(&recorded.facts));
        let was = then.as_ref().map_or(recorded.verdict, |decision| decision.verdict);
        let now = draft.decide(&recorded.facts);
        rehearsal.compared += 1;
        let difference = Difference::of(was, now.verdict);
        if difference == Difference::None {
            rehearsal.unchanged += 1;
            continue;
        }
        let stricter = now.verdict > was;
        let reasons = if stricter { Some(&now.reasons) } else { then.as_ref().map(|then| &then.reasons) };
        let mut names: Vec<String> = reasons.into_iter().flatten().map(ToString::to_string).collect();
        if names.is_empty() {
            names.push(UNKNOWN_REASON.to_owned());
        }
        for name in names {
            rehearsal.changes.entry((difference, name)).or_default().add(&recorded, was, &now);
        }
    }
    rehearsal
}

/// Records keep a verdict without its reasons.
const UNKNOWN_REASON: &str = "(as recorded)";

impl fmt::Display for Rehearsal {
    /// A table for a terminal, with examples under each row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let changed = self.compared - self.unchanged;
        if self.compared == 0 {
            return writeln!(
                f,
                "{}: no approval with facts was recorded in that time, so this proves nothing",
                self.draft
            );
        }
        writeln!(f, "{}: {} approvals, {changed} would come out differently", self.draft, self.compared)?;
        if self.changes.is_empty() {
            return Ok(());
        }
        writeln!(
            f,
            "\n{:<12} {:<34} {:>11} {:>10} {:>9}  sum",
            "instead", "reason", "withdrawals", "per 10,000", "paid out"
        )?;
        for ((difference, reason), change) in &self.changes {
            let (withdrawals, dispensed) = (change.withdrawals, change.dispensed);
            let sums: Vec<String> = change.sums.iter().map(|(currency, sum)| format!("{sum} {currency}")).collect();
            writeln!(
                f,
                "{:<12} {reason:<34} {withdrawals:>11} {:>10} {dispensed:>9}  {}",
                difference.name(),
                per_10_000(withdrawals, self.compared),
                sums.join(", ")
            )?;
            for example in &change.examples {
                writeln!(f, "    {example}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, facts, was, draft, .. } = self;
        write!(f, "{at}: {}/{} {} at {}, ", facts.institution, facts.account, facts.amount, facts.atm)?;
        let (hour, channel) = (facts.local_hour, facts.device_channel.as_str());
        write!(f, "hour {hour}, device {} h ({channel}), ", facts.device_age.as_secs() / 3_600)?;
        write!(f, "usual {}, ", facts.account_usual_amount)?;
        write!(f, "{} -> {} ({})", was.name(), draft.verdict.name(), draft.rules.join(", "))
    }
}

/// With one digit after the point.
fn per_10_000(part: u64, whole: u64) -> String {
    let tenths = u128::from(part) * 100_000 / u128::from(whole.max(1));
    format!("{}.{}", tenths / 10, tenths % 10)
}
