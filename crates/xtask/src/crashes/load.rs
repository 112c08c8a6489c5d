//! Customers without end at every ATM, and what they are told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::facts::{Approval, End, Facts, has_ended};
use crate::dice::Dice;
use crate::interrupt;
use crate::parties::atm::{self, show_code};
use crate::parties::phone::Phone;
use crate::parties::{approved_id, minor_units, text};
use crate::process::{Killer, Process};
use crate::site::Site;

/// How long a customer waits for an answer, and for the end. The longest way is a gateway that is killed twice in a row.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long a customer waits in front of an ATM that shows no code.
const STANDING: Duration = Duration::from_millis(100);
/// More notes of each kind than the longest run pays out.
const NOTES_EACH: u32 = 1_000_000;

/// An ATM that is killed by one thread while another serves a customer at it.
pub(crate) struct Machine {
    pub(crate) id: String,
    process: Mutex<Process>,
    killer: Mutex<Killer>,
}

/// What the customers saw so far.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) facts: Facts,
    /// When each approval was accepted, and at which machine.
    pub(crate) approved: Vec<(std::time::Instant, String)>,
    /// How many visits ended how.
    pub(crate) visits: BTreeMap<String, u32>,
}

/// What all customers have in common.
pub(crate) struct Load<'a> {
    pub(crate) seen: &'a Mutex<Seen>,
    /// No more customers, please.
    pub(crate) closing: &'a AtomicBool,
}

impl Machine {
    pub(crate) fn start(site: &Site, id: String) -> Result<Self, String> {
        let process = atm::start(site, &id, "Shibuya, Tokyo", NOTES_EACH)?;
        let killer = Mutex::new(process.killer());
        Ok(Self { id, process: Mutex::new(process), killer })
    }

    /// Ends it, whoever stands in front of it.
    pub(crate) fn kill(&self) {
        locked(&self.killer).kill();
    }

    /// Starts it again after [`Self::kill`], on the record that it kept.
    pub(crate) fn restart(&self, site: &Site) -> Result<(), String> {
        let process = atm::start(site, &self.id, "Shibuya, Tokyo", NOTES_EACH)?;
        *locked(&self.killer) = process.killer();
        // Whoever listens to the dead one is told so at once and lets go.
        *locked(&self.process) = process;
        Ok(())
    }

    /// Switches it off in order.
    pub(crate) fn switch_off(&self, timeout: Duration) -> Result<(), String> {
        let mut process = locked(&self.process);
        process.close_stdin();
        process.wait_for_end(timeout).map(drop)
    }
}

impl Load<'_> {
    /// Serves one customer after the other at one ATM.
    pub(crate) fn serve(&self, machine: &Machine, phones: &[Phone], mut dice: Dice) {
        while !self.closing.load(Ordering::Relaxed) && !interrupt::came() {
            let Some(phone) = dice.one_of(phones) else { return };
            let amount = dice.one_of(&[1_000, 5_000, 10_000, 20_000, 30_000]).copied().unwrap_or(1_000);
            let Ok(code) = show_code(&mut locked(&machine.process), None) else {
                std::thread::sleep(STANDING);
                continue;
            };
            // Not an error: killing is what this is about. What was promised before it is checked in the end.
            let end = self.visit(machine, phone, &code.text, amount).unwrap_or_else(|_| "interrupted".to_owned());
            *locked(self.seen).visits.entry(end).or_default() += 1;
        }
    }

    /// One customer: how the visit ended, or why it was interrupted.
    fn visit(&self, machine: &Machine, phone: &Phone, code: &str, amount: i64) -> Result<String, String> {
        let mut app = phone.start_withdrawal(code, amount)?;
        let is_answer = |line: &Value| line.get("approved").is_some() || line.get("error").is_some();
        let answer = app.wait_for("answer to the approval", PATIENCE, is_answer)?;
        let Some(approved) = answer.get("approved") else {
            // The line may be down, or the ATM dead; then there is no code to take away either.
            let _ = locked(&machine.process).tell("end");
            let error = answer.get("error").unwrap_or(&Value::Null);
            let reason = Some(text(error, "reason")).filter(|reason| !reason.is_empty());
            return Ok(format!("refused as {}", reason.unwrap_or_else(|| text(error, "code"))));
        };
        let withdrawal = approved_id(approved)?;
        let account = (phone.institution().to_owned(), phone.account().to_owned());
        let approval = Approval { withdrawal: withdrawal.clone(), account, amount };
        locked(self.seen).facts.approvals.push(approval);
        locked(self.seen).approved.push((crate::clock::now(), machine.id.clone()));

        let last = app.wait_for("end of the withdrawal", PATIENCE, |line| {
            let state = line.get("update").map(|update| text(update, "state")).unwrap_or_default();
            has_ended(&state) || needs_a_person(&state)
        })?;
        let update = last.get("update").unwrap_or(&Value::Null);
        let (state, dispensed) = (text(update, "state"), minor_units(update.get("dispensed")));
        if has_ended(&state) {
            let end = End { withdrawal, state: state.clone(), dispensed };
            locked(self.seen).facts.ends.push(end);
        }
        Ok(state)
    }
}

/// Whether a customer has to be sent home without knowing.
fn needs_a_person(state: &str) -> bool {
    matches!(state, "outcome_unknown" | "suspect")
}

/// The lock; a thread that panicked has left what is behind it as it was after its last whole change.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
