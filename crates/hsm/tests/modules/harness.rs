//! The modules under test, and a process of its own for each case.
//!
//! PKCS#11 is one initialised module a process, and modules read their environment at that moment; tests share a process, and may
//! not change its environment. So a case is two tests: `holds` starts this executable again with an own directory and environment,
//! and `inner`, which is ignored otherwise, does the work there. A crash at exit fails the case too.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use crate::api;
use crate::faulty::Faulty;
use crate::server::{self, Server};

pub(crate) const KEY_LABEL: &str = "qr-1";
pub(crate) const PIN: &str = "43219876";
pub(crate) const SO_PIN: &str = "98764321";
const SOFTHSM_TOKEN_LABEL: &str = "cashgate";

const DIRECTORY: &str = "CASHGATE_HSM_TEST_DIRECTORY";
const PATIENCE_S: u64 = 120;

/// Which module a case runs on.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// SoftHSM2, loaded directly.
    SoftHsm,
    /// NSS softokn. It takes its database's place in an argument of `C_Initialize` that is its own, so it runs behind the faulty
    /// module, which has no orders then and hands that argument over.
    Softokn,
    /// SoftHSM2 in another process, behind a socket: `p11-kit server` and its client module.
    RemoteSoftHsm,
}

/// A prepared HSM token, with one signing key [`KEY_LABEL`] on it.
pub(crate) struct ModuleUnderTest {
    /// What a gateway would load.
    pub(crate) module: PathBuf,
    pub(crate) token_label: &'static str,
    /// Stands in front of the same HSM token: for orders and for counts.
    pub(crate) faulty: Faulty,
    /// The other process of [`Kind::RemoteSoftHsm`].
    pub(crate) server: Option<Server>,
}

impl Kind {
    /// In the case's own process: makes the HSM token and its key.
    pub(crate) fn prepare(self) -> ModuleUnderTest {
        let directory = directory();
        let faulty = Faulty::in_directory(&directory);
        let module = if matches!(self, Self::Softokn) { faulty.module().to_owned() } else { self.real_module() };
        let token_label = if matches!(self, Self::Softokn) { "NSS Certificate DB" } else { SOFTHSM_TOKEN_LABEL };
        match self {
            Self::SoftHsm | Self::RemoteSoftHsm => {
                api::make_hsm_token(&softhsm_module(), token_label, SO_PIN, PIN, KEY_LABEL);
            }
            Self::Softokn => {
                make_nss_database(&directory);
                api::make_key(&module, token_label, PIN, KEY_LABEL);
            }
        }
        let is_remote = matches!(self, Self::RemoteSoftHsm);
        let server = is_remote.then(|| Server::start(&directory, &softhsm_module(), token_label));
        ModuleUnderTest { module, token_label, faulty, server }
    }

    fn real_module(self) -> PathBuf {
        match self {
            Self::SoftHsm => softhsm_module(),
            Self::Softokn => first_existing("libnss3", &["libsoftokn3.so", "nss/libsoftokn3.so"]),
            Self::RemoteSoftHsm => first_existing("p11-kit-modules", &["pkcs11/p11-kit-client.so"]),
        }
    }

    /// What the case's own process finds in its environment.
    fn environment(self, directory: &Path) -> Vec<(&'static str, String)> {
        let written = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let mut environment = Faulty::environment(directory, &self.real_module());
        environment.push((DIRECTORY, written(directory)));
        environment.push(("SOFTHSM2_CONF", written(&write_softhsm_configuration(directory))));
        match self {
            Self::SoftHsm => {}
            Self::Softokn => {
                let parameters = format!("configdir='sql:{}' secmod='secmod.db'", written(&nss_directory(directory)));
                environment.push(("FAULTY_MODULE_PARAMETERS", parameters));
            }
            Self::RemoteSoftHsm => environment.push((server::ADDRESS, server::address(directory))),
        }
        environment
    }
}

/// Makes tests of the cases in `suite.rs` for one module.
macro_rules! suite_on {
    ($name:ident: $kind:expr) => {
        mod $name {
            crate::harness::suite_on! { @ $kind;
                it_signs_and_any_verifier_agrees
                many_threads_sign_at_once_and_no_nonce_repeats
                a_code_is_hmac_sha256_and_a_wrong_one_is_told_from_a_broken_device
                a_wrong_pin_is_tried_once
                a_missing_key_is_named
                a_key_of_the_wrong_type_is_refused_with_the_attribute
                two_keys_with_one_label_are_refused
                closed_and_opened_again_it_has_the_same_key
            }
        }
    };
    (@ $kind:expr; $($case:ident)*) => { $(
        crate::harness::in_own_process! {
            fn $case() on ($kind) |module| { crate::suite::$case(&module) }
        }
    )* };
}
pub(crate) use suite_on;

