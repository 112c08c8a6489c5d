//! The PKCS#11 module: loaded and initialised at most once at a time in this process, and always finalised.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};

use crate::error::{DeviceError, HsmModuleError};

/// Whether a module is open in this process.
static CLAIMED: AtomicBool = AtomicBool::new(false);

/// An initialised module. Dropping it finalises the module, so every HSM session must be gone by then.
pub(crate) struct Module {
    context: Pkcs11,
    // Dropped after `drop` has finalised: only then may another be opened.
    _claim: Claim,
}

impl Module {
    /// Loads the module and calls `C_Initialize`.
    pub(crate) fn open(path: &Path) -> Result<Self, HsmModuleError> {
        let claim = Claim::take().ok_or(HsmModuleError::AlreadyOpen)?;
        let context = Pkcs11::new(path)
            .map_err(|error| HsmModuleError::CannotLoad { module: path.to_owned(), reason: error.to_string() })?;
        context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).map_err(|error| {
            HsmModuleError::CannotStart { module: path.to_owned(), source: DeviceError::from(error) }
        })?;
        Ok(Self { context, _claim: claim })
    }

    /// The context, for opening HSM sessions. They hold clones of it.
    pub(crate) fn context(&self) -> &Pkcs11 {
        &self.context
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

struct Claim;

impl Claim {
    fn take() -> Option<Self> {
        CLAIMED.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire).is_ok().then_some(Self)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMED.store(false, Ordering::Release);
    }
}
