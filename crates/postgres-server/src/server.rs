//! One server: its folder, its process, its standby.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

use crate::{Database, Session};

/// Starts the server in a folder, says its process's number, and ends it when nobody holds the other end of its input any more. The folder
/// goes too, unless it was told to stay.
const KEEPER: &str = r#"folder=$1; shift; "$@" & pid=$!; echo $pid; read -r word; kill -QUIT $pid 2>/dev/null; wait $pid
[ "$word" = stay ] || rm -rf "$folder""#;

/// Where the server's programs are: those of the latest version that is installed; `None` if none is.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(Result::ok).map(|version| version.path().join("bin"));
    folders.filter(|folder| folder.join("initdb").exists()).max()
}

/// A server that runs, or that was killed and can be started again. Reached as user `postgres`, without a password.
pub struct Server {
    folder: TempDir,
    port: u16,
    keeper: Mutex<Option<Keeper>>,
    databases: AtomicU64,
}

struct Keeper {
    process: Child,
    input: Option<ChildStdin>,
    server: u32,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Only a test's own process that just ends leaves it to the keeper to clear away.
        if let Some(mut input) = self.input.take() {
            let _ = input.write_all(b"stay\n");
        }
        let _ = self.process.wait();
    }
}

impl Server {
    /// A new, empty server with lines added to its configuration.
    ///
    /// # Panics
    ///
    /// If there is no PostgreSQL, or it does not start; the message says why.
    #[must_use]
    pub fn start_with(settings: &str) -> Self {
        Self::start_with_files(settings, &[])
    }

