//! The gateway under attack: a process of its own, in a folder of its own.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustls::ClientConfig;
use tempfile::TempDir;

use crate::certificates::{Authority, Credentials};
use crate::clock;

/// Serial number of the certificate that the revocation list names.
const REVOKED: u64 = 666;
const FAR: i32 = 2_090;
const PAST: i32 = 2_021;
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A running gateway and who may call on it.
pub(crate) struct Site {
    pub(crate) ours: Authority,
    pub(crate) ports: Ports,
    /// What attackers show: an ATM of the fleet whose key was stolen.
    pub(crate) stolen: Arc<ClientConfig>,
    /// An ATM's that is on the revocation list, one that has ended, one of another authority, and one that names no ATM.
    pub(crate) revoked: Arc<ClientConfig>,
    pub(crate) expired: Arc<ClientConfig>,
    pub(crate) foreign: Arc<ClientConfig>,
    pub(crate) unnamed: Arc<ClientConfig>,
    /// An app back end's.
    pub(crate) app: Arc<ClientConfig>,
    gateway: Child,
    folder: TempDir,
}

/// Loopback ports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) atm: u16,
    pub(crate) api: u16,
    pub(crate) http: u16,
}

impl Site {
    /// Makes a folder and serves from it.
    pub(crate) fn started(cashgate: &Path, with_crl: bool) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let home = folder.path().join("gateway");
        let ports = Ports { atm: free_port()?, api: free_port()?, http: free_port()? };
        let bank = free_port()?;
        let made = Command::new(cashgate)
            .arg("init")
            .arg(&home)
            .args(["--atm-port", &ports.atm.to_string(), "--api-port", &ports.api.to_string()])
            .args(["--http-port", &ports.http.to_string(), "--institution", &format!("sakura={bank}")])
            .output()
            .map_err(|error| format!("{} cannot be started: {error}", cashgate.display()))?;
        if !made.status.success() {
            return Err(format!("cashgate init: {}", String::from_utf8_lossy(&made.stderr)));
        }
        let ours = Authority::of_folder(&home)?;
        let cannot = |error: std::io::Error| format!("{}: {error}", home.display());
        let config = home.join("cashgate.toml");
        if with_crl {
            fs::write(home.join("crl.pem"), ours.revocation_list(&[REVOKED])?).map_err(cannot)?;
            let text = fs::read_to_string(&config).map_err(cannot)?;
            fs::write(&config, text.replace("ca = \"ca.pem\"", "ca = \"ca.pem\"\ncrl = \"crl.pem\""))
                .map_err(cannot)?;
        }
        let log = File::create(home.join("log")).map_err(cannot)?;
        let gateway = Command::new(cashgate)
            .args(["serve", "--config", &config.display().to_string()])
            .env("CASHGATE_LOG", std::env::var("CASHGATE_LOG").unwrap_or_else(|_| "warn".to_owned()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", cashgate.display()))?;
        let shown = |path, serial, ends| ours.issue(path, serial, ends).and_then(|it| it.client_config(&ours));
        let foreign = Authority::foreign()?.issue(Some("atm/M1"), 5, FAR)?.client_config(&ours)?;
        let site = Self {
            stolen: shown(Some("atm/M1"), 1, FAR)?,
            revoked: shown(Some("atm/M2"), REVOKED, FAR)?,
            expired: shown(Some("atm/M3"), 3, PAST)?,
            unnamed: shown(None, 4, FAR)?,
            app: shown(Some("institution/sakura"), 6, FAR)?,
            foreign,
            ours,
            ports,
            gateway,
            folder,
        };
        site.becomes_ready()?;
        Ok(site)
    }

    /// An honest peer's certificate.
    pub(crate) fn credentials(&self, path: &str, serial: u64) -> Result<Credentials, String> {
        self.ours.issue(Some(path), serial, FAR)
    }

    /// The gateway's resident memory in KiB.
    pub(crate) fn memory_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The processor time that the gateway has used, in milliseconds.
    pub(crate) fn cpu_ms(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.gateway.id())).unwrap_or_default();
        // Fields 14 and 15, counted after the name in brackets; in hundredths of a second on Linux.
        let after = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        after.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10
    }

    fn status(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.gateway.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or_default()
    }

    fn becomes_ready(&self) -> Result<(), String> {
        let until = clock::now() + READY_WITHIN;
        // The ports answer once the gateway serves.
        while TcpStream::connect(("127.0.0.1", self.ports.http)).is_err() {
            if clock::now() > until {
                let log = fs::read_to_string(self.folder.path().join("gateway/log")).unwrap_or_default();
                return Err(format!("the gateway was not ready within {READY_WITHIN:?}: {log}"));
            }
            thread::sleep(Duration::from_millis(50));
        }
        thread::sleep(Duration::from_millis(500));
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
    }
}

/// A port that is free now, below those that the system gives to outgoing connections.
fn free_port() -> Result<u16, String> {
    let start = u16::try_from(std::process::id() % 9_000).unwrap_or_default();
    let mut ports = (0..9_000_u16).map(|offset| 11_000 + (start + offset) % 9_000);
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let skipped = NEXT.fetch_add(10, std::sync::atomic::Ordering::Relaxed);
    let free = ports.by_ref().skip(skipped).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.ok_or_else(|| "no free port".to_owned())
}
