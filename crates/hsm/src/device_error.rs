//! What an HSM reports, in the words that vendors document.

use std::fmt;

use cryptoki::error::{Error as CryptokiError, RvError};

/// What the HSM or its module reported, as PKCS#11 names it: `C_SignInit: CKR_DEVICE_ERROR`.
#[derive(Debug)]
pub struct DeviceError(Fault);

#[derive(Debug)]
enum Fault {
    Cryptoki(CryptokiError),
    SignatureLength(usize),
}

impl DeviceError {
    pub(crate) const fn signature_length(bytes: usize) -> Self {
        Self(Fault::SignatureLength(bytes))
    }
}

impl DeviceError {
    /// Whether the HSM gives no more HSM sessions.
    pub(crate) const fn is_session_limit(&self) -> bool {
        matches!(&self.0, Fault::Cryptoki(CryptokiError::Pkcs11(RvError::SessionCount | RvError::DeviceMemory, _)))
    }
}

impl From<CryptokiError> for DeviceError {
    fn from(error: CryptokiError) -> Self {
        Self(Fault::Cryptoki(error))
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            // cryptoki's own text quotes the standard, a paragraph for each code; operators look for the code.
            Fault::Cryptoki(CryptokiError::Pkcs11(code, function)) => {
                write!(f, "C_{function:?}: {}", ckr_name(&format!("{code:?}")))
            }
            Fault::Cryptoki(other) => write!(f, "{other}"),
            Fault::SignatureLength(bytes) => write!(f, "C_Sign: {bytes} bytes instead of a P-256 signature's 64"),
        }
    }
}

impl std::error::Error for DeviceError {}

/// `PinIncorrect` as the standard writes it: `CKR_PIN_INCORRECT`.
fn ckr_name(variant: &str) -> String {
    let mut name = String::from("CKR");
    for character in variant.chars() {
        if character.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(character.to_ascii_uppercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;

    use super::*;

    #[test]
    fn device_errors_carry_the_names_that_vendors_document() {
        let shown = DeviceError::from(CryptokiError::Pkcs11(RvError::PinIncorrect, Function::Login)).to_string();
        assert_eq!(shown, "C_Login: CKR_PIN_INCORRECT");
        let shown = DeviceError::from(CryptokiError::Pkcs11(RvError::DeviceError, Function::SignInit)).to_string();
        assert_eq!(shown, "C_SignInit: CKR_DEVICE_ERROR");
    }
}
