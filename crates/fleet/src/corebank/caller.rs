//! Who calls: only the gateway may.

use tonic::{Code, Request, Status};
use tonic_types::{ErrorDetails, StatusExt};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The URI SAN of the gateway's certificate (SPIFFE), in whatever trust domain: which one it is, the authority decides.
const GATEWAY_IDENTITY: &str = "spiffe://<trust domain>/gateway";

/// Refuses a caller whose certificate is not the gateway's. That the authority signed it, TLS has checked already.
pub(super) fn require_gateway<T>(request: &Request<T>) -> Result<(), Status> {
    let chain = request.peer_certs();
    let Some(certificate) = chain.as_ref().and_then(|chain| chain.first()) else {
        return Err(refusal(Code::Unauthenticated, "CERTIFICATE_MISSING", "call with the gateway's certificate"));
    };
    if is_gateway(certificate.as_ref()) {
        return Ok(());
    }
    let message = format!("the caller's certificate has not the URI SAN {GATEWAY_IDENTITY}");
    Err(refusal(Code::PermissionDenied, "IDENTITY_NOT_ALLOWED", message))
}

fn is_gateway(der: &[u8]) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return false };
    names.value.general_names.iter().any(|name| matches!(name, GeneralName::URI(uri) if names_gateway(uri)))
}

fn names_gateway(uri: &str) -> bool {
    let identity = uri.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/'));
    identity.is_some_and(|(domain, path)| !domain.is_empty() && path == "gateway")
}

/// A status with the reason that every interface of Cashgate carries.
pub(super) fn refusal(code: Code, reason: &str, message: impl Into<String>) -> Status {
    let details = ErrorDetails::with_error_info(reason, "cashgate", std::collections::HashMap::new());
    Status::with_error_details(code, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_gateways_identity_is_taken_in_whatever_trust_domain() {
        for (uri, taken) in [
            ("spiffe://cashgate.test/gateway", true),
            ("spiffe://atm.bank.example/gateway", true),
            ("spiffe:///gateway", false),
            ("spiffe://cashgate.test/atm/gateway", false),
            ("spiffe://cashgate.test/institution/sakura", false),
            ("https://cashgate.test/gateway", false),
        ] {
            assert_eq!(names_gateway(uri), taken, "{uri}");
        }
    }
}
