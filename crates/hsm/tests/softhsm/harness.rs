//! Runs each case in a process of its own.
//!
//! PKCS#11 is one initialised module a process, and SoftHSM2 learns its directory from the environment at that moment; tests share
//! a process, and may not change its environment. So a case is two tests: one that starts this executable again with an own
//! directory and environment, and one that is ignored otherwise and does the work there. A crash at exit fails the case too.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use cashgate_hsm::{Batcher, Hsm, HsmConfig, HsmSlot, SigningPublicKey};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::session::{Session as HsmSession, UserType};

pub(crate) const TOKEN_LABEL: &str = "cashgate test";
pub(crate) const KEY_LABEL: &str = "qr-1";
pub(crate) const PIN: &str = "43219876";
pub(crate) const SO_PIN: &str = "98764321";

const DIRECTORY: &str = "CASHGATE_HSM_TEST_DIRECTORY";
const PATIENCE_S: u64 = 120;

/// Defines a test whose body runs in a process of its own.
macro_rules! in_own_process {
    ($(#[$meaning:meta])* fn $name:ident() $body:block) => {
        $(#[$meaning])*
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            #[test]
            fn holds() {
                crate::harness::run_in_own_process(module_path!());
            }

            #[test]
            #[ignore = "runs in the process that `holds` starts"]
            fn inner() {
                if crate::harness::is_own_process() $body
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
pub(crate) fn run_in_own_process(module_path: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let configuration = write_softhsm_configuration(directory.path());
    let output_path = directory.path().join("output");
    let output = File::create(&output_path).expect("the output file");
    // libtest names a test by its path without the crate.
    let (_, case) = module_path.split_once("::").expect("a case is a module of this crate");
    let mut child = Command::new(std::env::current_exe().expect("this executable's path"))
        .args(["--exact", &format!("{case}::inner"), "--ignored", "--nocapture", "--test-threads=1"])
        .env("SOFTHSM2_CONF", configuration)
        .env(DIRECTORY, directory.path())
        .env("PKCS11SPY", softhsm_module())
        .env("PKCS11SPY_OUTPUT", spy_log_in(directory.path()))
        .stdout(output.try_clone().expect("a second handle"))
        .stderr(output)
        .spawn()
        .expect("this executable starts again");
    let status = wait(&mut child);
    let printed = fs::read_to_string(&output_path).expect("the output file");
    let passed = status.is_some_and(|status| status.success()) && printed.contains("test result: ok. 1 passed");
    let ended = status.map_or_else(|| format!("was killed after {PATIENCE_S} s"), |status| status.to_string());
    assert!(passed, "{case} failed in its own process, which {ended}; it printed:\n{printed}");
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

fn write_softhsm_configuration(directory: &Path) -> PathBuf {
    let tokens = directory.join("tokens");
    fs::create_dir(&tokens).expect("a new directory");
    let configuration = directory.join("softhsm2.conf");
    let text = format!("directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n", tokens.display());
    fs::write(&configuration, text).expect("a new file");
    configuration
}

/// This case's own directory.
pub(crate) fn directory() -> PathBuf {
    std::env::var_os(DIRECTORY).expect("set by run_in_own_process").into()
}

pub(crate) fn softhsm_module() -> PathBuf {
    first_existing("softhsm2", &["softhsm/libsofthsm2.so"])
}

/// A module that passes every call on to SoftHSM2 and logs it.
pub(crate) fn spy_module() -> PathBuf {
    first_existing("opensc", &["pkcs11/pkcs11-spy.so", "pkcs11-spy.so"])
}

fn first_existing(package: &str, names: &[&str]) -> PathBuf {
    let folders =
        ["/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/local/lib"];
    let mut candidates = folders.iter().flat_map(|folder| names.iter().map(move |name| Path::new(folder).join(name)));
    candidates
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{names:?} is not under {folders:?}: install the Debian package {package}"))
}

/// How often the spy saw a function called.
pub(crate) fn spied_calls(function: &str) -> usize {
    let log = fs::read_to_string(spy_log_in(&directory())).expect("the spy's log");
    log.lines().filter(|line| line.split_once(": ").is_some_and(|(_, name)| name.trim() == function)).count()
}

fn spy_log_in(directory: &Path) -> PathBuf {
    directory.join("spy.log")
}

/// An HSM token with a signing key, as `cashgate init` makes it.
pub(crate) fn provision_token() {
    cashgate_hsm::provision(&softhsm_module(), TOKEN_LABEL, &SO_PIN.into(), &PIN.into(), KEY_LABEL)
        .expect("a fresh HSM token and key");
}

pub(crate) fn config() -> HsmConfig {
    HsmConfig {
        slots: vec![slot()],
        signing_key_label: KEY_LABEL.to_owned(),
        workers: 4,
        queue: 64,
        batch_max: 64,
        call_deadline: Duration::from_secs(4),
        patience: Duration::from_secs(20),
        retry_first: Duration::from_millis(50),
        retry_max: Duration::from_secs(1),
    }
}

pub(crate) fn slot() -> HsmSlot {
    HsmSlot { module: softhsm_module(), token_label: TOKEN_LABEL.to_owned(), pin: PIN.into() }
}

/// The configuration, over another module.
pub(crate) fn config_over(module: PathBuf) -> HsmConfig {
    HsmConfig { slots: vec![HsmSlot { module, ..slot() }], ..config() }
}

/// The one line that an operator sees while the slot is lost.
pub(crate) fn refusal(config: HsmConfig) -> String {
    let hsm = Hsm::open(config, Papers).expect("whatever may heal does not stop it");
    let slot = hsm.slots().remove(0);
    assert_eq!(slot.state, cashgate_hsm::HsmState::Lost, "{slot:?}");
    let refused = block_on(hsm.sign(b"anything".to_vec())).expect_err("nothing is signed");
    assert!(matches!(refused, cashgate_hsm::HsmError::Lost { .. }), "{refused}");
    assert_eq!(slot.reason.lines().count(), 1, "an operator gets one line: {}", slot.reason);
    hsm.close();
    slot.reason
}

/// Papers that are signed together: each is numbered, and the digest is over all of them with their nonces.
pub(crate) struct Papers;

/// A paper, the nonce it got, and what proves it.
#[derive(Clone, Debug)]
pub(crate) struct SignedPaper {
    pub(crate) nonce: [u8; 16],
    pub(crate) batch: Vec<u8>,
    pub(crate) size: usize,
    key: SigningPublicKey,
    signature: [u8; 64],
}

impl SignedPaper {
    /// Whether the batch contains the paper with its nonce and the signature is right.
    pub(crate) fn verifies(&self, paper: &[u8]) -> bool {
        let leaf = [&self.nonce, paper].concat();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.key.sec1_uncompressed());
        self.batch.windows(leaf.len()).any(|window| window == leaf) && key.verify(&self.batch, &self.signature).is_ok()
    }

    pub(crate) fn is_signed_by(&self, key: &SigningPublicKey) -> bool {
        self.key == *key
    }
}

impl Batcher for Papers {
    type Order = Vec<u8>;
    type Batch = (Vec<[u8; 16]>, Vec<u8>, SigningPublicKey);
    type Signed = SignedPaper;

    fn may_sign(&self, _key: &SigningPublicKey) -> bool {
        true
    }

    fn batch(&self, key: &SigningPublicKey, orders: &[(&Vec<u8>, [u8; 16])]) -> Result<Self::Batch, String> {
        if orders.iter().any(|(paper, _)| *paper == b"forbidden") {
            return Err("this paper is never signed".to_owned());
        }
        let nonces = orders.iter().map(|(_, nonce)| *nonce).collect();
        let papers = orders.iter().flat_map(|(paper, nonce)| [&nonce[..], paper.as_slice()].concat()).collect();
        Ok((nonces, papers, *key))
    }

    fn digest(&self, (_, papers, _): &Self::Batch) -> [u8; 32] {
        digest(&SHA256, papers).as_ref().try_into().expect("32 bytes")
    }

    fn signed(&self, (nonces, batch, key): Self::Batch, signature: [u8; 64]) -> Option<Vec<SignedPaper>> {
        let size = nonces.len();
        let verifier = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.sec1_uncompressed());
        verifier.verify(&batch, &signature).ok()?;
        let paper = |nonce| SignedPaper { nonce, batch: batch.clone(), size, key, signature };
        Some(nonces.into_iter().map(paper).collect())
    }
}

/// Does something on the HSM token that the crate itself would not do, with cryptoki alone.
pub(crate) fn with_hsm_session(work: impl FnOnce(&HsmSession)) {
    let context = Pkcs11::new(softhsm_module()).expect("the module loads");
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("the module starts");
    let slot = context.get_slots_with_initialized_token().expect("slots")[0];
    let hsm_session = context.open_rw_session(slot).expect("an HSM session");
    hsm_session.login(UserType::User, Some(&PIN.into())).expect("the PIN is right");
    work(&hsm_session);
    hsm_session.close().expect("closes");
    context.finalize().expect("finalises");
}

/// Waits until the HSM is ready, for 20 seconds at most.
pub(crate) fn until_ready<B: Batcher>(hsm: &Hsm<B>) {
    let mut states = hsm.subscribe();
    let ready = block_on(async {
        let ready = states.wait_for(|state| *state == cashgate_hsm::HsmState::Ready);
        tokio::time::timeout(Duration::from_secs(20), ready).await.is_ok()
    });
    assert!(ready, "{:?}", hsm.slots());
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(work)
}
