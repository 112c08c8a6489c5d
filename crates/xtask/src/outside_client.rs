//! Runs `clients/python`, which knows nothing but the protos, against a fresh gateway.

use crate::command::Build;
use crate::python::Venv;
use crate::site::Site;
use crate::{command, interrupt, packages};

/// Whose certificates the client plays: one ATM, and the two sides of one bank.
const IDENTITIES: [&str; 3] = ["atm/A1", "institution/sakura", "corebank/sakura"];

pub(crate) fn run() -> Result<(), String> {
    interrupt::watch()?;
    packages::ensure(&[packages::C_COMPILER, packages::SOFTHSM])?;
    let folder = command::root().join("clients/python");
    let venv = Venv::from_file("outside-client", &folder.join("requirements.txt"))?;
    let site = Site::new(command::build_programs(Build::Debug)?, "cashgate-outside-client")?;
    for identity in IDENTITIES {
        site.issue_certificate(identity)?;
    }
    let mut gateway = site.start_gateway()?;
    let ports = site.ports();
    let [corebank, _] = ports.corebanks;
    let mut client = venv.program("python");
    client.arg(folder.join("outside_client.py")).arg("--dir").arg(site.dir());
    for (option, port) in [("--atm-port", ports.atm), ("--api-port", ports.api), ("--corebank-port", corebank)] {
        client.args([option, &port.to_string()]);
    }
    let done = command::run(&mut client);
    gateway.kill();
    match done {
        Ok(()) => site.remove(),
        Err(problem) => Err(format!(
            "{problem}\n\nthe gateway's last lines:\n{}\n\neverything is kept in {}",
            site.last_words_of_gateway(),
            site.folder().display()
        )),
    }
}
