//! PKCS#11 calls without the crate: for what it would not do, and for what the modules themselves do.

use std::path::Path;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, Result, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session as HsmSession, UserType};
use cryptoki::slot::Slot;

use crate::harness::{KEY_LABEL, ModuleUnderTest, PIN};

/// An initialised module with one read-write HSM session, logged in.
pub(crate) struct Direct {
    pub(crate) context: Pkcs11,
    pub(crate) slot: Slot,
    pub(crate) hsm_session: HsmSession,
    pub(crate) private: ObjectHandle,
    pub(crate) public: ObjectHandle,
}

impl Direct {
    pub(crate) fn open(module: &ModuleUnderTest) -> Self {
        Self::try_open(&module.module, module.token_label).expect("the module, its HSM token and its key are there")
    }

    /// The same through the faulty module in front.
    pub(crate) fn open_faulty(module: &ModuleUnderTest) -> Self {
        Self::try_open(module.faulty.module(), module.token_label).expect("the module behind the faulty one is there")
    }

    pub(crate) fn try_open(module: &Path, token_label: &str) -> Result<Self> {
        let context = Pkcs11::new(module)?;
        context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))?;
        let opened = Self::log_in(context.clone(), token_label);
        if opened.is_err() {
            // What failed is the news; that the module cannot be finalised either is not.
            context.finalize().ok();
        }
        opened
    }

    fn log_in(context: Pkcs11, token_label: &str) -> Result<Self> {
        let slots = context.get_slots_with_initialized_token()?;
        let labels: Vec<String> =
            slots.iter().map(|slot| Ok(context.get_token_info(*slot)?.label().to_owned())).collect::<Result<_>>()?;
        let wanted = labels.iter().position(|label| label == token_label).ok_or(Error::InvalidValue)?;
        let slot = slots[wanted];
        let hsm_session = context.open_rw_session(slot)?;
        hsm_session.login(UserType::User, Some(&PIN.into()))?;
        let [private, public] = [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY]
            .map(|class| hsm_session.find_objects(&[Attribute::Class(class), Attribute::Label(KEY_LABEL.into())]));
        let first = |found: Vec<ObjectHandle>| found.first().copied().ok_or(Error::InvalidValue);
        Ok(Self { context, slot, private: first(private?)?, public: first(public?)?, hsm_session })
    }

    /// Signs a fixed digest with the key [`KEY_LABEL`].
    pub(crate) fn sign(&self) -> Result<Vec<u8>> {
        self.hsm_session.sign(&Mechanism::Ecdsa, self.private, &[0x5a; 32])
    }

    pub(crate) fn verify(&self, signature: &[u8]) -> Result<()> {
        self.hsm_session.verify(&Mechanism::Ecdsa, self.public, &[0x5a; 32], signature)
    }

    pub(crate) fn finalize(self) -> Result<()> {
        let Self { context, hsm_session, .. } = self;
        // A session of a broken device does not close; finalising ends it all the same.
        hsm_session.close().ok();
        context.finalize()
    }
}

/// The code in the module's answer, if that is what the error is.
pub(crate) fn code<T>(answer: Result<T>) -> Option<RvError> {
    match answer {
        Err(Error::Pkcs11(code, _)) => Some(code),
        _ => None,
    }
}
