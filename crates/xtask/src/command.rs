//! Plain commands that run to their end, and where the repository is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The same cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Runs a command with its output on the terminal.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| cannot_start(command, &error))?;
    if status.success() { Ok(()) } else { Err(format!("`{}` failed ({status})", words(command))) }
}

/// Runs a command and gives its standard output; its errors are in the problem.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let done = command.stdin(Stdio::null()).output().map_err(|error| cannot_start(command, &error))?;
    let stderr = String::from_utf8_lossy(&done.stderr);
    if !done.status.success() {
        return Err(format!("`{}` failed ({}): {}", words(command), done.status, stderr.trim()));
    }
    String::from_utf8(done.stdout).map_err(|_| format!("`{}` wrote no text", words(command)))
}

/// Whether a command exists and succeeds, in silence.
pub(crate) fn succeeds(program: &str, args: &[&str]) -> bool {
    let quiet =
        Command::new(program).args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

/// How programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// Quickly.
    Debug,
    /// For measurements.
    Release,
}

/// Builds the programs that everything here runs, and says where they are.
///
/// Always all of them: for another choice of packages cargo has other features of the crates they share, and builds those anew.
pub(crate) fn build_programs(how: Build) -> Result<Programs, String> {
    println!("building cashgate and what runs beside it (the first time takes minutes)");
    let packages = ["cashgate-gateway", "cashgate-fleet", "cashgate-loadtest", "cashgate-siege"];
    let packages = packages.into_iter().flat_map(|package| ["-p", package]);
    run(cargo().args(["build", "--quiet", "--bins"]).args(packages).args(how.flags()))?;
    let folder = target_folder()?.join(how.folder());
    let program = |name| folder.join(name);
    Ok(Programs {
        cashgate: program("cashgate"),
        fleet: program("cashgate-fleet"),
        loadtest: program("cashgate-loadtest"),
        siege: program("cashgate-siege"),
    })
}

impl Build {
    /// What cargo is told.
    pub(crate) const fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Debug => &[],
            Self::Release => &["--release"],
        }
    }

    /// Where cargo puts it, under [`target_folder`].
    pub(crate) const fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// Where cargo builds.
pub(crate) fn target_folder() -> Result<PathBuf, String> {
    let metadata = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata wrote no JSON: {error}"))?;
    Ok(metadata.get("target_directory").and_then(|folder| folder.as_str()).unwrap_or("target").into())
}

/// The programs under test, and those that try them.
#[derive(Clone)]
pub(crate) struct Programs {
    pub(crate) cashgate: PathBuf,
    pub(crate) fleet: PathBuf,
    pub(crate) loadtest: PathBuf,
    pub(crate) siege: PathBuf,
}

/// A command line as one would type it.
pub(crate) fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("`{}` cannot be started: {error}", words(command))
}
