//! Customers without end: a thread for each ATM, a table once a second, until Ctrl-C.

use std::collections::{BTreeMap, VecDeque};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::world::{ATMS, World};
use crate::dice::Dice;
use crate::figures::{grouped, yen};
use crate::parties::atm::show_code;
use crate::parties::phone::{Answer, Phone};
use crate::parties::{SOON, approved_id, ends, is, text};
use crate::process::Process;
use crate::site::{INSTITUTIONS, Site};
use crate::{clock, interrupt};

const ACCOUNTS: usize = 40;
const LAST_SHOWN: usize = 12;

/// The accounts that every institution has for the live demo.
pub(crate) fn accounts() -> impl Iterator<Item = String> {
    (1..=ACCOUNTS).map(|number| format!("acct-live-{number}"))
}

/// What the table shows.
#[derive(Default)]
struct Board {
    atms: BTreeMap<&'static str, String>,
    last: VecDeque<String>,
    /// How many ended how.
    totals: BTreeMap<String, u32>,
    paid: i64,
}

/// Serves random customers until Ctrl-C.
pub(crate) fn run(world: &mut World) -> Result<(), String> {
    let board = Mutex::new(Board::default());
    let closing = AtomicBool::new(false);
    let site = world.site().clone();
    std::thread::scope(|scope| {
        for (index, (id, atm)) in world.atms.iter_mut().enumerate() {
            let (site, board, closing, id) = (&site, &board, &closing, *id);
            let dice = Dice::seeded(clock::nanoseconds() ^ (index as u64 + 1));
            scope.spawn(move || serve(&Machine { id, site, board, closing }, atm, dice));
        }
        let began = clock::now();
        while !interrupt::came() {
            with(&board, |board| board.draw(began.elapsed()));
            std::thread::sleep(Duration::from_secs(1));
        }
        interrupt::forget();
        closing.store(true, Ordering::Relaxed);
        println!("\nclosing: the customers at the machines are still served (Ctrl-C again to leave them)");
    });
    world.check_gateway_runs()
}

struct Machine<'a> {
    id: &'static str,
    site: &'a Site,
    board: &'a Mutex<Board>,
    /// No more customers, please.
    closing: &'a AtomicBool,
}

fn serve(machine: &Machine<'_>, atm: &mut Process, mut dice: Dice) {
    let mut phones = BTreeMap::new();
    while !machine.closing.load(Ordering::Relaxed) {
        with(machine.board, |board| drop(board.atms.insert(machine.id, "idle".to_owned())));
        std::thread::sleep(Duration::from_millis(300 + dice.below(1_500)));
        if interrupt::came() {
            return;
        }
        let told = withdraw(machine, atm, &mut dice, &mut phones);
        with(machine.board, |board| board.tell(machine.id, told));
    }
}

/// How a customer's visit ended.
struct Visit {
    end: String,
    dispensed: i64,
    detail: String,
}

fn withdraw(
    machine: &Machine<'_>,
    atm: &mut Process,
    dice: &mut Dice,
    phones: &mut BTreeMap<String, Phone>,
) -> Result<Visit, String> {
    let doing = |what: String| with(machine.board, |board| drop(board.atms.insert(machine.id, what)));
    let phone = someone(machine, dice, phones)?;
    let amount = dice.one_of(&[1_000, 5_000, 10_000, 20_000, 250_000]).copied().unwrap_or(1_000);
    let fault = ["retract", "empty"].get(dice.index(20)); // one customer in ten meets a fault
    if let Some(fault) = fault {
        atm.tell(&format!("fault {fault}"))?;
    }
    doing("shows a code".to_owned());
    let code = show_code(atm, None)?;
    phone.scan(&code.text)?.field("scan")?;
    doing(format!("scanned, {} to approve", yen(amount)));
    let approved = match phone.approve(&code.text, amount, &[])? {
        Answer::Refused { reason, .. } => {
            atm.tell("end")?;
            return Ok(Visit { end: reason, dispensed: 0, detail: format!("{} refused", yen(amount)) });
        }
        accepted @ Answer::Accepted { .. } => accepted.field("approved")?,
    };
    let id = approved_id(&approved)?;
    let confirm_code = text(&approved, "confirm_code");
    if !confirm_code.is_empty() {
        doing("asks for the code".to_owned());
        atm.wait_for("ask_confirm_code", SOON, |event| is(event, "ask_confirm_code") || ends(event, &code.qr_session))?;
        atm.tell(&format!("code {confirm_code}"))?;
    }
    doing(format!("pays {}", yen(amount)));
    let end = phone.watch_to_end(&id)?;
    let detail = fault.map_or_else(String::new, |fault| format!(" after {fault}"));
    Ok(Visit {
        dispensed: end.dispensed,
        detail: format!("{} of {}{detail}", grouped(end.dispensed), yen(amount)),
        end: end.state,
    })
}

/// A random customer; each ATM's customers have phones and accounts of their own.
fn someone<'p>(
    machine: &Machine<'_>,
    dice: &mut Dice,
    phones: &'p mut BTreeMap<String, Phone>,
) -> Result<&'p Phone, String> {
    let institution = dice.one_of(&INSTITUTIONS).copied().unwrap_or("sakura");
    // Every account stays in its town: one that drew in Tokyo and in Osaka within a minute would be refused.
    let town = ATMS.iter().position(|(id, _)| *id == machine.id).unwrap_or_default();
    let account = accounts().skip(town).step_by(ATMS.len()).nth(dice.index(ACCOUNTS / ATMS.len())).unwrap_or_default();
    let device = format!("{}-{institution}-{account}", machine.id);
    if !phones.contains_key(&device) {
        let phone = Phone::register(machine.site, institution, &device, &account, 100)?;
        phones.insert(device.clone(), phone);
    }
    phones.get(&device).ok_or_else(|| format!("no phone {device}"))
}

impl Board {
    fn tell(&mut self, atm: &str, told: Result<Visit, String>) {
        let (end, line) = match told {
            Ok(Visit { end, dispensed, detail }) => {
                self.paid += dispensed;
                let line = format!("{atm}  {end:<16}{detail}");
                (end, line)
            }
            Err(problem) => ("failed".to_owned(), format!("{atm}  failed: {problem}")),
        };
        *self.totals.entry(end).or_default() += 1;
        self.last.push_front(line);
        self.last.truncate(LAST_SHOWN);
    }

    fn draw(&self, running: Duration) {
        if !std::io::stdout().is_terminal() {
            return; // a table that redraws itself is of no use in a file
        }
        let totals: Vec<String> = self.totals.iter().map(|(end, count)| format!("{end} {count}")).collect();
        print!("\x1b[2J\x1b[H");
        println!("Cashgate, {} s: {} paid out. Ctrl-C ends with the books.\n", running.as_secs(), yen(self.paid));
        for (atm, doing) in &self.atms {
            println!("  {atm:<6}{doing}");
        }
        println!("\n  {}\n", totals.join("   "));
        for line in &self.last {
            println!("  {line}");
        }
    }
}

fn with<T>(board: &Mutex<Board>, change: impl FnOnce(&mut Board) -> T) -> T {
    // A thread that panicked has left the board as it was after its last whole change.
    change(&mut board.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}
