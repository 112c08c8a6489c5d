//! The handle that the gateway holds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cryptoki::context::Pkcs11;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session as HsmSession;
use cryptoki::slot::Slot;

use crate::config::HsmConfig;
use crate::device::SigningSession;
use crate::error::{HsmError, HsmOpenError, HsmTokenError};
use crate::hsm_token::HsmToken;
use crate::module::Module;
use crate::signing_key::{SigningKey, SigningPublicKey};
use crate::workers::{HsmStats, WorkerStuck, Workers};

/// How long closing waits beyond the call deadline for a worker that is still inside the HSM.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// An open HSM: logged in, its signing key found and checked. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Hsm {
    open: Arc<OpenHsm>,
}

impl Hsm {
    /// Loads the module, logs in and starts the workers. One HSM can be open in a process at a time.
    ///
    /// Blocks for as long as the HSM takes, so call it before the gateway serves, or from a blocking thread. The PIN is tried at
    /// most once, whatever the number of workers.
    ///
    /// # Errors
    /// [`HsmOpenError`] says in one line what to correct; nothing stays open then.
    pub fn open(config: HsmConfig) -> Result<Self, HsmOpenError> {
        config.check()?;
        let module = Module::open(&config.module)?;
        let hsm_token = HsmToken::find(module.context(), &config.token_label)?;
        let first = open_hsm_session(module.context(), hsm_token.slot)?;
        hsm_token.log_in(&first, &config.pin)?;
        let key = SigningKey::find(&first, &config.token_label, &config.signing_key_label)?;
        let devices = signing_sessions(module.context(), hsm_token.slot, first, key.private, config.workers)?;
        let workers = Workers::start(devices, config.queue, config.call_deadline).map_err(HsmOpenError::Worker)?;
        let close_patience = config.call_deadline.saturating_add(CLOSE_PATIENCE);
        tracing::info!(
            token = config.token_label,
            key = config.signing_key_label,
            workers = config.workers,
            "the HSM is open"
        );
        Ok(Self {
            open: Arc::new(OpenHsm {
                module: Mutex::new(Some(module)),
                workers,
                signing_key: key.public,
                close_patience,
            }),
        })
    }

    /// The public half of the key that signs.
    #[must_use]
    pub fn signing_key(&self) -> &SigningPublicKey {
        &self.open.signing_key
    }

    /// An ECDSA P-256 signature (FIPS 186-5) over a digest, 32 bytes `r` and 32 bytes `s`, big-endian. `s` may be high.
    ///
    /// Needs a tokio runtime with time enabled.
    ///
    /// # Errors
    /// [`HsmError`]: refused because the queue is full, late, failed in the HSM, or closed.
    pub async fn sign(&self, digest: [u8; 32]) -> Result<[u8; 64], HsmError> {
        self.open.workers.sign(digest).await
    }

    /// Sixteen bytes from the HSM's own random generator (`C_GenerateRandom`).
    ///
    /// Needs a tokio runtime with time enabled.
    ///
    /// # Errors
    /// As [`Hsm::sign`].
    pub async fn nonce(&self) -> Result<[u8; 16], HsmError> {
        self.open.workers.nonce().await
    }

    /// Calls that wait for a worker now: 0 to the configured queue.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        self.open.workers.queue_depth()
    }

    /// Counts for metrics.
    #[must_use]
    pub fn stats(&self) -> HsmStats {
        self.open.workers.stats()
    }
    /// Answers what is queued, ends the workers, closes their HSM sessions and finalises the module. Other clones then get
    /// [`HsmError::Closed`], and an HSM can be opened again.
    ///
    /// Call it before the process exits: modules such as SoftHSM can crash on the way out otherwise. Dropping the last clone does
    /// the same. Blocks, for the call deadline plus five seconds at most; an HSM that hangs longer is left as it is, with a log line.
    pub fn close(self) {
        self.open.close();
    }
}

struct OpenHsm {
    workers: Workers,
    /// `None` once closed. Locked for as long as closing takes, so that nobody finalises under a running worker.
    module: Mutex<Option<Module>>,
    signing_key: SigningPublicKey,
    close_patience: Duration,
}

impl OpenHsm {
    fn close(&self) {
        let mut module = self.module.lock().unwrap_or_else(PoisonError::into_inner);
        let stopped = self.workers.stop(self.close_patience);
        match (module.take(), stopped) {
            (Some(module), Ok(())) => drop(module),
            (Some(module), Err(WorkerStuck)) => {
                // Finalising while a call runs is undefined in PKCS#11, so the module stays initialised and claimed.
                std::mem::forget(module);
                tracing::error!("an HSM call does not return: the PKCS#11 module is not finalised");
            }
            (None, _) => {}
        }
    }
}

impl Drop for OpenHsm {
    fn drop(&mut self) {
        self.close();
    }
}

/// One HSM session a worker. The first is the one that logged in; the others ride on its login, which is the process's.
fn signing_sessions(
    context: &Pkcs11,
    slot: Slot,
    first: HsmSession,
    private_key: ObjectHandle,
    workers: usize,
) -> Result<Vec<SigningSession>, HsmTokenError> {
    let mut sessions = vec![SigningSession { hsm_session: first, private_key }];
    while sessions.len() < workers {
        sessions.push(SigningSession { hsm_session: open_hsm_session(context, slot)?, private_key });
    }
    Ok(sessions)
}

fn open_hsm_session(context: &Pkcs11, slot: Slot) -> Result<HsmSession, HsmTokenError> {
    context
        .open_ro_session(slot)
        .map_err(|error| HsmTokenError::Device { call: "open one HSM session a worker", source: error.into() })
}
