//! The main job with real parts: every case once, then the money is counted.

mod cases;
mod live;
mod report;
mod world;

use std::path::Path;

use report::Line;
use world::{ATMS, World};

use crate::books::{self, Books, Sides};
use crate::command::Build;
use crate::ledger::LedgerKind;
use crate::site::Site;
use crate::{clock, command, interrupt, packages};

/// Runs the demo; an error if any line, the books or the ledger are not as they should be.
pub(crate) fn run(once: bool, ledger: LedgerKind, json: Option<&Path>) -> Result<(), String> {
    interrupt::watch()?;
    packages::ensure(&[packages::C_COMPILER, packages::SOFTHSM])?;
    packages::ensure(&ledger.packages())?;
    let site = Site::new(command::build_programs(Build::Debug)?, "cashgate-demo")?;
    println!("folder: {}", site.folder().display());
    // Held until everything has ended.
    let server = ledger.prepare(&site)?;
    let done = show(&site, once, json);
    drop(server);
    match done {
        Ok(()) => site.remove(),
        Err(problem) => Err(format!(
            "{problem}\n\nthe gateway's last lines:\n{}\n\neverything is kept in {}",
            site.last_words_of_gateway(),
            site.folder().display()
        )),
    }
}

fn show(site: &Site, once: bool, json: Option<&Path>) -> Result<(), String> {
    let began = clock::now();
    let mut world = World::start(site.clone())?;
    println!("gateway, 2 core banks and 3 ATMs run after {:.1} s\n", began.elapsed().as_secs_f32());
    let lines = run_cases(&mut world)?;
    if !once {
        live::run(&mut world)?;
    }
    books::wait_until_settled(world.site())?;
    let books = Books::of(&Sides::read(world.site(), &ATMS.map(|(id, _)| id))?);
    books.print();
    if let Some(file) = json {
        report::write(file, &lines, &books)?;
    }
    let stopped = world.stop();
    let failed = lines.iter().filter(|line| line.outcome.is_err()).inspect(|line| line.print()).count();
    println!("\n{} cases in {:.1} s, {failed} failed", lines.len(), began.elapsed().as_secs_f32());
    match (failed, books.problems.len()) {
        (0, 0) => stopped.and_then(|()| verify(site)),
        (failed, problems) => Err(format!("{failed} cases are not as they should be; {problems} faults in the books")),
    }
}

/// What the gateway that has stopped leaves is whole.
fn verify(site: &Site) -> Result<(), String> {
    let said = site.ask_gateway(&["ledger", "verify"])?;
    println!("ledger verify: {}", said.lines().last().unwrap_or_default());
    Ok(())
}

fn run_cases(world: &mut World) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for case in cases::ALL {
        // After Ctrl-C or the loss of the gateway every further case would only repeat the same words.
        interrupt::check()?;
        world.check_gateway_runs()?;
        let outcome = case.phone(world.site()).and_then(|phone| (case.run)(world, &phone));
        let line = Line { name: case.name, outcome };
        line.print();
        lines.push(line);
    }
    Ok(lines)
}
