//! `cargo xtask test`: every check that a change must pass, in the order in which it fails fastest.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::ledger::LedgerKind;
use crate::python::Venv;
use crate::{
    alerts, clock, command, crashes, demo, fuzz, helm, loadtest, outside_client, packages, replicas, siege, simulate,
    tidy,
};

/// Installed under `target/tools` when there is no other; a debug build takes two minutes and runs fast enough.
const CARGO_DENY: &str = "0.20.2";
const BUF: &str = "buf-bin==1.75.0\n";

/// Fresh worlds; so many that the rarest transition is taken many times over.
const SIMULATED: u64 = 60_000;

/// How long each fuzz target runs; a minute each with `cargo xtask fuzz`.
const FUZZED_SECONDS: u64 = 10;

/// One check.
struct Stage {
    name: &'static str,
    run: fn() -> Result<(), String>,
}

/// More than a thousand failovers of the database and kills of replicas, in about ten seconds.
const SIMULATED_OVER_REPLICAS: u64 = 2_000;

const STAGES: [Stage; 21] = [
    Stage { name: "fmt", run: || command::run(command::cargo().args(["fmt", "--all", "--check"])) },
    Stage { name: "tidy", run: tidy::run },
    Stage { name: "protos", run: protos },
    Stage { name: "clippy", run: clippy },
    Stage { name: "unit", run: unit },
    Stage { name: "fuzz", run: || fuzz::run(FUZZED_SECONDS) },
    Stage { name: "doc", run: doc },
    Stage {
        name: "simulate",
        run: || simulate::run(simulate::Order { worlds: Some(SIMULATED), ..Default::default() }),
    },
    Stage {
        name: "simulate-replicas",
        run: || {
            simulate::run(simulate::Order {
                replicas: true,
                worlds: Some(SIMULATED_OVER_REPLICAS),
                ..Default::default()
            })
        },
    },
    Stage { name: "mutants", run: mutants },
    Stage { name: "vectors", run: vectors },
    Stage { name: "outside-client", run: outside_client::run },
    Stage { name: "alerts", run: alerts::run },
    Stage { name: "demo", run: || demo::run(true, LedgerKind::Sqlite, None) },
    Stage { name: "demo-postgresql", run: || demo::run(true, LedgerKind::Postgresql, None) },
    Stage { name: "siege", run: || siege::run(&siege::Order { quick: true, ..Default::default() }) },
    Stage { name: "crashes", run: || crashes::run(crashes::Order { kills: 40, minutes: None, seed: None }) },
    Stage { name: "demo-replicas", run: replicas::demo },
    Stage { name: "loadtest", run: loadtest::stage },
    Stage { name: "helm", run: helm::run },
    Stage { name: "deny", run: deny },
];

/// The names that `--only` takes.
pub(crate) fn names() -> Vec<&'static str> {
    STAGES.iter().map(|stage| stage.name).collect()
}

/// Runs one stage or all; stops at the first that fails.
pub(crate) fn run(only: Option<&str>) -> Result<(), String> {
    let chosen: Vec<&Stage> = STAGES.iter().filter(|stage| only.is_none_or(|name| stage.name == name)).collect();
    let mut timings = Vec::new();
    for stage in &chosen {
        println!("\n== {}", stage.name);
        let began = clock::now();
        let done = (stage.run)();
        let seconds = began.elapsed().as_secs_f32();
        if let Err(problem) = done {
            println!(
                "== {} failed after {seconds:.1} s; repeat it with: cargo xtask test --only {}",
                stage.name, stage.name
            );
            println!("{} passed, 1 failed", timings.len());
            return Err(problem);
        }
        println!("== {} passed in {seconds:.1} s", stage.name);
        timings.push(format!("{} {seconds:.1} s", stage.name));
    }
    println!("\n{}", timings.join(", "));
    println!("{} passed, 0 failed", timings.len());
    Ok(())
}

fn clippy() -> Result<(), String> {
    packages::ensure(&[packages::C_COMPILER])?;
    command::run(command::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    let planted =
        ["clippy", "-p", "cashgate-simulation", "--features", "planted", "--all-targets", "--", "-D", "warnings"];
    command::run(command::cargo().args(planted))
}

fn unit() -> Result<(), String> {
    packages::ensure(&[
        packages::C_COMPILER,
        packages::SOFTHSM,
        packages::OPENSC,
        packages::NSS,
        packages::NSS_TOOLS,
        packages::POSTGRESQL,
        packages::P11_KIT,
        packages::P11_KIT_MODULES,
        packages::STRACE,
        packages::UTIL_LINUX,
        packages::DEJAVU,
    ])?;
    command::run(command::cargo().args(["test", "--workspace"]))
}

/// Bugs that are planted one at a time must all be found; prints after how many worlds.
fn mutants() -> Result<(), String> {
    packages::ensure(&[packages::C_COMPILER])?;
    let test = [
        "test",
        "-p",
        "cashgate-simulation",
        "--features",
        "planted",
        "--test",
        "mutants",
        "--test",
        "mutants_over_replicas",
        "--",
        "--nocapture",
    ];
    command::run(command::cargo().args(test))
}

fn doc() -> Result<(), String> {
    command::run(command::cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}

fn protos() -> Result<(), String> {
    let venv = Venv::with("buf", BUF)?;
    command::run(venv.program("buf").arg("lint").current_dir(command::root().join("proto")))
}

fn vectors() -> Result<(), String> {
    let folder = command::root().join("crates/qr/python");
    let venv = Venv::from_file("vectors", &folder.join("requirements.txt"))?;
    command::run(venv.program("python").arg(folder.join("verify_vectors.py")))
}

fn deny() -> Result<(), String> {
    let checks = ["check", "bans", "licenses", "sources"];
    command::run(Command::new(cargo_deny()?).args(checks).current_dir(command::root()))
}

/// The `cargo-deny` of the path, or one built here.
fn cargo_deny() -> Result<PathBuf, String> {
    let ours = command::root().join("target/tools");
    let program = ours.join("bin/cargo-deny");
    if is_deny(&program) {
        return Ok(program);
    }
    let on_path = PathBuf::from("cargo-deny");
    if is_deny(&on_path) {
        return Ok(on_path);
    }
    println!("cargo-deny is missing: building {CARGO_DENY} into {} (about two minutes)", ours.display());
    // A debug build: a third of the time, for a check that takes a second either way.
    let mut install = command::cargo();
    install.args(["install", "cargo-deny", "--version", CARGO_DENY, "--locked", "--debug", "--quiet", "--root"]);
    command::run(install.arg(&ours))?;
    Ok(program)
}

fn is_deny(program: &Path) -> bool {
    program.to_str().is_some_and(|program| command::succeeds(program, &["--version"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_can_be_repeated_alone() {
        let mut names = names();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), STAGES.len());
    }
}