/// Defines a test whose body runs in a process of its own, on a prepared module.
macro_rules! in_own_process {
    (fn $name:ident() on ($kind:expr) |$module:ident| $body:block) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;
            #[allow(unused_imports)]
            use crate::harness::Kind;

            #[test]
            fn holds() {
                crate::harness::run_in_own_process(module_path!(), $kind);
            }

            #[test]
            #[ignore = "runs in the process that `holds` starts"]
            fn inner() {
                if crate::harness::is_own_process() {
                    #[allow(unused_mut)]
                    let mut $module = $kind.prepare();
                    $body
                }
            }
        }
    };
}
pub(crate) use in_own_process;

/// Whether `run_in_own_process` started this process; not so under `cargo test -- --ignored`.
pub(crate) fn is_own_process() -> bool {
    std::env::var_os(DIRECTORY).is_some()
}

/// Runs `inner` of a case and fails with all it printed unless it ran, passed and exited cleanly.
pub(crate) fn run_in_own_process(module_path: &str, kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output_path = directory.path().join("output");
    let output = File::create(&output_path).expect("the output file");
    // libtest names a test by its path without the crate.
    let (_, case) = module_path.split_once("::").expect("a case is a module of this crate");
    let mut child = Command::new(std::env::current_exe().expect("this executable's path"))
        .args(["--exact", &format!("{case}::inner"), "--ignored", "--nocapture", "--test-threads=1"])
        .envs(kind.environment(directory.path()))
        .stdout(output.try_clone().expect("a second handle"))
        .stderr(output)
        .spawn()
        .expect("this executable starts again");
    let status = wait(&mut child);
    server::kill_what_is_left(directory.path());
    let printed = fs::read_to_string(&output_path).expect("the output file");
    let passed = status.is_some_and(|status| status.success()) && printed.contains("test result: ok. 1 passed");
    let ended = status.map_or_else(|| format!("was killed after {PATIENCE_S} s"), |status| status.to_string());
    assert!(passed, "{case} failed in its own process, which {ended}; it printed:\n{printed}");
    // What was measured: shown with --nocapture.
    let measured = printed
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("running ") && !line.starts_with("test result"));
    measured.for_each(|line| println!("{line}"));
}

/// `None` if it had to be killed.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    const STEP_MS: u64 = 20;
    for _ in 0..PATIENCE_S * 1_000 / STEP_MS {
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(STEP_MS));
    }
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
    None
}

/// Where SoftHSM2 keeps this case's HSM tokens.
pub(crate) fn softhsm_tokens() -> PathBuf {
    directory().join("tokens")
}

/// This case's own directory.
fn directory() -> PathBuf {
    std::env::var_os(DIRECTORY).expect("set by run_in_own_process").into()
}

fn write_softhsm_configuration(directory: &Path) -> PathBuf {
    let tokens = directory.join("tokens");
    fs::create_dir(&tokens).expect("a new directory");
    let configuration = directory.join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    fs::write(&configuration, text).expect("a new file");
    configuration
}

fn make_nss_database(directory: &Path) {
    let (database, pin_file) = (nss_directory(directory), directory.join("pin"));
    fs::create_dir(&database).expect("a new directory");
    fs::write(&pin_file, PIN).expect("a new file");
    let made = Command::new("certutil")
        .args(["-N", "-d", &format!("sql:{}", database.display()), "-f"])
        .arg(&pin_file)
        .status()
        .expect("certutil: install the Debian package libnss3-tools");
    assert!(made.success(), "certutil makes a database");
}

fn nss_directory(directory: &Path) -> PathBuf {
    directory.join("nss")
}

pub(crate) fn softhsm_module() -> PathBuf {
    first_existing("softhsm2", &["softhsm/libsofthsm2.so"])
}

fn first_existing(package: &str, names: &[&str]) -> PathBuf {
    let folders =
        ["/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/local/lib"];
    let mut candidates = folders.iter().flat_map(|folder| names.iter().map(move |name| Path::new(folder).join(name)));
    candidates
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{names:?} is not under {folders:?}: install the Debian package {package}"))
}
