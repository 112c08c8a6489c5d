//! A PKCS#11 module: loaded and initialised at most once at a time in this process, and always finalised.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};

use crate::device_error::DeviceError;
use crate::error::HsmModuleError;
use crate::two_calls::Functions;

/// The modules that are open in this process. Two contexts of one module crash it.
static CLAIMED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// An initialised module. Dropping it finalises the module, so every HSM session must be gone by then.
pub(crate) struct Module {
    context: Pkcs11,
    functions: Arc<Functions>,
    // Dropped after `drop` has finalised: only then may it be opened again.
    _claim: Claim,
}

impl Module {
    /// Loads the module and calls `C_Initialize`.
    pub(crate) fn open(path: &Path) -> Result<Self, HsmModuleError> {
        let claim = Claim::take(path)?;
        let cannot_load = |error: cryptoki::error::Error| HsmModuleError::CannotLoad {
            module: path.to_owned(),
            reason: error.to_string(),
        };
        let context = Pkcs11::new(path).map_err(cannot_load)?;
        let functions = Functions::of(path).map_err(cannot_load)?;
        context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(|error| {
            HsmModuleError::CannotStart { module: path.to_owned(), source: DeviceError::from(error) }
        })?;
        Ok(Self { context, functions: Arc::new(functions), _claim: claim })
    }

    /// The context, for opening HSM sessions. They hold clones of it.
    pub(crate) fn context(&self) -> &Pkcs11 {
        &self.context
    }

    /// The module's functions themselves.
    pub(crate) const fn functions(&self) -> &Arc<Functions> {
        &self.functions
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // cryptoki does not finalise by itself, and a module left initialised can crash the process when it exits.
        if let Err(error) = self.context.clone().finalize() {
            tracing::warn!(error = %DeviceError::from(error), "the PKCS#11 module was not finalised cleanly");
        }
    }
}

struct Claim(PathBuf);

impl Claim {
    fn take(module: &Path) -> Result<Self, HsmModuleError> {
        // Two names of one file are one module.
        let file = module.canonicalize().unwrap_or_else(|_| module.to_owned());
        match CLAIMED.lock().unwrap_or_else(PoisonError::into_inner).insert(file.clone()) {
            true => Ok(Self(file)),
            false => Err(HsmModuleError::AlreadyOpen { module: module.to_owned() }),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMED.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
    }
}
