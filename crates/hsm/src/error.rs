//! What can go wrong, split by what has to be corrected: the module, the HSM token, the key, or the call.

use std::fmt;
use std::path::PathBuf;

use cryptoki::error::Error as CryptokiError;

/// Why a call did not bring a result.
#[derive(Debug, thiserror::Error)]
pub enum HsmError {
    /// The queue is full: refused at once, before anything was asked of the HSM.
    #[error("the HSM queue is full: more calls wait than hsm.queue allows")]
    Busy,
    /// No result within the call deadline. The HSM may still work on it; the result is thrown away.
    #[error("the HSM did not answer within hsm.call_deadline")]
    TimedOut,
    /// The HSM, or the module in front of it, reported an error.
    #[error("the HSM failed to {call}: {source}")]
    Device {
        /// What was asked of it: `sign` or `make a nonce`.
        call: &'static str,
        /// The PKCS#11 function and its code.
        source: DeviceError,
    },
    /// The HSM was closed by this process.
    #[error("the HSM is closed")]
    Closed,
}

/// Why the HSM could not be opened: one line that says what to correct.
#[derive(Debug, thiserror::Error)]
pub enum HsmOpenError {
    /// A figure of the configuration is out of its range.
    #[error("hsm.{name} is out of range: it must be {allowed}")]
    OutOfRange {
        /// The field of [`crate::HsmConfig`].
        name: &'static str,
        /// What would be accepted.
        allowed: String,
    },
    /// The PKCS#11 module could not be loaded or started.
    #[error(transparent)]
    Module(#[from] HsmModuleError),
    /// The HSM token is not there or did not let us in.
    #[error(transparent)]
    Token(#[from] HsmTokenError),
    /// The signing key is not there or not one to sign with.
    #[error(transparent)]
    Key(#[from] HsmKeyError),
    /// The system gave no thread for a worker.
    #[error("cannot start an HSM worker thread: {0}; lower hsm.workers or raise the limit on threads")]
    Worker(std::io::Error),
}

/// Why an HSM token or key was not created.
#[derive(Debug, thiserror::Error)]
pub enum HsmProvisionError {
    /// The PKCS#11 module could not be loaded or started.
    #[error(transparent)]
    Module(#[from] HsmModuleError),
    /// The HSM token is not there or did not let us in.
    #[error(transparent)]
    Token(#[from] HsmTokenError),
    /// The key was made but is not one to sign with.
    #[error(transparent)]
    Key(#[from] HsmKeyError),
    /// A label that PKCS#11 cannot hold as it is.
    #[error("{label:?} cannot be {what}: it must have 1 to {bytes_max} bytes and neither begin nor end with a space")]
    Label {
        /// Which label: `a token label` or `a key label`.
        what: &'static str,
        /// The label.
        label: String,
        /// How many bytes of UTF-8 it may have.
        bytes_max: usize,
    },
    /// A PIN shorter or longer than the HSM allows. Nothing was created.
    #[error("the {which} must have {min} to {max} bytes: the HSM allows no other")]
    PinLength {
        /// `security officer PIN` or `user PIN`.
        which: &'static str,
        /// The shortest allowed, in bytes.
        min: usize,
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// There is such an HSM token; it is left as it is.
    #[error(
        "an HSM token labelled {label:?} already exists and is not overwritten: choose another label or delete it first"
    )]
    TokenExists {
        /// The label.
        label: String,
    },
    /// There is such a key; it is left as it is.
    #[error(
        "a key labelled {label:?} already exists on HSM token {token_label:?} and is not overwritten: choose another label"
    )]
    KeyExists {
        /// The key's label.
        label: String,
        /// The HSM token it is on.
        token_label: String,
    },
    /// All slots hold initialised HSM tokens.
    #[error(
        "the PKCS#11 module offers no slot with an uninitialised HSM token: make a partition with the vendor's tool"
    )]
    NoFreeSlot,
    /// The HSM reported an error.
    #[error("the HSM failed to {call}: {source}")]
    Device {
        /// What was asked of it.
        call: &'static str,
        /// The PKCS#11 function and its code.
        source: DeviceError,
    },
    /// The HSM token was initialised, but what follows failed.
    #[error("HSM token {label:?} was initialised, then: {cause}; delete that token before you try again")]
    HalfDone {
        /// The label of the HSM token that now exists.
        label: String,
        /// What failed.
        cause: Box<HsmProvisionError>,
    },
}

/// Why the PKCS#11 module is of no use.
#[derive(Debug, thiserror::Error)]
pub enum HsmModuleError {
    /// PKCS#11 allows one `C_Initialize` a process, and two contexts crash real modules.
    #[error("an HSM is already open in this process, and PKCS#11 allows one: close it first")]
    AlreadyOpen,
    /// The file is missing or is no PKCS#11 module.
    #[error(
        "PKCS#11 module {} cannot be loaded: install the vendor's package (Debian: softhsm2) or correct hsm.module ({reason})",
        module.display()
    )]
    CannotLoad {
        /// The file as configured.
        module: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// `C_Initialize` failed, which is mostly a missing or unreadable configuration file of the module.
    #[error(
        "PKCS#11 module {} does not start: {source}; check the module's own configuration and its rights (SoftHSM2: the file named \
         by SOFTHSM2_CONF and the token directory in it)",
        module.display()
    )]
    CannotStart {
        /// The file as configured.
        module: PathBuf,
        /// The PKCS#11 function and its code.
        source: DeviceError,
    },
}

