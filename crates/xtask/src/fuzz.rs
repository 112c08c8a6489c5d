//! `cargo xtask fuzz`: nearly right bytes for everything that reads bytes from outside.

use crate::command;
use crate::packages;

/// Says how many seconds each target runs; `crates/fuzz` reads it.
const SECONDS: &str = "CASHGATE_FUZZ_SECONDS";

/// Runs every target for so many seconds. Targets of one crate run beside each other, one a core.
pub(crate) fn run(seconds: u64) -> Result<(), String> {
    packages::ensure(&[packages::C_COMPILER])?;
    // The whole workspace, so that nothing is built with other features than in the stage of the unit tests.
    let targets = ["test", "--workspace", "--test", "fuzz", "--", "--nocapture"];
    command::run(command::cargo().args(targets).env(SECONDS, seconds.to_string()))?;
    // The ledger's reader of log frames is private, so its target is inside the crate.
    let inside = ["test", "--workspace", "--lib", "--", "--nocapture", "fuzz_log_frames"];
    command::run(command::cargo().args(inside).env(SECONDS, seconds.to_string()))
}
