//! The program: a seed is the same world in every process and on any number of threads.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop loudly")]

use std::process::{Command, Output};

fn simulated(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cashgate-simulation")).args(args).output().unwrap()
}

fn said(args: &[&str]) -> String {
    let output = simulated(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?} ended with {}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_seed_is_the_same_world_in_a_new_process_to_the_byte() {
    for seed in ["3", "7", "11", "1000000007", "18446744073709551615"] {
        let args = ["--seed", seed, "--worlds", "1"];
        let (first, second) = (said(&args), said(&args));
        assert!(first.contains(" s  gateway started"), "seed {seed} has no timeline:\n{first}");
        assert!(first == second, "seed {seed} differs:\n{first}\n---\n{second}");
    }
}

#[test]
fn one_thread_and_two_find_the_same() {
    let on = |threads| said(&["--seed", "7", "--worlds", "500", "--threads", threads]);
    let (one, two) = (on("1"), on("2"));
    assert!(one == two, "{one}\n---\n{two}");
    assert!(one.contains("\nworlds                            500\n"), "{one}");
    assert!(one.contains("no rule was broken in 500 worlds from seed 7 on"), "{one}");
}

#[test]
fn a_short_run_lists_what_it_never_saw_and_passes() {
    let said = said(&["--seed", "7", "--worlds", "2"]);
    assert!(said.contains("for information: a run fails for them from 20,000 worlds on"), "{said}");
}

#[test]
fn a_seed_that_is_no_number_is_refused_with_2() {
    let output = simulated(&["--seed", "tuesday"]);
    assert_eq!(output.status.code(), Some(2));
}
