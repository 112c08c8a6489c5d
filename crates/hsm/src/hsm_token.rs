//! The HSM token: found by its label, entered once with the PIN.

use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::session::{Session as HsmSession, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use secrecy::SecretString;

use crate::device_error::DeviceError;
use crate::error::HsmTokenError;

/// An HSM token and the slot it is in.
pub(crate) struct HsmToken {
    pub(crate) slot: Slot,
    pub(crate) info: TokenInfo,
}

impl HsmToken {
    /// The initialised HSM token with this label.
    pub(crate) fn find(context: &Pkcs11, label: &str) -> Result<Self, HsmTokenError> {
        let mut tokens = all(context)?;
        tokens.retain(|token| token.info.token_initialized());
        let seen: Vec<String> = tokens.iter().map(|token| token.info.label().to_owned()).collect();
        tokens.retain(|token| token.info.label() == label);
        let count = tokens.len();
        match tokens.pop() {
            None => Err(HsmTokenError::Missing { label: label.to_owned(), seen }),
            Some(only) if count == 1 => Ok(only),
            Some(_) => Err(HsmTokenError::Ambiguous { label: label.to_owned(), count }),
        }
    }

    /// Logs the HSM session in, and with it the whole process: PKCS#11 keeps the login per HSM token, not per session.
    ///
    /// The PIN is tried once, and not at all when the HSM token says that it is locked.
    pub(crate) fn log_in(&self, hsm_session: &HsmSession, pin: &SecretString) -> Result<(), HsmTokenError> {
        let label = || self.info.label().to_owned();
        if self.info.user_pin_locked() {
            return Err(HsmTokenError::PinLocked { label: label() });
        }
        match hsm_session.login(UserType::User, Some(pin)) {
            // Another part of this process, such as a TLS library on the same module, may have logged in before us.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(error) => Err(login_refusal(error, label())),
        }
    }
}

/// Every slot with an HSM token in it, initialised or not.
pub(crate) fn all(context: &Pkcs11) -> Result<Vec<HsmToken>, HsmTokenError> {
    let list = || -> cryptoki::error::Result<Vec<HsmToken>> {
        let slots = context.get_slots_with_token()?;
        slots.into_iter().map(|slot| Ok(HsmToken { slot, info: context.get_token_info(slot)? })).collect()
    };
    list().map_err(|error| HsmTokenError::Device { call: "list its slots", source: DeviceError::from(error) })
}

fn login_refusal(error: Error, label: String) -> HsmTokenError {
    match error {
        Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) => {
            HsmTokenError::PinRefused { label }
        }
        Error::Pkcs11(RvError::PinLocked, _) => HsmTokenError::PinLocked { label },
        Error::Pkcs11(RvError::UserPinNotInitialized, _) => HsmTokenError::PinNotSet { label },
        other => HsmTokenError::Device { call: "log in", source: DeviceError::from(other) },
    }
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[test]
    fn each_refusal_of_a_pin_says_what_to_do() {
        let said = |code| login_refusal(Error::Pkcs11(code, Function::Login), "vault".to_owned()).to_string();
        assert!(said(RvError::PinIncorrect).contains("it was tried once"));
        assert!(said(RvError::PinLenRange).contains("it was tried once"));
        assert!(said(RvError::PinLocked).contains("\"vault\" is locked"));
        assert!(said(RvError::UserPinNotInitialized).contains("has no user PIN"));
        assert_eq!(said(RvError::DeviceRemoved), "the HSM failed to log in: C_Login: CKR_DEVICE_REMOVED");
    }
}
