//! What phones were told, what ATMs wrote down and what core banks were asked: single facts, held against the books at the end.
//!
//! The books compare sums and ends. A fact is more: it was acknowledged to somebody at some moment, and no crash may take it back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::books::{AccountId, Hold, Listed, Sides};
use crate::command;
use crate::parties::{atm, is, minor_units, text};
use crate::site::{Site, json_lines};

/// A phone was told that its approval is accepted.
#[derive(Clone, Debug)]
pub(crate) struct Approval {
    pub(crate) withdrawal: String,
    pub(crate) account: AccountId,
    pub(crate) amount: i64,
}

/// A phone was told how its withdrawal ended.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) withdrawal: String,
    pub(crate) state: String,
    pub(crate) dispensed: i64,
}

/// What an ATM says became of a command, and whether it was told that the gateway has that on disk.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) withdrawal: String,
    /// What it says has left; nothing if it says nothing of that.
    pub(crate) claimed: Option<i64>,
    pub(crate) acknowledged: bool,
}

/// Core banking was asked to confirm this amount, or to reverse.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Settlement {
    pub(crate) withdrawal: String,
    pub(crate) confirm: Option<i64>,
}

/// Everything that somebody was told, did or was asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) approvals: Vec<Approval>,
    pub(crate) ends: Vec<End>,
    pub(crate) reports: Vec<Report>,
    /// An entry for each time that a dispenser began to move notes: the ATM and the withdrawal.
    pub(crate) dispenses: Vec<(String, String)>,
    pub(crate) settlements: Vec<Settlement>,
}

impl Settlement {
    /// Out of what a core bank said; nothing if it was about something else.
    pub(crate) fn of(event: &Value) -> Option<Self> {
        let withdrawal = text(event, "withdrawal_id");
        match event {
            event if is(event, "confirm_hold") => {
                Some(Self { withdrawal, confirm: Some(minor_units(event.get("amount"))) })
            }
            event if is(event, "reverse_hold") => Some(Self { withdrawal, confirm: None }),
            _ => None,
        }
    }
}

impl Facts {
    /// Adds what an ATM wrote down.
    pub(crate) fn read_atm(&mut self, site: &Site, id: &str) -> Result<(), String> {
        let folder = atm::state_folder(site, id);
        for line in json_lines(&command::output(site.fleet("atm-books").arg("--state").arg(&folder))?)? {
            self.reports.push(Report {
                withdrawal: text(&line, "withdrawal_id"),
                claimed: line.get("claimed").and_then(Value::as_i64),
                acknowledged: line.get("acknowledged").and_then(Value::as_bool).unwrap_or_default(),
            });
        }
        // The books add up; only the record itself shows each time that notes moved.
        let record = folder.join("commands.jsonl");
        let record = std::fs::read_to_string(&record).map_err(|error| format!("{}: {error}", record.display()))?;
        for line in json_lines(&record)?.iter().filter(|line| text(line, "fact") == "moving") {
            self.dispenses.push((id.to_owned(), text(line, "withdrawal_id")));
        }
        Ok(())
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        let acknowledged = self.reports.iter().filter(|report| report.acknowledged).count();
        self.approvals.len() + self.ends.len() + acknowledged + self.dispenses.len() + self.settlements.len()
    }

    /// Every fact that the books contradict, and every pair that contradicts itself.
    pub(crate) fn problems(&self, sides: &Sides) -> Vec<String> {
        let books = Sought {
            listed: sides.gateway.iter().map(|listed| (listed.id.as_str(), listed)).collect(),
            holds: sides.holds.iter().map(|hold| (hold.withdrawal.as_str(), hold)).collect(),
        };
        let mut problems: Vec<String> = Vec::new();
        problems.extend(self.approvals.iter().filter_map(|approval| lost_approval(approval, &books)));
        problems.extend(self.ends.iter().filter_map(|end| changed_end(end, &books)));
        let acknowledged = self.reports.iter().filter(|report| report.acknowledged);
        problems.extend(acknowledged.filter_map(|report| lost_report(report, &books)));
        problems.extend(self.dispenses_gone_wrong(&books));
        problems.extend(settled_in_two_ways(&self.settlements));
        problems.extend(sides.gateway.iter().filter(|listed| !has_ended(&listed.state)).map(|listed| {
            format!("withdrawal {} is still {} although everything has healed", listed.id, listed.state)
        }));
        problems
    }

