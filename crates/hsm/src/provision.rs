//! New HSM tokens and signing keys, through PKCS#11 alone so that no vendor tool is needed.

use std::path::Path;

use cryptoki::context::Pkcs11;
use cryptoki::session::UserType;
use secrecy::{ExposeSecret, SecretString};

use crate::device_error::DeviceError;
use crate::error::{HsmKeyError, HsmProvisionError};
use crate::hsm_token::{self, HsmToken};
use crate::mac_key;
use crate::module::Module;
use crate::signing_key::{self, SigningKey, SigningPublicKey};

/// `CK_TOKEN_INFO.label` is a field of 32 bytes, padded with spaces.
const TOKEN_LABEL_BYTES_MAX: usize = 32;
const KEY_LABEL_BYTES_MAX: usize = 64;

/// Initialises a free HSM token with a label and both PINs, and makes a signing key on it. Returns the key's public half.
///
/// For development and for HSMs whose tokens may be initialised through PKCS#11. Needs that no [`crate::Hsm`] is open in this
/// process; blocks; leaves the module finalised.
///
/// # Errors
/// [`HsmProvisionError`]. An HSM token that has the label already is left as it is.
pub fn provision(
    module: &Path,
    token_label: &str,
    so_pin: &SecretString,
    pin: &SecretString,
    signing_key_label: &str,
) -> Result<SigningPublicKey, HsmProvisionError> {
    check_label("a token label", token_label, TOKEN_LABEL_BYTES_MAX)?;
    check_label("a key label", signing_key_label, KEY_LABEL_BYTES_MAX)?;
    let module = Module::open(module)?;
    let free = free_hsm_token(module.context(), token_label)?;
    check_pin_length(&free, "security officer PIN", so_pin)?;
    check_pin_length(&free, "user PIN", pin)?;
    module.context().init_token(free.slot, so_pin, token_label).map_err(device("initialise the HSM token"))?;
    set_user_pin(module.context(), token_label, so_pin, pin)
        .and_then(|()| add_signing_key(module.context(), token_label, pin, signing_key_label))
        .map_err(|cause| HsmProvisionError::HalfDone { label: token_label.to_owned(), cause: Box::new(cause) })
}

/// Makes one more signing key on an HSM token that exists. Returns its public half. The PIN is tried once.
///
/// Needs that no [`crate::Hsm`] is open in this process; blocks; leaves the module finalised.
///
/// # Errors
/// [`HsmProvisionError`]. A key that has the label already is left as it is.
pub fn create_signing_key(
    module: &Path,
    token_label: &str,
    pin: &SecretString,
    signing_key_label: &str,
) -> Result<SigningPublicKey, HsmProvisionError> {
    check_label("a key label", signing_key_label, KEY_LABEL_BYTES_MAX)?;
    let module = Module::open(module)?;
    add_signing_key(module.context(), token_label, pin, signing_key_label)
}

/// Puts a key for authentication codes on an HSM token that exists: 32 bytes, for HMAC-SHA256. The PIN is tried once.
///
/// The value passes through this process's memory, so this is for trials and for HSMs that have no better way in.
///
/// # Errors
/// [`HsmProvisionError`]. A key that has the label already is left as it is.
pub fn import_mac_key(
    module: &Path,
    token_label: &str,
    pin: &SecretString,
    key_label: &str,
    value: &[u8; 32],
) -> Result<(), HsmProvisionError> {
    check_label("a key label", key_label, KEY_LABEL_BYTES_MAX)?;
    let module = Module::open(module)?;
    let hsm_token = HsmToken::find(module.context(), token_label)?;
    let hsm_session = module.context().open_rw_session(hsm_token.slot).map_err(device("open an HSM session"))?;
    hsm_token.log_in(&hsm_session, pin)?;
    match mac_key::find(&hsm_session, token_label, key_label) {
        Err(HsmKeyError::Missing { .. }) => {}
        _ => {
            let (label, token_label) = (key_label.to_owned(), token_label.to_owned());
            return Err(HsmProvisionError::KeyExists { label, token_label });
        }
    }
    mac_key::import(&hsm_session, key_label, value).map_err(device("take in the key"))?;
    // Read back as the gateway will: an HSM that ignored an attribute is found out now.
    Ok(mac_key::find(&hsm_session, token_label, key_label).map(|_| ())?)
}

fn set_user_pin(
    context: &Pkcs11,
    token_label: &str,
    so_pin: &SecretString,
    pin: &SecretString,
) -> Result<(), HsmProvisionError> {
    let hsm_token = HsmToken::find(context, token_label)?;
    let hsm_session = context.open_rw_session(hsm_token.slot).map_err(device("open an HSM session"))?;
    hsm_session.login(UserType::So, Some(so_pin)).map_err(device("log in the security officer"))?;
    hsm_session.init_pin(pin).map_err(device("set the user PIN"))?;
    hsm_session.logout().map_err(device("log out the security officer"))
}

fn add_signing_key(
    context: &Pkcs11,
    token_label: &str,
    pin: &SecretString,
    key_label: &str,
) -> Result<SigningPublicKey, HsmProvisionError> {
    let hsm_token = HsmToken::find(context, token_label)?;
    let hsm_session = context.open_rw_session(hsm_token.slot).map_err(device("open an HSM session"))?;
    hsm_token.log_in(&hsm_session, pin)?;
    if signing_key::exists(&hsm_session, key_label).map_err(device("look for the key label"))? {
        return Err(HsmProvisionError::KeyExists { label: key_label.to_owned(), token_label: token_label.to_owned() });
    }
    signing_key::generate(&hsm_session, key_label).map_err(device("make the key pair"))?;
    // Read back as `Hsm::open` will: an HSM that ignored an attribute is found out now, not when the gateway starts.
    Ok(SigningKey::find(&hsm_session, token_label, key_label)?.public)
}

fn free_hsm_token(context: &Pkcs11, token_label: &str) -> Result<HsmToken, HsmProvisionError> {
    let (taken, free): (Vec<_>, Vec<_>) =
        hsm_token::all(context)?.into_iter().partition(|token| token.info.token_initialized());
    if taken.iter().any(|token| token.info.label() == token_label) {
        return Err(HsmProvisionError::TokenExists { label: token_label.to_owned() });
    }
    free.into_iter().next().ok_or(HsmProvisionError::NoFreeSlot)
}

fn check_label(what: &'static str, label: &str, bytes_max: usize) -> Result<(), HsmProvisionError> {
    if label.is_empty() || label.len() > bytes_max || label.starts_with(' ') || label.ends_with(' ') {
        return Err(HsmProvisionError::Label { what, label: label.to_owned(), bytes_max });
    }
    Ok(())
}

/// Before anything is created: a refused PIN afterwards would leave an HSM token that nobody can use.
fn check_pin_length(hsm_token: &HsmToken, which: &'static str, pin: &SecretString) -> Result<(), HsmProvisionError> {
    let (min, max) = (hsm_token.info.min_pin_length(), hsm_token.info.max_pin_length());
    if (min..=max).contains(&pin.expose_secret().len()) {
        return Ok(());
    }
    Err(HsmProvisionError::PinLength { which, min, max })
}

fn device(call: &'static str) -> impl Fn(cryptoki::error::Error) -> HsmProvisionError {
    move |error| HsmProvisionError::Device { call, source: DeviceError::from(error) }
}
