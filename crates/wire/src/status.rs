//! The one mapping from refusals to gRPC: code, words and `google.rpc.ErrorInfo`.

use std::collections::HashMap;
use std::time::Duration;

use cashgate_withdrawal::refusal::Refusal;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of every `ErrorInfo`.
pub const DOMAIN: &str = "cashgate";

/// A refusal as a gRPC status. What failed exactly stays out of it where a customer could exploit it.
#[must_use]
pub fn status(refusal: &Refusal) -> Status {
    let mut metadata = HashMap::new();
    if let Refusal::FieldInvalid { field, .. } = refusal {
        metadata.insert("field".to_owned(), (*field).to_owned());
    }
    let details = ErrorDetails::with_error_info(refusal.reason(), DOMAIN, metadata);
    Status::with_error_details(code(refusal), refusal.to_string(), details)
}

/// The ledger or another part of the gateway failed: the caller cannot know what happened and asks again with the same data.
#[must_use]
pub fn internal() -> Status {
    let details = ErrorDetails::with_error_info("INTERNAL", DOMAIN, HashMap::new());
    Status::with_error_details(Code::Internal, "the gateway failed; the same request may be sent again", details)
}

/// The reason in a status of this gateway, or of a replica of it; none in what the way to it says.
#[must_use]
pub fn reason(status: &Status) -> Option<String> {
    status.get_details_error_info().filter(|info| info.domain == DOMAIN).map(|info| info.reason)
}

/// Another connection with the same identity has taken over.
#[must_use]
pub fn replaced() -> Status {
    let details = ErrorDetails::with_error_info("ATM_REPLACED", DOMAIN, HashMap::new());
    Status::with_error_details(Code::Aborted, "another connection of this ATM has taken over", details)
}

/// The caller asks more often than one peer may; it may go on after `pause`.
#[must_use]
pub fn too_fast(pause: Duration) -> Status {
    let mut details = ErrorDetails::with_error_info("TOO_FAST", DOMAIN, HashMap::new());
    details.set_retry_info(Some(pause));
    Status::with_error_details(Code::ResourceExhausted, "too many requests of this peer; wait before the next", details)
}

/// No catch-all: a new refusal has to be given its code here.
const fn code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::FieldInvalid { .. } | Refusal::QrTokenInvalid => Code::InvalidArgument,
        Refusal::QrTokenExpired
        | Refusal::QrTokenClaimed
        | Refusal::QrSessionEnded
        | Refusal::AtmUnavailable
        | Refusal::AtmBusy
        | Refusal::DispenseKeyMissing
        | Refusal::ScanRequired
        | Refusal::AmountNotDispensable
        | Refusal::AmountDiffers
        | Refusal::CurrencyDiffers
        | Refusal::TooLate
        | Refusal::NotASuspect
        | Refusal::HelloMissing
        | Refusal::OutcomeContradicts { .. }
        | Refusal::DeviceRevoked => Code::FailedPrecondition,
        Refusal::QrSessionUnknown | Refusal::WithdrawalUnknown | Refusal::DeviceUnknown | Refusal::StopUnknown => {
            Code::NotFound
        }
        Refusal::HsmUnavailable | Refusal::Overloaded | Refusal::LedgerFull | Refusal::Stopped { .. } => {
            Code::Unavailable
        }
        // Not UNAVAILABLE: clients repeat that elsewhere as if nothing had been done.
        Refusal::OutcomeUnknown => Code::Unknown,
        Refusal::LimitExceeded { .. } => Code::ResourceExhausted,
        Refusal::NotAllowed { .. } | Refusal::IdentityNotAllowed { .. } => Code::PermissionDenied,
        Refusal::IdentityUnknown { .. } => Code::Unauthenticated,
    }
}

/// A gRPC code as the gRPC specification and OpenTelemetry's semantic conventions spell it.
#[must_use]
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_customer_side_does_not_learn_which_factor_failed() {
        let one = status(&Refusal::NotAllowed { factor: "signature" });
        let other = status(&Refusal::NotAllowed { factor: "device_revoked" });
        assert_eq!((one.code(), one.message(), one.details()), (other.code(), other.message(), other.details()));
        let (one, other) = (Refusal::LimitExceeded { limit: "per_day" }, Refusal::LimitExceeded { limit: "too_fast" });
        assert_eq!(status(&one).message(), status(&other).message());
        assert_ne!(one.factor(), other.factor(), "the operator does");
    }

    #[test]
    fn an_invalid_field_is_named() {
        let status = status(&Refusal::FieldInvalid { field: "amount", detail: "is missing".into() });
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str()), (Code::InvalidArgument, "FIELD_INVALID"));
        assert_eq!(info.metadata["field"], "amount");
        assert_eq!(status.message(), "amount: is missing");
    }
}
