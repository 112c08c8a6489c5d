//! An HSM in another process, which can die: `p11-kit server` in front of SoftHSM2.

use std::fs;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where `p11-kit-client.so` finds the server's socket.
pub(crate) const ADDRESS: &str = "P11_KIT_SERVER_ADDRESS";

pub(crate) fn address(directory: &Path) -> String {
    format!("unix:path={}", socket_in(directory).display())
}

/// How long a server is waited for.
const PATIENCE_MS: usize = 5_000;

/// A running server, until it is killed or dropped.
pub(crate) struct Server {
    directory: PathBuf,
    provider: PathBuf,
    token_label: String,
    process: Child,
}

impl Server {
    /// Serves one HSM token. Returns when it answers.
    pub(crate) fn start(directory: &Path, provider: &Path, token_label: &str) -> Self {
        let process = start_process(directory, provider, token_label);
        let (directory, provider, token_label) = (directory.to_owned(), provider.to_owned(), token_label.to_owned());
        Self { directory, provider, token_label, process }
    }

    /// Ends it without a word to its clients, as a power cut does.
    pub(crate) fn kill(&mut self) {
        signal_group("KILL", self.process.id());
        self.process.wait().expect("a child of ours");
        // Its own children have the socket too and die a moment later: who connects meanwhile is taken in and then cut off.
        let socket = socket_in(&self.directory);
        let waits = (0..PATIENCE_MS).take_while(|_| UnixStream::connect(&socket).is_ok());
        let waited = waits.map(|_| std::thread::sleep(Duration::from_millis(1))).count();
        assert!(waited < PATIENCE_MS, "somebody listens {PATIENCE_MS} ms after p11-kit server was killed");
        fs::remove_file(pid_file_in(&self.directory)).expect("written at its start");
    }

    /// Starts it again after [`Server::kill`], on the same socket and HSM token.
    pub(crate) fn restart(&mut self) {
        self.process = start_process(&self.directory, &self.provider, &self.token_label);
    }

    /// Stops it from answering, as a network that drops packets does: calls hang until [`Server::thaw`].
    pub(crate) fn freeze(&self) {
        signal_group("STOP", self.process.id());
    }

    pub(crate) fn thaw(&self) {
        signal_group("CONT", self.process.id());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if pid_file_in(&self.directory).exists() {
            self.kill();
        }
    }
}

/// Ends the server of a case whose process died before it could.
pub(crate) fn kill_what_is_left(directory: &Path) {
    if let Ok(pid) = fs::read_to_string(pid_file_in(directory)) {
        signal_group("KILL", pid.parse().expect("written by start_process"));
    }
}

fn start_process(directory: &Path, provider: &Path, token_label: &str) -> Child {
    let socket = socket_in(directory);
    // A killed server leaves its socket, and a new one refuses to take its place.
    if socket.exists() {
        fs::remove_file(&socket).expect("a socket of ours");
    }
    let process = Command::new("p11-kit")
        .args(["server", "--foreground", "--name"])
        .arg(&socket)
        .arg("--provider")
        .arg(provider)
        .arg(format!("pkcs11:token={token_label}"))
        .stdout(Stdio::null())
        // It starts a process for each client, and they must end with it.
        .process_group(0)
        .spawn()
        .expect("p11-kit: install the Debian package p11-kit");
    fs::write(pid_file_in(directory), process.id().to_string()).expect("the case's directory");
    // Not only until the file is there: before the server listens, a client finds no slots.
    let waits = (0..PATIENCE_MS).take_while(|_| UnixStream::connect(&socket).is_err());
    let waited = waits.map(|_| std::thread::sleep(Duration::from_millis(1))).count();
    assert!(waited < PATIENCE_MS, "p11-kit server does not listen after {PATIENCE_MS} ms");
    process
}

fn signal_group(signal: &str, leader: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{signal} -{leader}")]).status().expect("a shell");
    assert!(sent.success(), "the server's processes get {signal}");
}

fn socket_in(directory: &Path) -> PathBuf {
    directory.join("p11-kit.socket")
}

fn pid_file_in(directory: &Path) -> PathBuf {
    directory.join("server.pid")
}
