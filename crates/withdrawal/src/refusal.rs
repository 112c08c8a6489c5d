//! Why a request is refused. Each refusal has a stable reason for machines; how it is told to whom is `wire`'s business.

/// A refused request. Nothing was reserved or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field has no meaning.
    #[error("{field}: {detail}")]
    FieldInvalid {
        /// The field's path in the message.
        field: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The scanned text is no QR token, or not one of ours.
    #[error("the code is not a QR token of this network")]
    QrTokenInvalid,
    /// The token's lifetime is over.
    #[error("the code has expired; scan the one that the ATM shows now")]
    QrTokenExpired,
    /// Another device, or another approval, was first.
    #[error("the code has been claimed already")]
    QrTokenClaimed,
    /// The QR session that the token belongs to is over.
    #[error("the ATM no longer shows this code; start again at the ATM")]
    QrSessionEnded,
    /// There is no such QR session, or it is not the caller's.
    #[error("there is no such QR session")]
    QrSessionUnknown,
    /// The ATM is not connected.
    #[error("the ATM is not connected")]
    AtmUnavailable,
    /// The ATM is serving a customer.
    #[error("the ATM is still serving a customer")]
    AtmBusy,
    /// No code can be signed now.
    #[error("no code can be signed at present")]
    HsmUnavailable,
    /// The ATM's dispenser demands end-to-end security, and there is no key for it.
    #[error("the HSM has no dispense key for this ATM")]
    DispenseKeyMissing,
    /// The device has not scanned the code.
    #[error("the device has to scan the code first")]
    ScanRequired,
    /// The cassettes cannot make the amount.
    #[error("the ATM cannot make this amount; see denominations and amount_max of the scan")]
    AmountNotDispensable,
    /// Another amount was chosen at the ATM.
    #[error("another amount was chosen at the ATM")]
    AmountDiffers,
    /// The ATM or the account has another currency.
    #[error("the ATM or the account has another currency")]
    CurrencyDiffers,
    /// A limit is reached. Which one is for the operator alone.
    #[error("a limit of the account is reached")]
    LimitExceeded {
        /// The limit, for logs and metrics.
        limit: &'static str,
    },
    /// Withdrawals are stopped, for everybody or at this ATM or institution.
    #[error("withdrawals are stopped at present; try again later")]
    Stopped {
        /// What is stopped, for logs and metrics.
        scope: &'static str,
    },
    /// The approval is not accepted. Which factor failed is for the operator alone.
    #[error("the approval is not accepted")]
    NotAllowed {
        /// The factor, for logs and metrics.
        factor: &'static str,
    },
    /// The dispense command has been given.
    #[error("it is too late to cancel: the ATM has been told to pay out")]
    TooLate,
    /// There is no such withdrawal, or it is not the caller's.
    #[error("there is no such withdrawal")]
    WithdrawalUnknown,
    /// Only a suspect can be resolved.
    #[error("the withdrawal is not a suspect")]
    NotASuspect,
    /// The device was revoked and cannot come back.
    #[error("the device was revoked; register a new device id")]
    DeviceRevoked,
    /// There is no such device.
    #[error("there is no such device")]
    DeviceUnknown,
    /// Nothing of exactly this scope is stopped.
    #[error("there is no stop of exactly this scope; ListStops (`cashgate stops`) shows those there are")]
    StopUnknown,
    /// The caller's certificate names nobody.
    #[error("the caller's certificate names nobody: {why}")]
    IdentityUnknown {
        /// What is wrong with it.
        why: String,
    },
    /// An ATM's stream did not begin with Hello.
    #[error("the first message of the stream must be hello, within 10 seconds")]
    HelloMissing,
    /// The caller's certificate does not allow this.
    #[error("the caller's certificate does not allow this: {needed} is needed")]
    IdentityNotAllowed {
        /// Whose certificate would.
        needed: &'static str,
    },
    /// The gateway is stopping or cannot keep up.
    #[error("the gateway cannot take this now; try again")]
    Overloaded,
    /// The request went to another replica of the gateway, and no answer came back: whether it was done is not known. The same request again finds out.
    #[error("whether this was done is not known; send the same request again, or watch the withdrawal")]
    OutcomeUnknown,
    /// The ledger's disk is full; what is left of it is kept for the outcomes of open withdrawals.
    #[error("no new withdrawal can be recorded at present; try again later")]
    LedgerFull,
    /// An ATM reported something that does not fit what is known; its report was not recorded.
    #[error("the report does not fit the withdrawal, which is {state}")]
    OutcomeContradicts {
        /// The withdrawal's state.
        state: &'static str,
    },
}

