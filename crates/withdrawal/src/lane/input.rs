//! What goes into a lane.

use std::sync::Arc;

use crate::cassettes::Cassettes;
use crate::dispense::OutcomeReport;
use crate::event::{Event, Settlement};
use crate::evidence::{DispenseToken, EvidenceGrade};
use crate::ids::{
    AccountId, CommandNonce, DeviceId, HoldReference, InstitutionId, KeyId, Nonce, OperatorName, QrSessionId,
    QrTokenDigest, ReasonCode, WithdrawalId,
};
use crate::location::Location;
use crate::money::Money;
use crate::stop::StopScope;
use crate::time::Timestamp;
use crate::withdrawal::Withdrawal;

/// One connection of an ATM; a later one has a higher number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(pub u64);

/// One waiting caller, so that the answer finds its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// What an ATM says of itself when it connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtmFacts {
    /// Its name for customers.
    pub name: String,
    /// Where it stands.
    pub place: String,
    /// What it can pay out.
    pub cassettes: Cassettes,
    /// The point at which it stands, if it says so.
    pub location: Option<Location>,
    /// Whether its dispenser demands XFS4IoT end-to-end security.
    pub end_to_end: bool,
    /// The best evidence that it can give of what became of a command.
    pub evidence_grade: EvidenceGrade,
}

/// Something that happened around the lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The ATM connected.
    AtmConnected {
        /// The connection.
        link: LinkId,
        /// What it says of itself.
        facts: AtmFacts,
        /// Reports that it has no acknowledgement for.
        unresolved: Vec<(WithdrawalId, OutcomeReport)>,
    },
    /// A connection of the ATM ended.
    AtmDisconnected {
        /// Which one; an older one than the present changes nothing.
        link: LinkId,
    },
    /// The ATM said something.
    AtmSaid {
        /// On which connection; an older one than the present is not heard.
        link: LinkId,
        /// What.
        message: FromAtm,
    },
    /// The HSM signed a code.
    CodeMinted(MintedCode),
    /// The HSM did not.
    MintFailed {
        /// For which QR session.
        qr_session: QrSessionId,
    },
    /// The HSM made a dispense token.
    DispenseTokenMade {
        /// For which withdrawal.
        withdrawal: WithdrawalId,
        /// The token.
        token: DispenseToken,
    },
    /// The HSM did not.
    DispenseTokenFailed {
        /// For which withdrawal.
        withdrawal: WithdrawalId,
    },
    /// A report whose present token went to the HSM, with what was found.
    PresentTokenVerified {
        /// On which withdrawal.
        withdrawal: WithdrawalId,
        /// What it says.
        report: OutcomeReport,
    },
    /// A customer scanned a code.
    Scanned(Scan),
    /// A customer approved an amount.
    Approved(Approval),
    /// An approval came whose signature is not that of the phone that scanned.
    ApprovalFailed(FailedApproval),
    /// The kill switch was thrown, or a phone's right to approve ended.
    Stopped(StopScope),
    /// A customer cancelled.
    Cancelled(Cancellation),
    /// Core banking answered a hold request, or did not.
    HoldAnswered {
        /// Which withdrawal.
        withdrawal: WithdrawalId,
        /// The answer.
        answer: HoldAnswer,
    },
    /// Core banking answered a confirmation or reversal, or did not.
    SettlementAnswered {
        /// Which withdrawal.
        withdrawal: WithdrawalId,
        /// What it had been asked.
        settlement: Settlement,
        /// The answer.
        answer: SettlementAnswer,
    },
    /// A withdrawal of this ATM that is not open, read back because the ATM reported on it; `None` if there is none.
    Recalled {
        /// The withdrawal.
        withdrawal: Option<Box<Withdrawal>>,
        /// Which one it was to be.
        id: WithdrawalId,
        /// The report.
        report: OutcomeReport,
    },
    /// A person decided about a suspect.
    Resolved(Resolution),
    /// Nothing but time passed.
    TimePassed,
}

/// What an ATM says, but for its first message and the reports in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromAtm {
    /// A customer is there.
    StartQrSession {
        /// The amount, if it was chosen at the ATM.
        amount: Option<Money>,
        /// The dispenser's command nonce for this customer.
        command_nonce: Option<CommandNonce>,
        /// A fresh random id for the QR session, should it begin.
        fresh: QrSessionId,
    },
    /// The customer left.
    EndQrSession {
        /// Which QR session.
        qr_session: QrSessionId,
    },
    /// A code was typed.
    EnterConfirmCode {
        /// For which withdrawal.
        withdrawal: WithdrawalId,
        /// The code.
        code: ConfirmCode,
    },
    /// A report.
    Outcome {
        /// On which withdrawal.
        withdrawal: WithdrawalId,
        /// What it says.
        report: OutcomeReport,
    },
    /// The cassettes changed.
    UpdateCassettes {
        /// What they hold now.
        cassettes: Cassettes,
    },
}

