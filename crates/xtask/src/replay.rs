//! Builds the replay of 2020 and runs it.

use std::ffi::OsString;
use std::process::Command;

use crate::command::{self, Build};
use crate::packages;

/// What is run when nothing is asked for: first what all controls do, at the size that the targets are about; then each control by itself, at a tenth of it,
/// because two dozen sets of controls at full size take a third of an hour.
const USUAL: [(&str, &[&str]); 2] =
    [("replay-2020", &["--compare", "main"]), ("replay-2020-controls", &["--customers", "20000", "--compare", "each"])];

/// An error if a target does not hold. The reports are on the terminal, as JSON, and as pictures, under `target/replay/`.
pub(crate) fn run(options: &[OsString]) -> Result<(), String> {
    packages::ensure(&[packages::C_COMPILER, packages::DEJAVU])?;
    println!("building cashgate-replay (the first time takes minutes)");
    let how = Build::Release;
    command::run(command::cargo().args(["build", "--quiet", "-p", "cashgate-replay", "--bins"]).args(how.flags()))?;
    let target = command::target_folder()?;
    let folder = target.join("replay");
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let program = target.join(how.folder()).join("cashgate-replay");
    let replay = |name: &str, options: &[OsString]| {
        let mut replay = Command::new(&program);
        replay.arg("--json").arg(folder.join(format!("{name}.json"))).arg("--plot").arg(folder.join(name));
        let done = command::run(replay.args(options));
        println!("written: {0}/{name}.json, {0}/{name}.png, {0}/{name}.svg", folder.display());
        done
    };
    if !options.is_empty() {
        return replay("replay-2020", options);
    }
    let done = USUAL.map(|(name, options)| replay(name, &options.iter().map(OsString::from).collect::<Vec<_>>()));
    done.into_iter().collect()
}
