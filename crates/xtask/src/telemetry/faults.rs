//! For each alert a fault that a gateway meets in life, how customers go on meanwhile, and how it is healed.

use std::fs;
use std::time::Duration;

use super::world::{World, start_bank};
use crate::parties::{SOON, atm};

/// What makes one alert fire.
pub(super) struct Fault {
    pub(super) alert: &'static str,
    /// In words.
    pub(super) what: &'static str,
    pub(super) inject: fn(&mut World) -> Result<(), String>,
    /// Done again and again until it fires.
    pub(super) meanwhile: fn(&mut World) -> Result<(), String>,
    pub(super) heal: fn(&mut World) -> Result<(), String>,
}

const fn nothing(_: &mut World) -> Result<(), String> {
    Ok(())
}

/// In their order: those that kill the gateway come last, because Prometheus sees its counters begin anew.
pub(super) const FAULTS: [Fault; 18] = [
    Fault {
        alert: "CashgateSpansDropped",
        what: "the collector is killed while customers withdraw",
        inject: |world| {
            world.collector = None;
            Ok(())
        },
        meanwhile: |world| world.withdraw(1_000),
        heal: World::restart_collector,
    },
    Fault {
        alert: "CashgateFraudAlarm",
        what: "a phone that nobody knew an hour ago draws 450,000",
        inject: |world| {
            let phone = world.new_phone()?;
            (0..3).try_for_each(|_| {
                let id = atm::approve_at(world.atm("A2")?, &phone, 150_000)?;
                phone.watch_to_end(&id)?.is("confirmed", 150_000).map(drop)
            })
        },
        meanwhile: nothing,
        heal: nothing,
    },
    Fault {
        alert: "CashgateRulesRefused",
        what: "a fraud rule with a mistake in it",
        inject: |world| edit_rules(world, |text| text + "\npermit (principal, action\n"),
        meanwhile: nothing,
        heal: |world| edit_rules(world, |text| text.replace("\npermit (principal, action\n", "")),
    },
    Fault {
        alert: "CashgateStopped",
        what: "an operator stops everything",
        inject: |world| world.site.ask_gateway(&["stop", "everything", "--reason", "drill"]).map(drop),
        meanwhile: nothing,
        heal: |world| world.site.ask_gateway(&["release", "everything", "--reason", "drill"]).map(drop),
    },
    Fault {
        alert: "CashgateApprovalsSlow",
        what: "core banking takes six seconds for a hold",
        inject: |world| {
            world.tell_bank("late 4 6000")?;
            world.withdraw(1_000)
        },
        meanwhile: nothing,
        heal: nothing,
    },
    Fault {
        alert: "CashgateCoreBankingSilent",
        what: "core banking is killed while customers approve",
        inject: |world| {
            world.corebank = None;
            approve_in_vain(world)
        },
        meanwhile: nothing,
        heal: nothing,
    },
    Fault {
        alert: "CashgateHoldsNotEnding",
        what: "the same, as long as no reversal gets through",
        inject: approve_in_vain,
        meanwhile: nothing,
        heal: |world| {
            world.corebank = Some(start_bank(&world.site)?);
            Ok(())
        },
    },
    Fault {
        alert: "CashgateHsmLost",
        what: "the HSM token's folder is moved away, and somebody touches",
        inject: |world| move_token(world, "softhsm-tokens", "away").and_then(|()| touch(world)),
        meanwhile: touch,
        heal: nothing,
    },
    Fault {
        alert: "CashgateCodesFail",
        what: "the same: customers go on touching",
        inject: touch,
        meanwhile: touch,
        heal: |world| move_token(world, "away", "softhsm-tokens").and_then(|()| wait_for_codes(world)),
    },
    Fault {
        alert: "CashgateLedgerSlow",
        what: "every sync takes 0.8 s more (strace)",
        inject: |world| world.inject(&["fsync,fdatasync:delay_enter=800000"], &[]),
        meanwhile: |world| world.withdraw(1_000),
        heal: stop_injecting,
    },
    Fault {
        alert: "CashgateLedgerOnReserve",
        what: "a write to the log finds the disk full, and so does the reserve",
        inject: |world| {
            let full = ["pwrite64:error=ENOSPC:when=1", "write:error=ENOSPC"];
            world.inject(&full, &["ledger.db-wal", "ledger.db.reserve"])
        },
        meanwhile: |world| approve(world, 1_000, &[]),
        heal: nothing,
    },
    Fault {
        alert: "CashgateEvidenceDropped",
        what: "the same, and an approval with a false signature",
        inject: nothing,
        meanwhile: |world| approve(world, 1_000, &["--wrong-signature"]),
        heal: nothing,
    },
    Fault {
        alert: "CashgateRpcsFail",
        what: "the same, and customers approve",
        inject: nothing,
        meanwhile: |world| approve(world, 1_000, &[]),
        heal: |world| stop_injecting(world).and_then(|()| world.wait_for_room()),
    },
    Fault {
        alert: "CashgateSuspect",
        what: "a machine loses its power with the notes already out",
        inject: |world| {
            world.atm("A3")?.tell("fault power-cut")?;
            let phone = world.new_phone()?;
            world.suspect = Some(atm::approve_at(world.atm("A3")?, &phone, 30_000)?);
            world.atm("A3")?.wait_for_end(SOON).map(drop)
        },
        meanwhile: nothing,
        heal: nothing,
    },
    Fault {
        alert: "CashgateContradicted",
        what: "a person gives it back, and the machine returns with its report",
        inject: |world| {
            let id = world.suspect.clone().ok_or("there is no suspect")?;
            world.site.ask_gateway(&["withdrawals", "resolve", &id, "--reverse", "--reason", "drill"])?;
            world.restart_atm("A3")
        },
        meanwhile: nothing,
        heal: nothing,
    },
    Fault {
        alert: "CashgateAtmsGone",
        what: "two of three machines go dark",
        inject: |world| {
            world.atms.remove("A2");
            world.atms.remove("A3");
            Ok(())
        },
        meanwhile: nothing,
        heal: |world| world.restart_atm("A2").and_then(|()| world.restart_atm("A3")),
    },
    Fault {
        alert: "CashgateRestarts",
        what: "the gateway is killed three times",
        inject: nothing,
        meanwhile: |world| {
            world.restart_gateway()?;
            std::thread::sleep(Duration::from_secs(3)); // long enough for Prometheus to see each
            Ok(())
        },
        heal: World::wait_for_atms,
    },
    Fault {
        alert: "CashgateDown",
        what: "the gateway is killed, and nobody starts it again",
        inject: |world| {
            world.gateway = None;
            Ok(())
        },
        meanwhile: nothing,
        heal: |world| world.restart_gateway().and_then(|()| world.wait_for_atms()).and_then(|()| world.withdraw(1_000)),
    },
];

