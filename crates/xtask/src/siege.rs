//! `cargo xtask siege`: attacks a gateway, and tells how it bore that.

use std::path::{Path, PathBuf};

use crate::command::{self, Build};
use crate::packages;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    /// Less than a minute: a stage of the tests.
    pub(crate) quick: bool,
    /// With a release build of gateway and attackers.
    pub(crate) release: bool,
    /// Only attacks whose name begins so.
    pub(crate) only: Option<String>,
    /// Another gateway than this repository's, from before the hardening; nothing is judged then.
    pub(crate) before: Option<PathBuf>,
}

/// Builds gateway and attackers, and lets them meet. The table is written to `target/siege/` as JSON too.
pub(crate) fn run(order: &Order) -> Result<(), String> {
    packages::ensure(&[packages::C_COMPILER, packages::SOFTHSM])?;
    let how = if order.release { Build::Release } else { Build::Debug };
    let programs = command::build_programs(how)?;
    let folder = command::target_folder()?.join("siege");
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let mut siege = std::process::Command::new(programs.siege);
    let gateway = order.before.clone().unwrap_or(programs.cashgate);
    siege.arg("--cashgate").arg(gateway);
    if order.quick {
        siege.arg("--quick");
    }
    if order.before.is_some() {
        siege.arg("--before");
    }
    if let Some(only) = &order.only {
        siege.args(["--only", only]);
    }
    siege.arg("--json").arg(table(&folder, order));
    command::run(&mut siege)
}

fn table(folder: &Path, order: &Order) -> PathBuf {
    folder.join(if order.before.is_some() { "before.json" } else { "attacks.json" })
}
