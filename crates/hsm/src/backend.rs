//! What a keeper does with a PKCS#11 module: start it, enter its slots, finish it.

use std::path::PathBuf;
use std::sync::Arc;

use cryptoki::context::Pkcs11;
use cryptoki::session::Session as HsmSession;
use cryptoki::slot::Slot;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{HsmSlot, Pin};
use crate::device::{Device, SigningSession};
use crate::error::{HsmModuleError, HsmSlotError, HsmTokenError};
use crate::hsm_token::HsmToken;
use crate::module::Module;
use crate::signing_key::{self, SigningKey, SigningPublicKey};
use crate::two_calls::Functions;

/// A module under a keeper. Slots are counted from 0 in the order of the configuration.
pub(crate) trait Backend: Send + 'static {
    /// What its workers own.
    type Device: Device;

    /// Loads and initialises the module.
    fn start(&mut self) -> Result<(), HsmModuleError>;

    /// Finds the slot's HSM token, logs in, and finds and tries the signing key. A refused PIN is not tried again before it changes.
    fn enter(&mut self, slot: usize, key_label: &str) -> Result<(), HsmSlotError>;

    /// Lets go of what [`Self::enter`] opened; harmless if it had not.
    fn leave(&mut self, slot: usize);

    /// How a worker opens its device, on its own thread, where a call that hangs is noticed. The argument is the signing key's label.
    fn opener(&self, slot: usize) -> impl FnOnce(&str) -> Result<Self::Device, HsmSlotError> + Send + 'static;

    /// How the public half of the signing key with a label is looked up, on a thread of its own; made if it is missing and the second argument
    /// says so.
    fn key_finder(
        &self,
        slot: usize,
    ) -> impl FnOnce(&str, bool) -> Result<SigningPublicKey, HsmSlotError> + Send + 'static;

    /// Finalises the module. No device may be open.
    fn finish(&mut self);

    /// Leaves the module as it is, for ever: a call is still inside it.
    fn forget(&mut self);
}

/// How many different PINs are tried, one after the other, before only a restart tries another.
const REFUSED_PINS_MAX: usize = 3;

/// How often making a key is tried: SoftHSM2 2.6 fails at it, and leaves nothing behind, when another thread's search meets a file half
/// written (SoftHSMv2 issue 573).
const MAKING_TRIES: u32 = 5;

/// A real PKCS#11 module.
pub(crate) struct Pkcs11Module {
    path: PathBuf,
    module: Option<Module>,
    slots: Vec<EnteredSlot>,
}

struct EnteredSlot {
    token_label: String,
    pin: Pin,
    /// The PINs that the HSM refused since it last took one: none is tried again, because most HSMs lock after three to ten tries.
    refused_pins: Vec<SecretString>,
    entered: Option<Entered>,
}

/// The HSM session that logged in. The workers' ride on its login, which is the process's and ends with the last HSM session.
struct Entered {
    slot: Slot,
    _login: HsmSession,
}

impl Pkcs11Module {
    /// The module at `path` with those of the configured slots that are in it.
    pub(crate) fn new(path: PathBuf, slots: impl IntoIterator<Item = HsmSlot>) -> Self {
        let unentered = |slot: HsmSlot| EnteredSlot {
            token_label: slot.token_label,
            pin: slot.pin,
            refused_pins: Vec::new(),
            entered: None,
        };
        Self { path, module: None, slots: slots.into_iter().map(unentered).collect() }
    }
}

/// What another thread needs to work in a slot that was entered.
struct Place {
    context: Pkcs11,
    functions: Arc<Functions>,
    slot: Slot,
    token_label: String,
}

impl Pkcs11Module {
    fn place(&self, slot: usize) -> Option<Place> {
        let module = self.module.as_ref()?;
        let slot = self.slots.get(slot)?;
        let entered = slot.entered.as_ref()?;
        Some(Place {
            context: module.context().clone(),
            functions: Arc::clone(module.functions()),
            slot: entered.slot,
            token_label: slot.token_label.clone(),
        })
    }
}

impl Backend for Pkcs11Module {
    type Device = SigningSession;

    fn start(&mut self) -> Result<(), HsmModuleError> {
        self.module = Some(Module::open(&self.path)?);
        Ok(())
    }

