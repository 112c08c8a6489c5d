//! Refusals as gRPC statuses: what each is, and what none of them tells.

use cashgate_wire::status::{DOMAIN, internal, replaced, status};
use cashgate_withdrawal::refusal::Refusal;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// What callers have compiled in. A new refusal has to be given its row here; a row never changes.
const fn promised(refusal: &Refusal) -> (Code, &'static str) {
    match refusal {
        Refusal::FieldInvalid { .. } => (Code::InvalidArgument, "FIELD_INVALID"),
        Refusal::QrTokenInvalid => (Code::InvalidArgument, "QR_TOKEN_INVALID"),
        Refusal::QrTokenExpired => (Code::FailedPrecondition, "QR_TOKEN_EXPIRED"),
        Refusal::QrTokenClaimed => (Code::FailedPrecondition, "QR_TOKEN_CLAIMED"),
        Refusal::QrSessionEnded => (Code::FailedPrecondition, "QR_SESSION_ENDED"),
        Refusal::QrSessionUnknown => (Code::NotFound, "QR_SESSION_UNKNOWN"),
        Refusal::AtmUnavailable => (Code::FailedPrecondition, "ATM_UNAVAILABLE"),
        Refusal::AtmBusy => (Code::FailedPrecondition, "ATM_BUSY"),
        Refusal::HsmUnavailable => (Code::Unavailable, "HSM_UNAVAILABLE"),
        Refusal::DispenseKeyMissing => (Code::FailedPrecondition, "DISPENSE_KEY_MISSING"),
        Refusal::ScanRequired => (Code::FailedPrecondition, "SCAN_REQUIRED"),
        Refusal::AmountNotDispensable => (Code::FailedPrecondition, "AMOUNT_NOT_DISPENSABLE"),
        Refusal::AmountDiffers => (Code::FailedPrecondition, "AMOUNT_DIFFERS"),
        Refusal::CurrencyDiffers => (Code::FailedPrecondition, "CURRENCY_DIFFERS"),
        Refusal::LimitExceeded { .. } => (Code::ResourceExhausted, "LIMIT_EXCEEDED"),
        Refusal::Stopped { .. } => (Code::Unavailable, "STOPPED"),
        Refusal::StopUnknown => (Code::NotFound, "STOP_UNKNOWN"),
        Refusal::NotAllowed { .. } => (Code::PermissionDenied, "NOT_ALLOWED"),
        Refusal::TooLate => (Code::FailedPrecondition, "TOO_LATE"),
        Refusal::WithdrawalUnknown => (Code::NotFound, "WITHDRAWAL_UNKNOWN"),
        Refusal::NotASuspect => (Code::FailedPrecondition, "NOT_A_SUSPECT"),
        Refusal::DeviceRevoked => (Code::FailedPrecondition, "DEVICE_REVOKED"),
        Refusal::DeviceUnknown => (Code::NotFound, "DEVICE_UNKNOWN"),
        Refusal::IdentityUnknown { .. } => (Code::Unauthenticated, "IDENTITY_UNKNOWN"),
        Refusal::HelloMissing => (Code::FailedPrecondition, "HELLO_MISSING"),
        Refusal::LedgerFull => (Code::Unavailable, "LEDGER_FULL"),
        Refusal::IdentityNotAllowed { .. } => (Code::PermissionDenied, "IDENTITY_NOT_ALLOWED"),
        Refusal::Overloaded => (Code::Unavailable, "OVERLOADED"),
        Refusal::OutcomeUnknown => (Code::Unknown, "OUTCOME_UNKNOWN"),
        Refusal::OutcomeContradicts { .. } => (Code::FailedPrecondition, "OUTCOME_CONTRADICTS"),
    }
}