impl Refusal {
    /// The stable reason, as `google.rpc.ErrorInfo.reason` carries it.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::FieldInvalid { .. } => "FIELD_INVALID",
            Self::QrTokenInvalid => "QR_TOKEN_INVALID",
            Self::QrTokenExpired => "QR_TOKEN_EXPIRED",
            Self::QrTokenClaimed => "QR_TOKEN_CLAIMED",
            Self::QrSessionEnded => "QR_SESSION_ENDED",
            Self::QrSessionUnknown => "QR_SESSION_UNKNOWN",
            Self::AtmUnavailable => "ATM_UNAVAILABLE",
            Self::AtmBusy => "ATM_BUSY",
            Self::HsmUnavailable => "HSM_UNAVAILABLE",
            Self::DispenseKeyMissing => "DISPENSE_KEY_MISSING",
            Self::ScanRequired => "SCAN_REQUIRED",
            Self::AmountNotDispensable => "AMOUNT_NOT_DISPENSABLE",
            Self::AmountDiffers => "AMOUNT_DIFFERS",
            Self::CurrencyDiffers => "CURRENCY_DIFFERS",
            Self::LimitExceeded { .. } => "LIMIT_EXCEEDED",
            Self::Stopped { .. } => "STOPPED",
            Self::NotAllowed { .. } => "NOT_ALLOWED",
            Self::TooLate => "TOO_LATE",
            Self::WithdrawalUnknown => "WITHDRAWAL_UNKNOWN",
            Self::NotASuspect => "NOT_A_SUSPECT",
            Self::DeviceRevoked => "DEVICE_REVOKED",
            Self::DeviceUnknown => "DEVICE_UNKNOWN",
            Self::StopUnknown => "STOP_UNKNOWN",
            Self::IdentityUnknown { .. } => "IDENTITY_UNKNOWN",
            Self::HelloMissing => "HELLO_MISSING",
            Self::IdentityNotAllowed { .. } => "IDENTITY_NOT_ALLOWED",
            Self::Overloaded => "OVERLOADED",
            Self::OutcomeUnknown => "OUTCOME_UNKNOWN",
            Self::LedgerFull => "LEDGER_FULL",
            Self::OutcomeContradicts { .. } => "OUTCOME_CONTRADICTS",
        }
    }

    /// What failed exactly: for logs and metrics, never for the customer's side.
    #[must_use]
    pub const fn factor(&self) -> &'static str {
        match self {
            Self::LimitExceeded { limit } => limit,
            Self::Stopped { scope } => scope,
            Self::NotAllowed { factor } => factor,
            Self::FieldInvalid { field, .. } => field,
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_exactly_is_known_to_the_operator_and_not_told_to_the_customer() {
        let rows = [
            (Refusal::LimitExceeded { limit: "per_day" }, "LIMIT_EXCEEDED", "per_day"),
            (Refusal::NotAllowed { factor: "new_device" }, "NOT_ALLOWED", "new_device"),
            (Refusal::AtmBusy, "ATM_BUSY", ""),
        ];
        for (refusal, reason, factor) in rows {
            assert_eq!((refusal.reason(), refusal.factor()), (reason, factor));
            assert!(factor.is_empty() || !refusal.to_string().contains(factor), "{refusal}");
        }
        let refusal = Refusal::FieldInvalid { field: "amount", detail: "is negative".into() };
        assert_eq!((refusal.factor(), refusal.to_string().as_str()), ("amount", "amount: is negative"));
    }
}
