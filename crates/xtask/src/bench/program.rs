//! Programs that a bench consists of.

use std::path::PathBuf;

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
