//! A refused call as a caller reads it: the gRPC code, and the reason out of `google.rpc.ErrorInfo`.

use std::collections::BTreeMap;

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
    fn an_answer_without_details_has_no_reason() {
        let error = RpcError::from(&Status::unavailable("gone"));
        assert_eq!((error.code, error.reason.as_str(), error.message.as_str()), ("UNAVAILABLE", "", "gone"));
    }
}