fn touch(world: &mut World) -> Result<(), String> {
    let machine = world.atm("A2")?;
    machine.tell("start")?;
    std::thread::sleep(Duration::from_millis(500));
    machine.tell("end")
}

/// The HSM is back by itself once a machine shows a code.
fn wait_for_codes(world: &mut World) -> Result<(), String> {
    for _ in 0..30 {
        if let Ok(code) = atm::show_code(world.atm("A2")?, None) {
            drop(code);
            return world.atm("A2")?.tell("end");
        }
    }
    Err("no code is shown although the HSM token is back".to_owned())
}

/// An approval whatever comes of it.
pub(super) fn approve(world: &mut World, amount: i64, further: &[&str]) -> Result<(), String> {
    let phone = world.phone.clone();
    let code = atm::show_code(world.atm("A1")?, None)?;
    // Refusals are what these faults are about.
    drop(phone.scan(&code.text)?);
    drop(phone.approve(&code.text, amount, further)?);
    std::thread::sleep(Duration::from_millis(500));
    world.atm("A1")?.tell("end")
}

/// The hold gets no answer, and neither does its reversal.
fn approve_in_vain(world: &mut World) -> Result<(), String> {
    approve(world, 1_000, &[])
}

fn stop_injecting(world: &mut World) -> Result<(), String> {
    // Killed, strace lets go of the gateway, which runs on.
    world.injecting = None;
    let gateway = world.gateway.as_mut().ok_or("the gateway does not run")?;
    if gateway.runs() { Ok(()) } else { Err(format!("the gateway has ended: {}", gateway.last_words(3))) }
}

fn move_token(world: &World, from: &str, to: &str) -> Result<(), String> {
    let folder = world.site.dir();
    fs::rename(folder.join(from), folder.join(to)).map_err(|error| format!("{from} cannot be moved: {error}"))
}

fn edit_rules(world: &World, edit: impl FnOnce(String) -> String) -> Result<(), String> {
    let file = world.site.dir().join("policies/trial.cedar");
    let cannot = |error| format!("cannot edit {}: {error}", file.display());
    let text = fs::read_to_string(&file).map_err(cannot)?;
    fs::write(&file, edit(text)).map_err(cannot)
}