    /// The same with files of its own in the folder of its data, which only it can read: certificates, or another `pg_hba.conf`. User `postgres`
    /// must still be let in from 127.0.0.1 without a password.
    ///
    /// # Panics
    ///
    /// As [`Server::start_with`].
    #[must_use]
    pub fn start_with_files(settings: &str, files: &[(&str, &[u8])]) -> Self {
        let server = Self::in_new_folder();
        let data = server.data();
        run(program("initdb")
            .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-N", "-D"])
            .arg(&data));
        let always = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nshared_buffers = '64MB'\nmax_connections = 100\n\
             wal_level = replica\nmax_wal_senders = 5\nhot_standby = on\nlog_min_messages = warning\n{settings}\n",
            server.port,
            server.folder.path().display(),
        );
        let file = data.join("postgresql.auto.conf");
        fs::write(&file, always).expect("the server's configuration");
        for (name, contents) in files {
            let file = data.join(name);
            fs::write(&file, contents).expect("a file of the server");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a file that only the server reads");
            own(&file);
        }
        server.start();
        server
    }

    /// A new, empty server.
    #[must_use]
    pub fn start_new() -> Self {
        Self::start_with("")
    }

    /// A standby that follows `primary`, under the name `application_name` for `synchronous_standby_names`, with what docs/postgresql.md advises.
    #[must_use]
    pub fn standby_of(primary: &Self, application_name: &str) -> Self {
        let standby = Self::in_new_folder();
        let data = standby.data();
        let from = format!("host=127.0.0.1 port={} user=postgres application_name={application_name}", primary.port);
        run(program("pg_basebackup").args(["-c", "fast", "-X", "stream", "-R", "-d", &from, "-D"]).arg(&data));
        let file = data.join("postgresql.auto.conf");
        let mut settings = fs::read_to_string(&file).expect("the configuration of the standby");
        settings.push_str(&format!(
            "\nport = {}\nunix_socket_directories = '{}'\nsynchronous_standby_names = ''\nwal_retrieve_retry_interval = '500ms'\n",
            standby.port,
            standby.folder.path().display()
        ));
        fs::write(&file, settings).expect("the configuration of the standby");
        standby.start();
        standby
    }

    fn in_new_folder() -> Self {
        assert!(programs().is_some(), "no PostgreSQL is installed: apt-get install postgresql-15");
        // Short, because a socket's path may not be long.
        let folder = tempfile::Builder::new().prefix("cg-pg-").tempdir_in("/tmp").expect("a folder");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|taken| taken.local_addr()).expect("a port").port();
        own(folder.path());
        Self { folder, port, keeper: Mutex::new(None), databases: AtomicU64::new(0) }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of its socket.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, and waits until it answers.
    pub fn start(&self) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).expect("a log");
        let server = program("postgres");
        let mut command = Command::new("sh");
        command
            .args(["-c", KEEPER, "keeper"])
            .arg(self.folder.path())
            .arg(server.get_program())
            .args(server.get_args());
        command.arg("-D").arg(self.data()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut process = command.spawn().expect("a keeper");
        let input = process.stdin.take();
        let mut line = String::new();
        let said = process.stdout.take().expect("the keeper's output");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(said), &mut line).expect("the server's process");
        let server = line.trim().parse().expect("the server's process");
        *self.keeper.lock().expect("the keeper") = Some(Keeper { process, input, server });
        for _ in 0..600 {
            if self.answers() {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        panic!("PostgreSQL does not start: {log}");
    }

    fn answers(&self) -> bool {
        let mut ask = program("pg_isready");
        ask.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        ask.status().is_ok_and(|status| status.success())
    }

    /// Kills it (SIGKILL to the server and to all that serve its connections), as a machine that loses power would end it.
    pub fn kill(&self) {
        let keeper = self.keeper.lock().expect("the keeper").take();
        let Some(keeper) = keeper else { return };
        // The server first, or it would start its children anew.
        let mut processes = vec![keeper.server.to_string()];
        processes.extend(children_of(keeper.server).iter().map(ToString::to_string));
        let _ = Command::new("kill").arg("-KILL").args(processes).stderr(Stdio::null()).status();
        drop(keeper);
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
    }

    /// Stops it in good order, and lets nobody finish.
    pub fn stop(&self) {
        run(program("pg_ctl").args(["stop", "-m", "fast", "-w", "-D"]).arg(self.data()));
        self.keeper.lock().expect("the keeper").take();
    }

    /// Makes a standby the primary; waits until it takes writes.
    pub fn promote(&self) {
        run(program("pg_ctl").args(["promote", "-w", "-D"]).arg(self.data()));
    }

    /// Runs SQL as the owner of everything and returns what `psql` says, one row a line.
    ///
    /// # Panics
    ///
    /// If the server refuses it.
    #[must_use]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        run(&mut self.psql(database, sql))
    }

    /// The same for SQL that may be refused.
    ///
    /// # Errors
    ///
    /// What the server said.
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let output = self.psql(database, sql).output().map_err(|error| error.to_string())?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
    }

    /// Begins a transaction in one of its databases and leaves it open.
    ///
    /// # Panics
    ///
    /// If the server refuses it.
    #[must_use]
    pub fn session(&self, database: &str, sql: &str) -> Session {
        Session::begin(&mut self.psql_in(database), sql)
    }

    fn psql(&self, database: &str, sql: &str) -> Command {
        let mut psql = self.psql_in(database);
        psql.args(["-c", sql]);
        psql
    }

    fn psql_in(&self, database: &str) -> Command {
        let mut psql = program("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
        psql.args(["-p", &self.port.to_string(), "-d", database]);
        psql
    }

    /// A connection string for one of its databases.
    #[must_use]
    pub fn dsn(&self, database: &str) -> String {
        format!("host=127.0.0.1 port={} user=postgres dbname={database}", self.port)
    }

    /// A new database, copied from another one (`template1` for an empty one), which nobody may be connected to.
    #[must_use]
    pub fn database(&self, template: &str) -> Database<'_> {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let _ = self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        Database::new(self, name)
    }
}

/// One of the server's programs, as the user that it runs as: it refuses root.
fn program(name: &str) -> Command {
    let path = programs().unwrap_or_default().join(name);
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path).current_dir("/");
    command
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// Gives a folder to the server's user.
fn own(folder: &Path) {
    if is_root() {
        run(Command::new("chown").arg("postgres:postgres").arg(folder));
    }
}

fn children_of(process: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_to_string(format!("/proc/{process}/task/{process}/children")) else { return Vec::new() };
    tasks.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}
