//! The program's exit codes and what it says when there is no run to judge.

#![allow(clippy::unwrap_used, reason = "a test may stop loudly, in what it calls too")]

use std::path::Path;
use std::process::{Command, Output};

fn loadtest(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cashgate-loadtest")).args(words).output().unwrap()
}

#[track_caller]
fn refused(words: &[&str], part: &str) {
    let nowhere = ["--ca", "no/ca.pem", "--certs", "no/certs"];
    let done = loadtest(&[words, &nowhere].concat());
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{said}");
    assert!(said.contains(part), "{part}: {said}");
}

#[test]
fn scenarios_are_listed_with_the_hooks_that_they_need() {
    let listed = String::from_utf8(loadtest(&["scenarios"]).stdout).unwrap();
    for name in ["steady", "payday", "storm", "corebank-slow", "corebank-down", "fraud-wave", "soak"] {
        assert!(listed.lines().any(|line| line.starts_with(name) && !line.contains("--hook")), "{name}: {listed}");
    }
    assert!(listed.contains("Needs --hook for: hsm-away, hsm-back."), "{listed}");
    assert!(listed.contains("Needs --hook for: gateway-restart."), "{listed}");
}

/// Needs the Debian package fonts-dejavu-core, as the program does.
#[test]
fn a_run_that_cannot_be_made_says_what_is_missing_and_ends_with_2() {
    refused(&["run", "paynight"], "no scenario `paynight`");
    refused(&["run", "hsm-outage"], "hsm-away, hsm-back: name a command for each with --hook NAME=COMMAND");
    refused(&["run", "steady"], "no/ca.pem");
    refused(&["run", "steady", "--api", "127.0.0.1:7444"], "--api 127.0.0.1:7444: must be https://HOST:PORT");
    refused(
        &["register", "steady", "--phones", "x", "--atm", "http://a:1"],
        "--atm http://a:1: must be https://HOST:PORT",
    );
    refused(&["run", "steady", "--hook", "nonsense"], "is not NAME=COMMAND");
    refused(&["register", "steady"], "--phones");
    refused(&["run", "steady", "--font", "Cargo.toml"], "Cargo.toml is no TrueType font");
    assert!(!Path::new("target/loadtest").exists(), "no report of what was not run");
}
