//! Why a publication is refused, as an operator is told.

use std::collections::HashMap;

use cashgate_ledger::AppendError;
use tonic::{Code, Status};

use super::PublishedError;

/// The longest message in a status, in bytes: it goes into an HTTP/2 header. `cashgate policy publish` tells all of it, because it looks by itself first.
const MESSAGE_BYTES_MAX: usize = 2_000;

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishRefusal {
    /// The set is not fit to hold.
    #[error("the set is not fit to hold, and nothing is published: {0}")]
    Invalid(#[from] PublishedError),
    /// Another publication came in between.
    #[error(
        "publication {latest} is the latest: look at it first (`cashgate policy published`), then publish after it"
    )]
    Taken {
        /// Its number.
        latest: u64,
    },
    /// There is no such publication.
    #[error("there is no publication {0}; `cashgate policy published` lists them")]
    Unknown(u64),
    /// The ledger did not take it, or could not be read.
    #[error("it could not be published: {0}")]
    Ledger(String),
    /// The disk is full.
    #[error("the ledger's disk is full: nothing is published until there is room")]
    NoRoom,
    /// Whether it was published is not known.
    #[error("{0}; look at `cashgate policy published` before you publish again")]
    Unanswered(String),
}

impl From<AppendError> for PublishRefusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::PublicationTaken { latest } => Self::Taken { latest },
            AppendError::NoRoom => Self::NoRoom,
            AppendError::Unanswered(_) => Self::Unanswered(error.to_string()),
            other => Self::Ledger(other.to_string()),
        }
    }
}

impl PublishRefusal {
    /// A stable name for programs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "RULES_INVALID",
            Self::Taken { .. } => "PUBLICATION_TAKEN",
            Self::Unknown(_) => "PUBLICATION_UNKNOWN",
            Self::Ledger(_) => "INTERNAL",
            Self::NoRoom => "LEDGER_FULL",
            Self::Unanswered(_) => "LEDGER_UNAVAILABLE",
        }
    }

    const fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidArgument,
            Self::Taken { .. } => Code::FailedPrecondition,
            Self::Unknown(_) => Code::NotFound,
            Self::Ledger(_) => Code::Internal,
            Self::NoRoom | Self::Unanswered(_) => Code::Unavailable,
        }
    }
}

impl From<PublishRefusal> for Status {
    fn from(refusal: PublishRefusal) -> Self {
        let mut metadata = HashMap::new();
        if let PublishRefusal::Taken { latest } = refusal {
            metadata.insert("latest".to_owned(), latest.to_string());
        }
        let mut message = refusal.to_string();
        if message.len() > MESSAGE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
            message.push_str(" ...");
        }
        cashgate_wire::operations::wish_refused(refusal.code(), refusal.reason(), message, metadata)
    }
}
