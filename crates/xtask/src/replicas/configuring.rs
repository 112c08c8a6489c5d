//! What a replica is started with: the site's configuration, with ports, certificate, number and lines of its own.

use std::fs;
use std::path::{Path, PathBuf};

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

/// A replica's configuration, and where it will listen.
pub(crate) struct Configured {
    pub(crate) config: PathBuf,
    pub(crate) http: u16,
    pub(crate) atm: u16,
    pub(crate) api: u16,
    listen: u16,
}

/// As [`configured`], with lines to its peers and to core banking that can be cut.
pub(super) fn prepare(site: &Site, number: usize, database: &[Relay; 2]) -> Result<Prepared, String> {
    let [first, second] = database;
    let dsn = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user={ROLE} dbname={DATABASE} target_session_attrs=read-write",
        first.port(),
        second.port()
    );
    let peers = Relay::listen(0)?;
    let Configured { config, http, atm, api, listen } = configured(site, number, &dsn, Some(peers.port()))?;
    peers.send_to(vec![listen]);
    let mut text = read(&config)?;
    let mut core_banks = Vec::new();
    for port in site.ports().corebanks {
        let line = Relay::listen(0)?;
        line.send_to(vec![port]);
        text = text.replace(
            &format!("endpoint = \"https://127.0.0.1:{port}\""),
            &format!("endpoint = \"https://127.0.0.1:{}\"", line.port()),
        );
        core_banks.push(line);
    }
    write(&config, &text)?;
    Ok(Prepared { name: format!("replica-{number}"), config, http, atm, api, peers, core_banks })
}

/// Writes a replica's configuration: the site's, with ports, certificate, ledger and number of its own. `reached_at`: the port at which its peers
/// reach it, if that is not its own.
pub(crate) fn configured(site: &Site, number: usize, dsn: &str, reached_at: Option<u16>) -> Result<Configured, String> {
    site.issue_certificate(&format!("replica/{number}"))?;
    let (atm, api, http, listen) = (free_port()?, free_port()?, free_port()?, free_port()?);
    write(&site.dir().join(format!("dsn-{number}")), dsn)?;
    let ports = site.ports();
    let text = read(&site.config())?
        .replace(
            &format!("atm = \"127.0.0.1:{}\"", ports.atm),
            &format!("replica = \"127.0.0.1:{listen}\"\natm = \"127.0.0.1:{atm}\""),
        )
        .replace(&format!("api = \"127.0.0.1:{}\"", ports.api), &format!("api = \"127.0.0.1:{api}\""))
        .replace(&format!("http = \"127.0.0.1:{}\"", ports.http), &format!("http = \"127.0.0.1:{http}\""))
        .replace("path = \"ledger.db\"", &format!("postgres = {{ dsn_file = \"dsn-{number}\" }}"))
        + &format!(
            "\n[replica]\nid = {number}\naddress = \"127.0.0.1:{}\"\nserver_name = \"localhost\"\ncertificate = \"certs/replica-{number}.pem\"\nkey = \"certs/replica-{number}-key.pem\"\n",
            reached_at.unwrap_or(listen)
        );
    let config = site.dir().join(format!("replica-{number}.toml"));
    write(&config, &text)?;
    Ok(Configured { config, http, atm, api, listen })
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))
}