    fn enter(&mut self, slot: usize, key_label: &str) -> Result<(), HsmSlotError> {
        let (Some(module), Some(slot)) = (&self.module, self.slots.get_mut(slot)) else { return Err(not_started()) };
        slot.entered = None;
        let hsm_token = HsmToken::find(module.context(), &slot.token_label)?;
        let hsm_session = open_hsm_session(module.context(), hsm_token.slot)?;
        slot.log_in(&hsm_token, &hsm_session)?;
        SigningKey::find(&hsm_session, &slot.token_label, key_label)?;
        slot.entered = Some(Entered { slot: hsm_token.slot, _login: hsm_session });
        Ok(())
    }

    fn leave(&mut self, slot: usize) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.entered = None;
        }
    }

    fn opener(&self, slot: usize) -> impl FnOnce(&str) -> Result<SigningSession, HsmSlotError> + Send + 'static {
        let place = self.place(slot);
        move |key_label| {
            let Place { context, functions, slot, token_label } = place.ok_or_else(not_started)?;
            let hsm_session = open_hsm_session(&context, slot)?;
            Ok(SigningSession::new(hsm_session, functions, &token_label, key_label)?)
        }
    }

    fn key_finder(
        &self,
        slot: usize,
    ) -> impl FnOnce(&str, bool) -> Result<SigningPublicKey, HsmSlotError> + Send + 'static {
        let place = self.place(slot);
        move |label, create| {
            let Place { context, slot, token_label, .. } = place.ok_or_else(not_started)?;
            find_or_make(&open_hsm_session(&context, slot)?, &token_label, label, create)
        }
    }

    fn finish(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.entered = None);
        self.module = None;
    }

    fn forget(&mut self) {
        self.slots.iter_mut().for_each(|slot| std::mem::forget(slot.entered.take()));
        std::mem::forget(self.module.take());
    }
}

impl EnteredSlot {
    fn log_in(&mut self, hsm_token: &HsmToken, hsm_session: &HsmSession) -> Result<(), HsmTokenError> {
        let label = || self.token_label.clone();
        let pin = self.pin.read().map_err(|reason| HsmTokenError::PinUnreadable { label: label(), reason })?;
        let is_refused = |refused: &SecretString| refused.expose_secret() == pin.expose_secret();
        if self.refused_pins.iter().any(is_refused) || self.refused_pins.len() >= REFUSED_PINS_MAX {
            return Err(HsmTokenError::PinRefused { label: label() });
        }
        let logged_in = hsm_token.log_in(hsm_session, &pin);
        match &logged_in {
            Ok(()) => self.refused_pins.clear(),
            Err(HsmTokenError::PinRefused { .. }) => self.refused_pins.push(pin),
            Err(_) => {}
        }
        logged_in
    }
}

fn find_or_make(
    hsm_session: &HsmSession,
    token_label: &str,
    label: &str,
    create: bool,
) -> Result<SigningPublicKey, HsmSlotError> {
    if create {
        make_if_missing(hsm_session, label)?;
    }
    Ok(SigningKey::find(hsm_session, token_label, label)?.public)
}

fn make_if_missing(hsm_session: &HsmSession, label: &str) -> Result<(), HsmTokenError> {
    let device = |call| move |source: cryptoki::error::Error| HsmTokenError::Device { call, source: source.into() };
    let mut made = Ok(());
    for _ in 0..MAKING_TRIES {
        // Half a pair ends this too; whoever looks for the key finds it wanting.
        if signing_key::exists(hsm_session, label).map_err(device("look for the signing key"))? {
            return Ok(());
        }
        made = signing_key::generate(hsm_session, label);
        if made.is_ok() {
            break;
        }
    }
    made.map_err(device("make the key pair"))
}

fn open_hsm_session(context: &Pkcs11, slot: Slot) -> Result<HsmSession, HsmTokenError> {
    let refused =
        |error: cryptoki::error::Error| HsmTokenError::Device { call: "open an HSM session", source: error.into() };
    // Read-write although nothing is written: some HSMs know no other (AWS CloudHSM).
    context.open_rw_session(slot).map_err(refused)
}

/// Not reached: the keeper enters no slot of a module that did not start, and starts no worker in a slot that it has not entered.
fn not_started() -> HsmSlotError {
    let source = crate::device_error::DeviceError::from(cryptoki::error::Error::NullFunctionPointer);
    HsmSlotError::Token(HsmTokenError::Device { call: "find the module started", source })
}
