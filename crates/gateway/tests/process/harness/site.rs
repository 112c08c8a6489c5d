//! The folder and the process.

use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use cashgate_ledger::{FeedEntry, Ledger, LedgerReader, Sequence, StoredStep};
use cashgate_postgres_server::Session;
use tempfile::TempDir;

use super::{CoreBank, LedgerKind, Store, eventually};
use crate::LEDGER;

/// The program under test.
const CASHGATE: &str = env!("CARGO_BIN_EXE_cashgate");

/// A port that peers connect to.
#[derive(Clone, Copy)]
pub(crate) enum Port {
    Atm,
    Api,
}

/// A gateway in a folder of its own, and the core banks of its two institutions, sakura and fuji.
///
/// Each account may draw 200,000 yen a day, so that the smallest leaked reservation shows in the headroom; count and pace do not limit.
pub(crate) struct Site {
    pub(crate) core_bank: Arc<CoreBank>,
    store: Arc<Store>,
    folder: Arc<TempDir>,
    /// The configuration's name in the folder, without its ending.
    name: String,
    ports: [u16; 3],
    environment: Vec<(String, String)>,
    gateway: Option<Child>,
}

impl Site {
    /// A gateway that is ready.
    pub(crate) async fn ready() -> Self {
        Self::ready_with(&[]).await
    }

    /// The same with some of its configuration changed: keys in dotted form, as environment variables.
    pub(crate) async fn ready_with(settings: &[(&str, &str)]) -> Self {
        let mut site = Self::folder_only().await;
        settings.iter().for_each(|(key, value)| site.set(key, value));
        site.serve().await;
        site
    }

