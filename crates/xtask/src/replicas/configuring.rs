//! What a replica is started with: the site's configuration, with ports, certificate, number and lines of its own.

use std::fs;
use std::path::PathBuf;

use super::group::{DATABASE, ROLE};
use crate::relay::Relay;
use crate::site::{Site, free_port};

/// A replica that can be started.
pub(super) struct Prepared {
    pub(super) name: String,
    pub(super) config: PathBuf,
    pub(super) http: u16,
    pub(super) atm: u16,
    pub(super) api: u16,
    pub(super) peers: Relay,
    pub(super) core_banks: Vec<Relay>,
}

/// Writes a replica's configuration: the site's, with ports, certificate, ledger and number of its own.
pub(super) fn prepare(site: &Site, number: usize, database: &[Relay; 2]) -> Result<Prepared, String> {
    site.issue_certificate(&format!("replica/{number}"))?;
    let (atm, api, http, listen) = (free_port()?, free_port()?, free_port()?, free_port()?);
    let peers = Relay::listen(0)?;
    peers.send_to(vec![listen]);
    let dsn = site.dir().join(format!("dsn-{number}"));
    let [first, second] = database;
    let text = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user={ROLE} dbname={DATABASE} target_session_attrs=read-write",
        first.port(),
        second.port()
    );
    fs::write(&dsn, text).map_err(|error| format!("cannot write {}: {error}", dsn.display()))?;
    let before =
        fs::read_to_string(site.config()).map_err(|error| format!("cannot read the configuration: {error}"))?;
    let ports = site.ports();
    let mut after = before
        .replace(
            &format!("atm = \"127.0.0.1:{}\"", ports.atm),
            &format!("replica = \"127.0.0.1:{listen}\"\natm = \"127.0.0.1:{atm}\""),
        )
        .replace(&format!("api = \"127.0.0.1:{}\"", ports.api), &format!("api = \"127.0.0.1:{api}\""))
        .replace(&format!("http = \"127.0.0.1:{}\"", ports.http), &format!("http = \"127.0.0.1:{http}\""))
        .replace("path = \"ledger.db\"", &format!("postgres = {{ dsn_file = \"dsn-{number}\" }}"))
        + &format!(
            "\n[replica]\nid = {number}\naddress = \"127.0.0.1:{}\"\nserver_name = \"localhost\"\ncertificate = \"certs/replica-{number}.pem\"\nkey = \"certs/replica-{number}-key.pem\"\n",
            peers.port()
        );
    let mut core_banks = Vec::new();
    for port in ports.corebanks {
        let line = Relay::listen(0)?;
        line.send_to(vec![port]);
        after = after.replace(
            &format!("endpoint = \"https://127.0.0.1:{port}\""),
            &format!("endpoint = \"https://127.0.0.1:{}\"", line.port()),
        );
        core_banks.push(line);
    }
    let config = site.dir().join(format!("replica-{number}.toml"));
    fs::write(&config, after).map_err(|error| format!("cannot write {}: {error}", config.display()))?;
    Ok(Prepared { name: format!("replica-{number}"), config, http, atm, api, peers, core_banks })
}