/// Why an HSM token is not there or did not let us in.
#[derive(Debug, thiserror::Error)]
pub enum HsmTokenError {
    /// No HSM token has the label.
    #[error(
        "no HSM token is labelled {label:?} (there {}): correct hsm.token_label, or create it with `cashgate init` or \
         hsm-config/create-keys.sh",
        list(.seen)
    )]
    Missing {
        /// The label as configured.
        label: String,
        /// The labels of the HSM tokens that there are.
        seen: Vec<String>,
    },
    /// Two HSM tokens with one label: which is meant cannot be known.
    #[error("{count} HSM tokens are labelled {label:?}: rename or remove all but one")]
    Ambiguous {
        /// The label as configured.
        label: String,
        /// How many have it.
        count: usize,
    },
    /// The PIN is wrong. It was tried once: most HSMs lock after three to ten tries.
    #[error(
        "the HSM refused the PIN of token {label:?}; it was tried once and is not tried again: correct the file that holds the PIN \
         before the HSM locks"
    )]
    PinRefused {
        /// The HSM token.
        label: String,
    },
    /// Too many wrong PINs. The PIN was not tried.
    #[error("the PIN of HSM token {label:?} is locked: the security officer has to set a new one")]
    PinLocked {
        /// The HSM token.
        label: String,
    },
    /// The HSM token has no user PIN yet.
    #[error("HSM token {label:?} has no user PIN: the security officer has to set one (pkcs11-tool --init-pin)")]
    PinNotSet {
        /// The HSM token.
        label: String,
    },
    /// The HSM reported another error.
    #[error("the HSM failed to {call}: {source}")]
    Device {
        /// What was asked of it.
        call: &'static str,
        /// The PKCS#11 function and its code.
        source: DeviceError,
    },
}

/// Why a key is not one to sign with.
#[derive(Debug, thiserror::Error)]
pub enum HsmKeyError {
    /// One half of the pair is not there.
    #[error(
        "HSM token {token_label:?} has no {half} key labelled {label:?}: correct hsm.signing_key_label, or create the key with \
         `cashgate init` or hsm-config/create-keys.sh"
    )]
    Missing {
        /// `private` or `public`.
        half: &'static str,
        /// The label as configured.
        label: String,
        /// The HSM token that was searched.
        token_label: String,
    },
    /// More than one key has the label.
    #[error("{count} {half} keys are labelled {label:?}: relabel or remove all but one")]
    Ambiguous {
        /// `private` or `public`.
        half: &'static str,
        /// The label as configured.
        label: String,
        /// How many have it.
        count: usize,
    },
    /// An attribute is not what the key profile asks for: wrong type or curve, extractable, may not sign.
    #[error(
        "the {half} key {label:?} is refused: its {attribute} is {found} and must be {required}; create a new key with \
         `cashgate init` or hsm-config/create-keys.sh"
    )]
    Refused {
        /// `private` or `public`.
        half: &'static str,
        /// The label.
        label: String,
        /// The PKCS#11 name, such as `CKA_EXTRACTABLE`.
        attribute: String,
        /// What the HSM says it is; `absent` if it says nothing.
        found: String,
        /// What it must be.
        required: String,
    },
    /// `CKA_EC_POINT` is not an uncompressed point on P-256.
    #[error("the public key {label:?} has a CKA_EC_POINT that is no uncompressed P-256 point ({length} bytes)")]
    Point {
        /// The label.
        label: String,
        /// How long the value is.
        length: usize,
    },
    /// A trial signature does not verify: two different keys carry the label.
    #[error(
        "the private and public key labelled {label:?} are not a pair: a trial signature does not verify; remove the stray half"
    )]
    NotAPair {
        /// The label.
        label: String,
    },
    /// The HSM reported an error.
    #[error("the HSM failed to {call}: {source}")]
    Device {
        /// What was asked of it.
        call: &'static str,
        /// The PKCS#11 function and its code.
        source: DeviceError,
    },
}

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

fn list(seen: &[String]) -> String {
    match seen {
        [] => "is none at all".to_owned(),
        [one] => format!("is {one:?}"),
        many => format!("are {}", many.iter().map(|label| format!("{label:?}")).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use cryptoki::context::Function;
    use cryptoki::error::RvError;

    use super::*;

    #[test]
    fn device_errors_carry_the_names_that_vendors_document() {
        let shown = DeviceError::from(CryptokiError::Pkcs11(RvError::PinIncorrect, Function::Login)).to_string();
        assert_eq!(shown, "C_Login: CKR_PIN_INCORRECT");
        let shown = DeviceError::from(CryptokiError::Pkcs11(RvError::DeviceError, Function::SignInit)).to_string();
        assert_eq!(shown, "C_SignInit: CKR_DEVICE_ERROR");
    }

    #[test]
    fn a_missing_token_lists_what_there_is() {
        let missing = |seen: &[&str]| {
            let seen = seen.iter().map(|&label| label.to_owned()).collect();
            HsmTokenError::Missing { label: "cashgate".to_owned(), seen }.to_string()
        };
        assert!(missing(&[]).contains("(there is none at all)"));
        assert!(missing(&["old"]).contains("(there is \"old\")"));
        assert!(missing(&["old", "new"]).contains("(there are \"old\", \"new\")"));
    }
}
