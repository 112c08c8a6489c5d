//! Simulated core banks.

use std::path::PathBuf;

use super::{SOON, is};
use crate::process::Process;
use crate::site::{INSTITUTIONS, Site};

/// Starts an institution's core bank on its books and waits until it listens. Accounts that it does not have yet are opened.
pub(crate) fn start(
    site: &Site,
    institution: &str,
    accounts: impl IntoIterator<Item = String>,
    opening_balance: u64,
) -> Result<Process, String> {
    let mut banks = INSTITUTIONS.iter().zip(site.ports().corebanks);
    let port = banks.find_map(|(name, port)| (*name == institution).then_some(port));
    let port = port.ok_or_else(|| format!("there is no institution {institution}"))?;
    let mut command = site.fleet("corebank");
    command.args(["--institution", institution, "--listen", &format!("127.0.0.1:{port}")]);
    site.identify(&mut command, &format!("corebank-{institution}"));
    command.arg("--db").arg(database(site, institution));
    for account in accounts {
        command.args(["--account", &format!("{account}={opening_balance}")]);
    }
    let name = format!("corebank-{institution}");
    let mut core_bank = Process::start(&name, &mut command, &site.log(&name))?;
    core_bank.wait_for("listening", SOON, |event| is(event, "listening"))?;
    Ok(core_bank)
}

/// The file of a core bank's books.
pub(crate) fn database(site: &Site, institution: &str) -> PathBuf {
    site.folder().join(format!("corebank-{institution}.db"))
}