    /// A folder that nobody serves yet.
    pub(crate) async fn folder_only() -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let site = Self {
            core_bank: Arc::new(CoreBank::reserve_ports()),
            store: Arc::new(Store::new(LEDGER)),
            folder,
            name: "cashgate".to_owned(),
            ports: [free_port(), free_port(), free_port()],
            environment: Vec::new(),
            gateway: None,
        };
        let [atm, api, http] = site.ports.map(|port| port.to_string());
        let banks = site.core_bank.ports();
        let institutions = [format!("sakura={}", banks[0]), format!("fuji={}", banks[1])];
        let made = site.run(&[
            "init",
            &site.path("").display().to_string(),
            "--atm-port",
            &atm,
            "--api-port",
            &api,
            "--http-port",
            &http,
            "--institution",
            &institutions[0],
            "--institution",
            &institutions[1],
        ]);
        assert!(made.status.success(), "init: {}", String::from_utf8_lossy(&made.stderr));
        site.store.lead_from(&site.path(""));
        let [init_names, here] =
            [LedgerKind::File, LEDGER].map(|ledger| format!("{} = \"{}\"", ledger.key(), ledger.file()));
        site.edit_configuration(|text| {
            assert!(text.contains(&init_names), "init names the ledger: {text}");
            text.replace(&init_names, &here)
                .replace("per_day = 500000", "per_day = 200000")
                .replace(
                    "withdrawals_per_day = 10",
                    "withdrawals_per_day = 255\nwithdrawals_per_24h = 255\nper_24h = 200000",
                )
                .replace("burst = 5 ", "burst = 1000 ")
        });
        let certificates = ["corebank/sakura", "corebank/fuji"].map(|peer| site.certificate(peer));
        site.core_bank.open(&site.path("ca.pem"), &certificates);
        site
    }

    /// Another gateway in the same folder and on the same ledger, with ports and a configuration of its own, which begins as this one's.
    pub(crate) fn beside(&self, name: &str) -> Self {
        let ports = [free_port(), free_port(), free_port()];
        let mut text = fs::read_to_string(self.configuration()).unwrap();
        for (before, after) in self.ports.iter().zip(ports) {
            text = text.replace(&format!("127.0.0.1:{before}"), &format!("127.0.0.1:{after}"));
        }
        fs::write(self.path(&format!("{name}.toml")), text).unwrap();
        Self {
            core_bank: Arc::clone(&self.core_bank),
            store: Arc::clone(&self.store),
            folder: Arc::clone(&self.folder),
            name: name.to_owned(),
            ports,
            environment: self.environment.clone(),
            gateway: None,
        }
    }

    /// Makes it one of several replicas that share its ledger.
    pub(crate) fn be_replica(&mut self, number: u16) {
        let stem = self.certificate(&format!("replica/{number}")).display().to_string();
        let address = format!("127.0.0.1:{}", free_port());
        for (key, value) in [
            ("listen.replica", address.as_str()),
            ("replica.id", &number.to_string()),
            ("replica.address", &address),
            ("replica.server_name", "localhost"),
            ("replica.certificate", &format!("{stem}.pem")),
            ("replica.key", &format!("{stem}-key.pem")),
        ] {
            self.set(key, value);
        }
    }

    /// The ledger, to write as some program beside the gateway does; a file's gateway may not run.
    pub(crate) fn ledger_as_another_program(&self) -> Ledger {
        // It waits for its database, which is nothing for a thread with a runtime.
        std::thread::scope(|scope| scope.spawn(|| self.store.opened(&self.path(""))).join()).unwrap()
    }

    /// Changes the configuration for every later start.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let variable = format!("CASHGATE_{}", key.replace('.', "__").to_uppercase());
        self.set_variable(&variable, value);
    }

    /// Sets an environment variable for every later start.
    pub(crate) fn set_variable(&mut self, variable: &str, value: &str) {
        self.environment.retain(|(known, _)| known != variable);
        self.environment.push((variable.to_owned(), value.to_owned()));
    }

    pub(crate) fn edit_configuration(&self, edit: impl FnOnce(String) -> String) {
        let file = self.path(&format!("{}.toml", self.name));
        fs::write(&file, edit(fs::read_to_string(&file).unwrap())).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("gateway").join(name)
    }

    pub(crate) fn port(&self, port: Port) -> u16 {
        match port {
            Port::Atm => self.ports[0],
            Port::Api => self.ports[1],
        }
    }

    pub(crate) const fn http_port(&self) -> u16 {
        self.ports[2]
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What `cashgate withdrawals show` says of a withdrawal.
    pub(crate) fn shown(&self, withdrawal: &str) -> serde_json::Value {
        let shown = self.run(&["withdrawals", "show", withdrawal, "--json", "--config", &self.configuration()]);
        serde_json::from_slice(&shown.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&shown.stderr)))
    }

    /// Tries to serve, which must end by itself.
    pub(crate) async fn serve_in_vain(&self) -> Output {
        let configuration = self.configuration();
        let mut command = self.command(&["serve", "--config", &configuration]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("the gateway gives up its start", async || child.try_wait().unwrap()).await;
        child.wait_with_output().unwrap()
    }

    /// Starts the gateway as the last words of another program's command line.
    pub(crate) fn start_through(&mut self, program: &[&str]) {
        let configuration = self.configuration();
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).args([CASHGATE, "serve", "--config", &configuration]);
        self.surround(&mut command);
        self.spawn(command);
    }

    /// Waits until the gateway is ready, or has ended before it was.
    pub(crate) async fn is_ready_unless_it_ends(&mut self) -> bool {
        eventually("the gateway is ready or gives up", async || {
            if !self.is_running() {
                return Some(false);
            }
            matches!(self.try_page("/readyz").await, Some((200, _))).then_some(true)
        })
        .await
    }

    /// Starts the gateway, and waits for nothing.
    pub(crate) fn start(&mut self) {
        let configuration = self.configuration();
        self.spawn(self.command(&["serve", "--config", &configuration]));
    }

    /// What it says of its readiness, with the HTTP status, if it answers.
    pub(crate) async fn readiness(&self) -> Option<(u16, String)> {
        self.try_page("/readyz").await
    }

    /// Starts the gateway and waits until it says that it is ready.
    pub(crate) async fn serve(&mut self) {
        let configuration = self.configuration();
        self.spawn(self.command(&["serve", "--config", &configuration]));
        eventually("the gateway is ready", async || {
            let ended = self.gateway.as_mut().and_then(|gateway| gateway.try_wait().unwrap());
            assert!(ended.is_none(), "the gateway ended with {ended:?}");
            matches!(self.try_page("/readyz").await, Some((200, _))).then_some(())
        })
        .await;
    }

    fn spawn(&mut self, mut command: Command) {
        assert!(self.gateway.is_none(), "it runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.path(&self.log_name())).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.gateway = Some(command.spawn().unwrap());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(CASHGATE);
        self.surround(&mut command);
        command.args(arguments);
        command
    }

    /// Gives a command the environment of this site and no other.
    fn surround(&self, command: &mut Command) {
        command.env_remove("CASHGATE_LOG").env_remove("SOFTHSM2_CONF").stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
    }

    pub(crate) fn configuration(&self) -> String {
        self.path(&format!("{}.toml", self.name)).display().to_string()
    }

    /// SIGKILL: the process gets no chance to do anything more.
    pub(crate) fn kill(&mut self) {
        let mut gateway = self.gateway.take().expect("a gateway that runs");
        gateway.kill().unwrap();
        gateway.wait().unwrap();
    }

    /// SIGTERM: the process is asked to stop.
    pub(crate) fn ask_to_stop(&self) {
        self.signal("-TERM");
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut gateway = self.gateway.take().expect("a gateway that runs");
        eventually("the gateway ends", async || gateway.try_wait().unwrap()).await
    }

    /// Whether it has ended by itself already.
    pub(crate) fn is_running(&mut self) -> bool {
        self.gateway.as_mut().is_some_and(|gateway| gateway.try_wait().unwrap().is_none())
    }

    /// Everything that the gateway wrote to its standard streams.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path(&self.log_name())).unwrap_or_default()).into_owned()
    }

    fn log_name(&self) -> String {
        if self.name == "cashgate" { "log".to_owned() } else { format!("{}.log", self.name) }
    }

    /// SIGSTOP. Waits until every thread stands still: the signal only asks for that, and one that is just answering still answers.
    pub(crate) async fn stands_still(&self) {
        self.signal("-STOP");
        let tasks = format!("/proc/{}/task", self.gateway.as_ref().expect("a gateway that runs").id());
        let stopped = |task: fs::DirEntry| {
            // Its name is in brackets, and its state stands behind it.
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
        };
        let all = async || fs::read_dir(&tasks).unwrap().map(Result::unwrap).all(stopped).then_some(());
        eventually("every thread stands still", all).await;
    }

    /// SIGCONT.
    pub(crate) fn goes_on(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.gateway.as_ref().expect("a gateway that runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    /// The ledger, read from outside.
    pub(crate) fn ledger(&self) -> LedgerReader {
        self.store.reader(&self.path(""))
    }

    /// Whether a gateway has opened its ledger here.
    pub(crate) fn has_begun(&self) -> bool {
        self.store.is_begun(&self.path(""))
    }

    /// Has somebody else hold a table of the database until what is given is dropped: whoever reads it waits so long.
    pub(crate) fn holds(&self, table: &str) -> Session {
        self.store.hold(table)
    }

    /// Has the database give a machine's lane to a replica, which nobody sees before what is given commits. Whatever is written meanwhile waits for it.
    pub(crate) fn gives_lane(&self, atm: &str, to: u16) -> Session {
        self.store.give_lane(atm, to)
    }

    /// How many of the gateways' writes wait for somebody else's.
    pub(crate) fn waiting_writes(&self) -> u64 {
        self.store.waiting_writes()
    }

    /// Changes a phone's row behind the gateway's back.
    pub(crate) fn damage_phone(&self, device: &str) {
        self.store.damage_phone(&self.path(""), device);
    }

    /// All that the ledger holds.
    pub(crate) fn everything_in_ledger(&self) -> Vec<u8> {
        self.store.everything(&self.path(""))
    }

    /// Every step in the ledger.
    pub(crate) fn steps(&self) -> Vec<StoredStep> {
        let entries = self.ledger().feed_after(Sequence(0), None, 1_000).unwrap().entries;
        let step = |entry| if let FeedEntry::Step(step) = entry { Some(step) } else { None };
        entries.into_iter().filter_map(step).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut gateway) = self.gateway.take() {
            let _ = gateway.kill();
            let _ = gateway.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the gateway's log\n{}---", self.log());
        }
    }
}

/// A loopback port below those that the system gives to outgoing connections, so that none of them takes it in the meantime.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000;
    let own_start = u16::try_from(std::process::id() * 37 % u32::from(COUNT)).unwrap();
    loop {
        let offset = (own_start + NEXT.fetch_add(1, Ordering::Relaxed) % COUNT) % COUNT;
        if TcpListener::bind(("127.0.0.1", FIRST + offset)).is_ok() {
            return FIRST + offset;
        }
    }
}
