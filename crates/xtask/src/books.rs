//! The money, counted from three sides that share no code: core banking, the gateway, and the ATMs' own records.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock::Deadline;
use crate::figures::grouped;
use crate::parties::{atm, core_bank, minor_units, text};
use crate::site::{INSTITUTIONS, Site, json_lines};
use crate::{command, interrupt};

/// Institution and account.
pub(crate) type AccountId = (String, String);

/// A withdrawal as the gateway lists it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) account: AccountId,
    pub(crate) amount: i64,
    pub(crate) state: String,
    pub(crate) dispensed: i64,
}

/// A hold as core banking knows it.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) withdrawal: String,
    pub(crate) account: AccountId,
    pub(crate) amount: i64,
    pub(crate) status: String,
    pub(crate) confirmed: i64,
}

/// What core banking says of an account as a whole.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    id: AccountId,
    /// Every amount that was ever held.
    holds: i64,
    confirmed: i64,
    /// What is aside now.
    held: i64,
}

/// The three sides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sides {
    pub(crate) gateway: Vec<Listed>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) accounts: Vec<Account>,
    /// What left the machines and stayed out, by withdrawal.
    pub(crate) cash: BTreeMap<String, i64>,
}

/// One account, counted. The first three figures are core banking's, the next four the gateway's, the last the ATMs'.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    holds: i64,
    core_confirmed: i64,
    core_held: i64,
    confirmed: i64,
    reversed: i64,
    open: i64,
    suspect: i64,
    /// For the confirmed withdrawals; what left for open ones is what their outcome will tell.
    cash_out: i64,
}

/// The books, and every way in which they are not as they should be.
pub(crate) struct Books {
    rows: BTreeMap<AccountId, Row>,
    pub(crate) problems: Vec<String>,
}

impl Books {
    pub(crate) fn of(sides: &Sides) -> Self {
        let mut rows: BTreeMap<AccountId, Row> = BTreeMap::new();
        for account in sides.accounts.iter().filter(|account| account.holds > 0) {
            let row = rows.entry(account.id.clone()).or_default();
            (row.holds, row.core_confirmed, row.core_held) = (account.holds, account.confirmed, account.held);
        }
        let mut problems = Vec::new();
        let holds: HashMap<&str, &Hold> = sides.holds.iter().map(|hold| (hold.withdrawal.as_str(), hold)).collect();
        let known: HashSet<&str> = sides.gateway.iter().map(|listed| listed.id.as_str()).collect();
        for listed in &sides.gateway {
            let hold = holds.get(listed.id.as_str()).copied();
            let cash = sides.cash.get(&listed.id).copied().unwrap_or_default();
            if let Some(problem) = fault_of(listed, hold, cash) {
                problems.push(format!("withdrawal {} ({}): {problem}", listed.id, listed.state));
            }
            rows.entry(listed.account.clone()).or_default().count(listed, hold.is_some_and(was_placed), cash);
        }
        let is_known = |id: &String| known.contains(id.as_str());
        for hold in sides.holds.iter().filter(|hold| was_placed(hold) && !is_known(&hold.withdrawal)) {
            problems.push(format!("core banking holds for {}, which the gateway does not know", hold.withdrawal));
        }
        for (id, cash) in sides.cash.iter().filter(|(id, cash)| **cash != 0 && !is_known(id)) {
            problems.push(format!("{cash} left a machine for {id}, which the gateway does not know"));
        }
        for ((institution, account), row) in &rows {
            problems.extend(row.faults().into_iter().map(|fault| format!("account {institution}/{account}: {fault}")));
        }
        rows.retain(|_, row| *row != Row::default());
        Self { rows, problems }
    }

    pub(crate) fn print(&self) {
        println!("\nthe books, in yen: core banking (CB), gateway and ATMs, each read on its own");
        println!(
            "{:<38}{:>10} = {:>10} + {:>10} + {:>8} + {:>8} |{:>12}{:>12}{:>9}",
            "account", "holds CB", "confirmed", "reversed", "open", "suspect", "confirm. CB", "cash ATMs", "held CB"
        );
        let mut total = Row::default();
        for ((institution, account), row) in &self.rows {
            row.print(&format!("{institution}/{account}"));
            total.add(row);
        }
        total.print("total");
        for problem in &self.problems {
            println!("✗ {problem}");
        }
        if self.problems.is_empty() {
            println!("✓ balanced: holds = confirmed + reversed + open + suspect, cash out = confirmed, to the yen");
        }
    }

    pub(crate) fn rows_as_json(&self) -> Vec<Value> {
        self.rows.iter().map(|((institution, account), row)| row.to_json(institution, account)).collect()
    }
}

impl Row {
    fn count(&mut self, listed: &Listed, was_placed: bool, cash: i64) {
        match listed.state.as_str() {
            "confirmed" => {
                self.confirmed += listed.dispensed;
                self.reversed += listed.amount - listed.dispensed; // what was held and did not leave is given back
                self.cash_out += cash;
            }
            "suspect" => self.suspect += listed.amount,
            // A hold that never came to be moved no money; neither did a declined one.
            "reversed" if was_placed => self.reversed += listed.amount,
            "reversed" | "declined" => {}
            _ => self.open += listed.amount,
        }
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut equal = |left_name: &str, left: i64, right_name: &str, right: i64| {
            if left != right {
                faults.push(format!("{left_name} {left} is not {right_name} {right}"));
            }
        };
        let told = self.confirmed + self.reversed + self.open + self.suspect;
        equal("core banking's holds", self.holds, "the gateway's confirmed + reversed + open + suspect", told);
        equal("core banking's confirmed", self.core_confirmed, "the gateway's confirmed", self.confirmed);
        equal("cash out of the ATMs", self.cash_out, "the gateway's confirmed", self.confirmed);
        equal("core banking's held", self.core_held, "the gateway's open + suspect", self.open + self.suspect);
        faults
    }

