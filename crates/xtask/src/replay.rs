//! Builds the replay of 2020 and runs it.

use std::ffi::OsString;
use std::process::Command;

use crate::command::{self, Build};
use crate::packages;

/// An error if a target does not hold. The report is on the terminal, as JSON, and as a picture, under `target/replay/`.
pub(crate) fn run(options: &[OsString]) -> Result<(), String> {
    packages::ensure(&[packages::C_COMPILER, packages::DEJAVU])?;
    println!("building cashgate-replay (the first time takes minutes)");
    let how = Build::Release;
    command::run(command::cargo().args(["build", "--quiet", "-p", "cashgate-replay", "--bins"]).args(how.flags()))?;
    let target = command::target_folder()?;
    let folder = target.join("replay");
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let mut replay = Command::new(target.join(how.folder()).join("cashgate-replay"));
    replay.arg("--json").arg(folder.join("replay-2020.json")).arg("--plot").arg(folder.join("replay-2020"));
    let done = command::run(replay.args(options));
    println!("written: {0}/replay-2020.json, {0}/replay-2020.png, {0}/replay-2020.svg", folder.display());
    done
}