/// The refusal after this one, in the order of the enum, so that none can be left out: a chain through all of them.
fn next(refusal: &Refusal) -> Option<Refusal> {
    Some(match refusal {
        Refusal::FieldInvalid { .. } => Refusal::QrTokenInvalid,
        Refusal::QrTokenInvalid => Refusal::QrTokenExpired,
        Refusal::QrTokenExpired => Refusal::QrTokenClaimed,
        Refusal::QrTokenClaimed => Refusal::QrSessionEnded,
        Refusal::QrSessionEnded => Refusal::QrSessionUnknown,
        Refusal::QrSessionUnknown => Refusal::AtmUnavailable,
        Refusal::AtmUnavailable => Refusal::AtmBusy,
        Refusal::AtmBusy => Refusal::HsmUnavailable,
        Refusal::HsmUnavailable => Refusal::DispenseKeyMissing,
        Refusal::DispenseKeyMissing => Refusal::ScanRequired,
        Refusal::ScanRequired => Refusal::AmountNotDispensable,
        Refusal::AmountNotDispensable => Refusal::AmountDiffers,
        Refusal::AmountDiffers => Refusal::CurrencyDiffers,
        Refusal::CurrencyDiffers => Refusal::LimitExceeded { limit: "per_day" },
        Refusal::LimitExceeded { .. } => Refusal::Stopped { scope: "atm" },
        Refusal::Stopped { .. } => Refusal::NotAllowed { factor: "signature" },
        Refusal::NotAllowed { .. } => Refusal::TooLate,
        Refusal::TooLate => Refusal::WithdrawalUnknown,
        Refusal::WithdrawalUnknown => Refusal::NotASuspect,
        Refusal::NotASuspect => Refusal::DeviceRevoked,
        Refusal::DeviceRevoked => Refusal::DeviceUnknown,
        Refusal::DeviceUnknown => Refusal::StopUnknown,
        Refusal::StopUnknown => Refusal::IdentityUnknown { why: "no URI name".into() },
        Refusal::IdentityUnknown { .. } => Refusal::HelloMissing,
        Refusal::HelloMissing => Refusal::IdentityNotAllowed { needed: "operator/<name>" },
        Refusal::IdentityNotAllowed { .. } => Refusal::Overloaded,
        Refusal::Overloaded => Refusal::OutcomeUnknown,
        Refusal::OutcomeUnknown => Refusal::LedgerFull,
        Refusal::LedgerFull => Refusal::OutcomeContradicts { state: "confirmed" },
        Refusal::OutcomeContradicts { .. } => return None,
    })
}

pub(crate) fn every_refusal() -> Vec<Refusal> {
    let first = Refusal::FieldInvalid { field: "hello.name", detail: "must have 1 to 64 bytes".into() };
    std::iter::successors(Some(first), next).collect()
}

#[test]
fn every_refusal_has_its_code_and_its_reason() {
    let refusals = every_refusal();
    assert_eq!(refusals.len(), 30);
    for refusal in refusals {
        let (status, (code, reason)) = (status(&refusal), promised(&refusal));
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str(), refusal.reason()), (code, reason, reason));
        assert_eq!((info.domain.as_str(), status.message()), (DOMAIN, refusal.to_string().as_str()));
        let field = info.metadata.get("field").map(String::as_str);
        let named = if reason == "FIELD_INVALID" { Some("hello.name") } else { None };
        assert_eq!((field, info.metadata.len()), (named, usize::from(named.is_some())), "{reason}");
    }
}

#[test]
fn no_two_refusals_share_a_reason() {
    let mut reasons: Vec<_> = every_refusal().iter().map(Refusal::reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), every_refusal().len());
}

#[test]
fn a_refusal_does_not_pass_for_an_outcome_that_nobody_knows() {
    // A caller that gets one of these may not conclude that nothing happened.
    for refusal in every_refusal().into_iter().filter(|refusal| *refusal != Refusal::OutcomeUnknown) {
        let code = status(&refusal).code();
        assert!(!matches!(code, Code::Ok | Code::Unknown | Code::Internal | Code::DeadlineExceeded), "{refusal}");
    }
}

/// Everything that leaves the machine with a status, and everything that printing it would show.
fn all_bytes(status: Status) -> Vec<u8> {
    let mut bytes = format!("{status:?} {status}").into_bytes();
    bytes.extend_from_slice(status.message().as_bytes());
    bytes.extend_from_slice(status.details());
    for (name, value) in status.into_http::<()>().headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(value.as_bytes());
    }
    bytes
}

#[test]
fn the_customers_side_learns_neither_the_factor_nor_the_limit() {
    let factors = [
        "signature",
        "device_unknown",
        "device_revoked",
        "institution_unknown",
        "no_random_bits",
        "policy",
        "per_day",
        "too_fast",
        "",
        "a factor that has 37 characters in it",
    ];
    let pairs: [fn(&'static str) -> Refusal; 2] =
        [|factor| Refusal::NotAllowed { factor }, |limit| Refusal::LimitExceeded { limit }];
    for refusal in pairs {
        let plain = all_bytes(status(&refusal("zq7")));
        assert!(!plain.windows(3).any(|window| window == b"zq7"));
        for factor in factors {
            assert_eq!(all_bytes(status(&refusal(factor))), plain, "{factor} can be told from another");
            assert_eq!(refusal(factor).factor(), factor, "the operator is told");
        }
    }
}

#[test]
fn what_is_no_refusal_has_a_code_and_a_reason_too() {
    let check = |status: Status, code, reason: &str| {
        let info = status.get_details_error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, DOMAIN));
        assert!(!status.message().is_empty());
    };
    check(internal(), Code::Internal, "INTERNAL");
    check(replaced(), Code::Aborted, "ATM_REPLACED");
}
