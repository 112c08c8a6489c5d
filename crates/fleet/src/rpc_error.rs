//! A refused call as a caller reads it: the gRPC code, and the reason out of `google.rpc.ErrorInfo`.

use std::collections::BTreeMap;

use cashgate_wire::causes;
use cashgate_wire::status::code_name;
use serde::Serialize;
use tonic::Status;
use tonic_types::StatusExt;

/// A refused call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RpcError {
    /// The gRPC code, such as `FAILED_PRECONDITION`.
    pub code: &'static str,
    /// The stable reason, such as `QR_TOKEN_EXPIRED`; empty if the answer carries none.
    pub reason: String,
    /// The text for an engineer.
    pub message: String,
    /// What else the answer carries, such as `field`.
    pub metadata: BTreeMap<String, String>,
}

impl From<&Status> for RpcError {
    fn from(status: &Status) -> Self {
        let info = status.get_details_error_info();
        let (reason, metadata) = info.map(|info| (info.reason, info.metadata)).unwrap_or_default();
        Self {
            code: code_name(status.code()),
            reason,
            message: status.message().to_owned(),
            metadata: metadata.into_iter().collect(),
        }
    }
}

/// Why a call came to nothing, with what lies behind it: of a connection that does not come up the status alone says `transport error`, and its
/// last source says which certificate was not believed, or that nobody listens.
#[must_use]
pub fn why(status: &Status) -> String {
    let (message, last) = (status.message(), causes::last(status));
    let is_new = std::error::Error::source(status).is_some() && last != message;
    if is_new {
        format!("{}: {message}: {last}", code_name(status.code()))
    } else {
        format!("{}: {message}", code_name(status.code()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;
    use tonic_types::ErrorDetails;

    #[test]
    fn reads_the_reason_and_its_metadata() {
        let details =
            ErrorDetails::with_error_info("FIELD_INVALID", "cashgate", [("field".to_owned(), "amount".to_owned())]);
        let status = Status::with_error_details(Code::InvalidArgument, "amount is zero", details);
        let error = RpcError::from(&status);
        assert_eq!((error.code, error.reason.as_str()), ("INVALID_ARGUMENT", "FIELD_INVALID"));
        assert_eq!(error.metadata.get("field").map(String::as_str), Some("amount"));
    }

    #[test]
    fn what_lies_behind_a_connection_that_does_not_come_up_is_told() {
        assert_eq!(why(&Status::unimplemented("not here")), "UNIMPLEMENTED: not here");
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let said = why(&Status::from_error(Box::new(refused)));
        assert!(said.contains("connection refused"), "{said}");
    }

    #[test]
    fn an_answer_without_details_has_no_reason() {
        let error = RpcError::from(&Status::unavailable("gone"));
        assert_eq!((error.code, error.reason.as_str(), error.message.as_str()), ("UNAVAILABLE", "", "gone"));
    }
}