    fn add(&mut self, other: &Self) {
        self.holds += other.holds;
        self.core_confirmed += other.core_confirmed;
        self.core_held += other.core_held;
        self.confirmed += other.confirmed;
        self.reversed += other.reversed;
        self.open += other.open;
        self.suspect += other.suspect;
        self.cash_out += other.cash_out;
    }

    fn print(&self, name: &str) {
        let [holds, confirmed, reversed, open, suspect, core_confirmed, cash_out, core_held] = [
            self.holds,
            self.confirmed,
            self.reversed,
            self.open,
            self.suspect,
            self.core_confirmed,
            self.cash_out,
            self.core_held,
        ]
        .map(grouped);
        println!(
            "{name:<38}{holds:>10} = {confirmed:>10} + {reversed:>10} + {open:>8} + {suspect:>8} |{core_confirmed:>12}\
             {cash_out:>12}{core_held:>9}"
        );
    }

    fn to_json(&self, institution: &str, account: &str) -> Value {
        json!({
            "institution": institution, "account": account, "holds": self.holds, "confirmed": self.confirmed,
            "reversed": self.reversed, "open": self.open, "suspect": self.suspect, "cash_out": self.cash_out,
            "corebank_confirmed": self.core_confirmed, "corebank_held": self.core_held,
            "balanced": self.faults().is_empty(),
        })
    }
}

impl Sides {
    /// Reads the three sides of a site with these ATMs.
    pub(crate) fn read(site: &Site, atms: &[&str]) -> Result<Self, String> {
        let mut sides = Self::default();
        for one in site.withdrawals()? {
            sides.gateway.push(Listed {
                id: text(&one, "withdrawal_id"),
                account: (text(&one, "institution_id"), text(&one, "account_id")),
                amount: minor_units(one.get("amount")),
                state: text(&one, "state"),
                dispensed: minor_units(one.get("dispensed")),
            });
        }
        for institution in INSTITUTIONS {
            let database = core_bank::database(site, institution);
            let lines = command::output(site.fleet("corebank-books").arg("--db").arg(database).arg("--holds"))?;
            for line in json_lines(&lines)? {
                sides.add_corebank_line(institution, &line);
            }
        }
        for id in atms {
            let lines = command::output(site.fleet("atm-books").arg("--state").arg(atm::state_folder(site, id)))?;
            for line in json_lines(&lines)? {
                *sides.cash.entry(text(&line, "withdrawal_id")).or_default() += minor_units(line.get("cash_out"));
            }
        }
        Ok(sides)
    }

    fn add_corebank_line(&mut self, institution: &str, line: &Value) {
        let account = (institution.to_owned(), text(line, "account"));
        let withdrawal = text(line, "withdrawal_id");
        let figure = |key| minor_units(line.get(key));
        if withdrawal.is_empty() {
            let (holds, confirmed, held) = (figure("holds"), figure("confirmed"), figure("held"));
            self.accounts.push(Account { id: account, holds, confirmed, held });
        } else {
            let (amount, confirmed, status) = (figure("amount"), figure("confirmed"), text(line, "status"));
            self.holds.push(Hold { withdrawal, account, amount, status, confirmed });
        }
    }
}

/// Waits until nothing is under way any more, but not for ever: what the books then say is the judgement. What only a person can
/// decide is not waited for.
pub(crate) fn wait_until_settled(site: &Site) -> Result<(), String> {
    let deadline = Deadline::after(Duration::from_secs(60));
    loop {
        interrupt::check()?;
        let under_way = site.withdrawals()?.iter().filter(|one| is_under_way(&text(one, "state"))).count();
        if under_way == 0 || deadline.has_passed() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn is_under_way(state: &str) -> bool {
    matches!(state, "hold_requested" | "awaiting_code" | "held" | "dispense_commanded" | "confirming" | "reversing")
}

/// Whether money was ever aside: not so for a refusal, or for a reversal that came before its hold.
fn was_placed(hold: &Hold) -> bool {
    hold.status != "declined" && hold.amount > 0
}

/// What is wrong with one withdrawal as the three sides tell it.
fn fault_of(listed: &Listed, hold: Option<&Hold>, cash: i64) -> Option<String> {
    if let Some(other) = hold.filter(|hold| hold.account != listed.account && was_placed(hold)) {
        return Some(format!("core banking has it on account {}", other.account.1));
    }
    let status = hold.filter(|hold| was_placed(hold)).map_or("none", |hold| hold.status.as_str());
    let confirmed = hold.map_or(0, |hold| hold.confirmed);
    let (dispensed, amount) = (listed.dispensed, listed.amount);
    let is_as_it_should_be = match listed.state.as_str() {
        "confirmed" => status == "confirmed" && confirmed == dispensed && cash == dispensed,
        "reversed" => matches!(status, "reversed" | "none") && cash == 0,
        "declined" => status == "none" && cash == 0,
        // The money stays aside until it is known; a settlement may already have been booked for a suspect.
        "suspect" => status != "none",
        _ => status == "held" || (status == "none" && listed.state == "hold_requested"),
    };
    (!is_as_it_should_be).then(|| {
        format!("approved {amount}, dispensed {dispensed}; core banking: {status}, {confirmed}; the ATM paid {cash}")
    })
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
