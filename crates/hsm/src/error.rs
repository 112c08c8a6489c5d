//! What can go wrong, split by what has to be corrected: the module, the HSM token, the key, or the call.

use std::path::PathBuf;

use crate::device_error::DeviceError;

/// Why a call did not bring a result. Nothing was signed, or nobody will see it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HsmError {
    /// The queue is full: refused at once, before anything was asked of the HSM.
    #[error("the HSM queue is full: more calls wait than hsm.queue allows")]
    Busy,
    /// No HSM answers: refused at once.
    #[error("no HSM answers: {reason}")]
    Lost {
        /// What is wrong with it.
        reason: String,
    },
    /// No result in time. The HSM may still work on it; the result is thrown away.
    #[error("the HSM did not answer within hsm.patience_ms")]
    TimedOut,
    /// The HSM failed, again and again.
    #[error("the HSM failed: {why}")]
    Failed {
        /// What it reported last.
        why: String,
    },
    /// What was to be signed may not be.
    #[error("not signed: {why}")]
    Refused {
        /// Why, in the words of [`crate::Batcher::batch`].
        why: String,
    },
    /// The key for authentication codes is not there or not one to use.
    #[error("{why}")]
    MacKey {
        /// What is wrong with it.
        why: String,
    },
    /// The HSM was closed by this process.
    #[error("the HSM is closed")]
    Closed,
}

/// Why the HSM could not be opened at all: something that no waiting will cure.
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
    /// Two slots are the same.
    #[error("two HSM slots have the token label {label:?} and the same module: remove one")]
    SlotTwice {
        /// The label.
        label: String,
    },
    /// The PKCS#11 module could not be loaded.
    #[error(transparent)]
    Module(#[from] HsmModuleError),
    /// The system gave no thread.
    #[error("cannot start an HSM thread: {0}; raise the limit on threads")]
    Thread(std::io::Error),
}

/// Why a slot is of no use now.
#[derive(Debug, thiserror::Error)]
pub enum HsmSlotError {
    /// The HSM token is not there or did not let us in.
    #[error(transparent)]
    Token(#[from] HsmTokenError),
    /// The signing key is not there or not one to sign with.
    #[error(transparent)]
    Key(#[from] HsmKeyError),
}

impl HsmSlotError {
    /// Whether the HSM gives no more HSM sessions. Those that there are stay good.
    pub(crate) fn is_session_limit(&self) -> bool {
        matches!(self, Self::Token(HsmTokenError::Device { source, .. }) if source.is_session_limit())
    }
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
    #[error("PKCS#11 module {} is already open in this process, and PKCS#11 allows that once: close it first", module.display())]
    AlreadyOpen {
        /// The file as configured.
        module: PathBuf,
    },
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
        "the HSM refused the PIN of token {label:?}; it was tried once and is not tried again before it changes: correct it where \
         it is kept, before the HSM locks"
    )]
    PinRefused {
        /// The HSM token.
        label: String,
    },
    /// The PIN cannot be read where it is kept.
    #[error("the PIN of HSM token {label:?}: {reason}")]
    PinUnreadable {
        /// The HSM token.
        label: String,
        /// Why.
        reason: String,
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

fn list(seen: &[String]) -> String {
    match seen {
        [] => "is none at all".to_owned(),
        [one] => format!("is {one:?}"),
        many => format!("are {}", many.iter().map(|label| format!("{label:?}")).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
