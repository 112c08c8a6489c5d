//! Why an operator's wish about keys is not granted.

use std::collections::HashMap;

use cashgate_hsm::HsmError;
use cashgate_ledger::AppendError;
use cashgate_withdrawal::ids::KeyId;
use cashgate_withdrawal::time::Timestamp;
use tonic::{Code, Status};

use super::ring::{IllegalBecause, IllegalKeyEvent};

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyRefusal {
    /// No such key.
    #[error("there is no key {0}; `cashgate keys status` lists them")]
    Unknown(KeyId),
    /// It signs.
    #[error("key {0} signs; rotate to another one first")]
    Signs(KeyId),
    /// The key to rotate to is the one that signs.
    #[error("the keys with label {0:?} sign already")]
    LabelSigns(String),
    /// A code under it may still be shown or approved.
    #[error(
        "codes under key {key_id} may be valid until {}; come back then, or retire it `--now` if it may be known to others",
        crate::evidence::time(cashgate_wire::unix_ms(*until))
    )]
    CodesValid {
        /// The key.
        key_id: KeyId,
        /// From when on it may be retired.
        until: Timestamp,
    },
    /// It is retired, for good.
    #[error("key {0} is retired, for good; make another key")]
    Retired(KeyId),
    /// A slot lacks the key.
    #[error("the HSM token {token_label:?} has no such key to sign with: {why}")]
    NotInHsm {
        /// The slot's HSM token.
        token_label: String,
        /// Why.
        why: String,
    },
    /// Nobody can say whether the key is there.
    #[error("no HSM answers: {0}")]
    HsmUnavailable(String),
    /// One at a time.
    #[error("the keys with label {label:?} wait to sign already; let them, or retire them")]
    RotationPending {
        /// What was rotated to.
        label: String,
    },
    /// The key waits.
    #[error("key {0} waits to sign, or is not to")]
    Waiting(KeyId),
    /// Two keys with one id, or one key with two labels.
    #[error("key {0} is known with another public half or label; make another key")]
    IdTaken(KeyId),
    /// Too many at once.
    #[error("too many keys are published; retire some")]
    TooMany,
    /// The ledger did not take it.
    #[error("it could not be made durable: {0}")]
    Ledger(#[from] AppendError),
}

impl KeyRefusal {
    /// A stable name for programs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "KEY_UNKNOWN",
            Self::Signs(_) | Self::LabelSigns(_) => "KEY_IN_USE",
            Self::CodesValid { .. } => "KEY_CODES_VALID",
            Self::Retired(_) => "KEY_RETIRED",
            Self::NotInHsm { .. } => "KEY_NOT_IN_HSM",
            Self::HsmUnavailable(_) => "HSM_UNAVAILABLE",
            Self::RotationPending { .. } | Self::Waiting(_) => "KEY_ROTATION_PENDING",
            Self::IdTaken(_) => "KEY_ID_TAKEN",
            Self::TooMany => "KEYS_TOO_MANY",
            Self::Ledger(_) => "INTERNAL",
        }
    }

    const fn code(&self) -> Code {
        match self {
            Self::Unknown(_) => Code::NotFound,
            Self::HsmUnavailable(_) => Code::Unavailable,
            Self::Ledger(_) => Code::Internal,
            Self::Signs(_)
            | Self::LabelSigns(_)
            | Self::CodesValid { .. }
            | Self::Retired(_)
            | Self::NotInHsm { .. }
            | Self::RotationPending { .. }
            | Self::Waiting(_)
            | Self::IdTaken(_)
            | Self::TooMany => Code::FailedPrecondition,
        }
    }
}

impl From<HsmError> for KeyRefusal {
    fn from(error: HsmError) -> Self {
        Self::HsmUnavailable(error.to_string())
    }
}

impl From<IllegalKeyEvent> for KeyRefusal {
    fn from(illegal: IllegalKeyEvent) -> Self {
        let key_id = illegal.key_id;
        match illegal.why {
            IllegalBecause::Unknown => Self::Unknown(key_id),
            IllegalBecause::Signs | IllegalBecause::OnlySigner => Self::Signs(key_id),
            IllegalBecause::Retired => Self::Retired(key_id),
            IllegalBecause::IdTaken | IllegalBecause::NotItsKey => Self::IdTaken(key_id),
            IllegalBecause::TooMany => Self::TooMany,
            IllegalBecause::Waiting | IllegalBecause::NotScheduled | IllegalBecause::TooEarly => Self::Waiting(key_id),
        }
    }
}

impl From<KeyRefusal> for Status {
    fn from(refusal: KeyRefusal) -> Self {
        let mut metadata = HashMap::new();
        if let KeyRefusal::CodesValid { until, .. } = &refusal {
            metadata.insert("may_be_retired_from_unix_ms".to_owned(), until.unix_ms().to_string());
        }
        cashgate_wire::operations::wish_refused(refusal.code(), refusal.reason(), refusal.to_string(), metadata)
    }
}
