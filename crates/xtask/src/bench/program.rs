//! Programs that a bench consists of, and the one JSON line that each prints.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::command;

/// Builds a bench and says where its program is.
pub(super) fn bench_program(package: &str, bench: &str) -> Result<PathBuf, String> {
    let build = ["build", "--release", "-p", package, "--bench", bench, "--message-format=json-render-diagnostics"];
    let messages = command::output(command::cargo().args(build))?;
    let executable = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
        let is_it = message.pointer("/target/name").and_then(Value::as_str) == Some(bench);
        let executable = message.get("executable").and_then(Value::as_str);
        executable.filter(|_| is_it).map(PathBuf::from)
    });
    executable.ok_or_else(|| format!("cargo does not say where the bench {bench} is"))
}

/// What a program prints.
pub(super) fn figures(program: &mut Command) -> Result<Value, String> {
    let line = command::output(program)?;
    serde_json::from_str(line.trim()).map_err(|error| format!("no JSON: {error}: {line}"))
}

/// What a bench prints, built and run by cargo.
pub(super) fn figures_of_bench(package: &str, bench: &str, arguments: &[&str]) -> Result<Value, String> {
    figures(command::cargo().args(["bench", "--quiet", "-p", package, "--bench", bench, "--"]).args(arguments))
}

/// One of them.
pub(super) fn figure(figures: &Value, which: &str) -> Result<f64, String> {
    figures.get(which).and_then(Value::as_f64).ok_or_else(|| format!("{which} is missing in {figures}"))
}

/// One for each round.
pub(super) fn series(figures: &Value, which: &str) -> Result<Vec<f64>, String> {
    let rounds = figures.get(which).and_then(Value::as_array);
    let rounds = rounds.ok_or_else(|| format!("{which} is missing in {figures}"))?;
    Ok(rounds.iter().filter_map(Value::as_f64).collect())
}

/// Ours and the baseline, for each round.
pub(super) fn in_turn(figures: &Value) -> Result<Vec<(f64, f64)>, String> {
    Ok(series(figures, "ours")?.into_iter().zip(series(figures, "baseline")?).collect())
}