/// Four digits that the app shows and the customer types at the ATM.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ConfirmCode(pub [u8; 4]);

impl ConfirmCode {
    /// A code out of random bits; each of the 10,000 is as likely as the others but for one part in 400,000.
    #[must_use]
    pub fn from_random(bits: u32) -> Self {
        let digit = |place: u32| b'0' + u8::try_from(bits / place % 10).unwrap_or(0);
        Self([digit(1_000), digit(100), digit(10), digit(1)])
    }

    /// A code as it is typed: exactly four digits.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let digits: [u8; 4] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::fmt::Debug for ConfirmCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ConfirmCode(....)")
    }
}

/// A signed code, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintedCode {
    /// For which QR session.
    pub qr_session: QrSessionId,
    /// The text of the QR code.
    pub text: Arc<str>,
    /// Its digest.
    pub digest: QrTokenDigest,
    /// From this moment on it is not accepted.
    pub expires_at: Timestamp,
}

/// A token that was verified under a published key: what of it the lane needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedCode {
    /// The QR session that it belongs to.
    pub qr_session: QrSessionId,
    /// Its digest.
    pub digest: QrTokenDigest,
    /// Its nonce.
    pub nonce: Nonce,
    /// The key under which it verified.
    pub key: KeyId,
    /// From this moment on it is not accepted.
    pub expires_at: Timestamp,
}

/// A scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Who waits for the answer.
    pub request: RequestId,
    /// The verified token.
    pub code: VerifiedCode,
    /// Whose customer.
    pub institution: InstitutionId,
    /// Which phone.
    pub device: DeviceId,
}

/// An approval whose signature was verified under the device's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Who waits for the answer.
    pub request: RequestId,
    /// A fresh id for the withdrawal, should it begin.
    pub fresh: WithdrawalId,
    /// The verified token.
    pub code: VerifiedCode,
    /// Whose customer.
    pub institution: InstitutionId,
    /// From which account.
    pub account: AccountId,
    /// Which phone.
    pub device: DeviceId,
    /// How much.
    pub amount: Money,
    /// Where the phone says it is. Not part of what was signed.
    pub location: Option<Location>,
}

/// An approval that was not the phone's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedApproval {
    /// Who waits to hear whether it was counted.
    pub request: RequestId,
    /// The verified token.
    pub code: VerifiedCode,
    /// Whose customer.
    pub institution: InstitutionId,
    /// Which phone it was said to be.
    pub device: DeviceId,
}

/// A cancellation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// Who waits for the answer.
    pub request: RequestId,
    /// Whose customer.
    pub institution: InstitutionId,
    /// Which phone.
    pub device: DeviceId,
    /// What is to be cancelled.
    pub subject: CancelSubject,
}

/// What is to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelSubject {
    /// A scanned QR session.
    QrSession(QrSessionId),
    /// A withdrawal.
    Withdrawal(WithdrawalId),
}

/// A person's decision about a suspect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Who waits for the answer.
    pub request: RequestId,
    /// Which withdrawal.
    pub withdrawal: WithdrawalId,
    /// The decision.
    pub settlement: Settlement,
    /// Who decided.
    pub operator: OperatorName,
    /// Why.
    pub reason: String,
}

/// Core banking's answer to a hold request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldAnswer {
    /// The money is held.
    Granted(HoldReference),
    /// It is not.
    Declined(ReasonCode),
    /// No answer: a time-out, or a broken connection after the request may have left.
    Unanswered,
}

impl From<HoldAnswer> for Event {
    fn from(answer: HoldAnswer) -> Self {
        match answer {
            HoldAnswer::Granted(hold) => Self::HoldGranted { hold },
            HoldAnswer::Declined(code) => Self::HoldDeclined { code },
            HoldAnswer::Unanswered => Self::HoldUnanswered,
        }
    }
}

/// Core banking's answer to a confirmation or reversal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettlementAnswer {
    /// It is done.
    Done,
    /// It cannot be done.
    Refused(ReasonCode),
    /// No answer.
    Unanswered,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_last_four_digits_of_a_random_number() {
        for (bits, code) in [(0, "0000"), (7, "0007"), (4_711, "4711"), (1_234_567, "4567"), (u32::MAX, "7295")] {
            assert_eq!(ConfirmCode::from_random(bits).as_str(), code, "{bits}");
        }
    }

    #[test]
    fn a_code_is_typed_as_exactly_four_digits() {
        assert_eq!(ConfirmCode::from_text("0471"), Some(ConfirmCode(*b"0471")));
        for text in ["", "471", "04711", "47 1", "47a1", "４７１１", "-471", "+471"] {
            assert_eq!(ConfirmCode::from_text(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_code_does_not_print() {
        assert_eq!(format!("{:?}", ConfirmCode(*b"4711")), "ConfirmCode(....)");
    }
}