    fn dispenses_gone_wrong(&self, books: &Sought<'_>) -> Vec<String> {
        let mut problems = Vec::new();
        let mut first: HashMap<&str, &str> = HashMap::new();
        for (atm, withdrawal) in &self.dispenses {
            if let Some(before) = first.insert(withdrawal, atm) {
                problems.push(format!("DOUBLE DISPENSE: notes moved for {withdrawal} at {before} and again at {atm}"));
            }
            if books.holds.get(withdrawal.as_str()).is_none_or(|hold| hold.amount == 0 || hold.status == "declined") {
                problems.push(format!("notes moved for {withdrawal} at {atm}, and core banking never held the money"));
            }
        }
        problems
    }
}

/// The books by withdrawal.
struct Sought<'a> {
    listed: HashMap<&'a str, &'a Listed>,
    holds: HashMap<&'a str, &'a Hold>,
}

fn lost_approval(approval: &Approval, books: &Sought<'_>) -> Option<String> {
    let Approval { withdrawal, account, amount } = approval;
    match books.listed.get(withdrawal.as_str()) {
        None => Some(format!("LOST: a phone was told that {withdrawal} is accepted, and the gateway does not know it")),
        Some(listed) if listed.account != *account || listed.amount != *amount => Some(format!(
            "a phone was told {amount} of {account:?} for {withdrawal}; the gateway has {} of {:?}",
            listed.amount, listed.account
        )),
        Some(_) => None,
    }
}

fn changed_end(end: &End, books: &Sought<'_>) -> Option<String> {
    let listed = books.listed.get(end.withdrawal.as_str());
    let same = listed.is_some_and(|listed| listed.state == end.state && listed.dispensed == end.dispensed);
    (!same).then(|| {
        let now = listed.map_or_else(|| "nothing".to_owned(), |now| format!("{} with {}", now.state, now.dispensed));
        let End { withdrawal, state, dispensed } = end;
        format!("LOST: a phone was told that {withdrawal} ended {state} with {dispensed}; the gateway has {now}")
    })
}

fn lost_report(report: &Report, books: &Sought<'_>) -> Option<String> {
    let claimed = report.claimed?;
    let listed = books.listed.get(report.withdrawal.as_str());
    let kept = listed.is_some_and(|listed| match claimed {
        0 => listed.state == "reversed",
        claimed => listed.state == "confirmed" && listed.dispensed == claimed,
    });
    (!kept).then(|| {
        let now = listed.map_or_else(|| "nothing".to_owned(), |now| format!("{} with {}", now.state, now.dispensed));
        let withdrawal = &report.withdrawal;
        format!("LOST: an ATM was told that {claimed} for {withdrawal} is on record; the gateway has {now}")
    })
}

fn settled_in_two_ways(settlements: &[Settlement]) -> Vec<String> {
    let mut ways: BTreeMap<&str, BTreeSet<Option<i64>>> = BTreeMap::new();
    for one in settlements {
        ways.entry(&one.withdrawal).or_default().insert(one.confirm);
    }
    let word = |way: &Option<i64>| way.map_or_else(|| "reverse".to_owned(), |amount| format!("confirm {amount}"));
    ways.retain(|_, ways| ways.len() > 1);
    let told = ways.into_iter().map(|(withdrawal, ways)| {
        let ways: Vec<String> = ways.iter().map(word).collect();
        format!("core banking was asked to settle {withdrawal} in more than one way: {}", ways.join(", "))
    });
    told.collect()
}

/// Whether a withdrawal never changes again.
pub(crate) fn has_ended(state: &str) -> bool {
    matches!(state, "confirmed" | "reversed" | "declined")
}

#[cfg(test)]
#[path = "facts_tests.rs"]
mod tests;
