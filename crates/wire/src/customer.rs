//! The app back end's requests.

use cashgate_withdrawal::ids::{AccountId, DeviceId, QrSessionId, ReasonCode, WithdrawalId};
use cashgate_withdrawal::lane::{AtmFacts, CancelSubject};
use cashgate_withdrawal::location::Location;
use cashgate_withdrawal::money::Money;
use cashgate_withdrawal::refusal::Refusal;
use cashgate_withdrawal::time::Timestamp;
use cashgate_withdrawal::withdrawal::Withdrawal;

use crate::fields::{id, invalid, moment, money_to, optional_id, optional_location, positive_money, unix_ms};
use crate::proto::customer::v1 as pb;

/// The longest scanned text, in bytes.
pub const QR_TEXT_LENGTH_MAX: usize = 766;
/// The longest DER signature of P-256, in bytes.
pub const SIGNATURE_LENGTH_MAX: usize = 72;
/// The longest word for how an app was activated, in characters.
pub const ACTIVATION_CHANNEL_LENGTH_MAX: usize = 24;
/// The longest public key, in bytes.
pub const PUBLIC_KEY_LENGTH_MAX: usize = 256;

/// An encrypted PIN on its way through. It has no accessors and does not print: nothing here may look at it.
#[derive(Clone, PartialEq)]
pub struct PinBlock(pb::PinBlock);

impl From<pb::PinBlock> for PinBlock {
    fn from(message: pb::PinBlock) -> Self {
        Self(message)
    }
}

impl PinBlock {
    pub(crate) fn into_message(self) -> pb::PinBlock {
        self.0
    }
}

impl std::fmt::Debug for PinBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PinBlock(..)")
    }
}

impl std::fmt::Debug for pb::PinBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PinBlock(..)")
    }
}

/// A phone to be made known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterDevice {
    /// Its id.
    pub device: DeviceId,
    /// Its public key, SubjectPublicKeyInfo in DER.
    pub public_key: Vec<u8>,
    /// When the institution bound it.
    pub bound_at: Timestamp,
    /// How the app was activated, in the institution's own word; empty if it did not say.
    pub channel: String,
    /// What the platform's attestation said, if it was asked.
    pub attestation: Option<bool>,
}

/// Reads a registration.
pub fn register_device(request: pb::RegisterDeviceRequest) -> Result<RegisterDevice, Refusal> {
    if request.public_key.is_empty() || request.public_key.len() > PUBLIC_KEY_LENGTH_MAX {
        return Err(invalid("public_key", format!("must have 1 to {PUBLIC_KEY_LENGTH_MAX} bytes")));
    }
    let channel: Option<ReasonCode> = optional_id("activation_channel", &request.activation_channel)?;
    if request.activation_channel.len() > ACTIVATION_CHANNEL_LENGTH_MAX {
        return Err(invalid(
            "activation_channel",
            format!("must have at most {ACTIVATION_CHANNEL_LENGTH_MAX} characters"),
        ));
    }
    let attestation = match pb::Attestation::try_from(request.attestation) {
        Ok(pb::Attestation::Unspecified) => None,
        Ok(pb::Attestation::Passed) => Some(true),
        Ok(pb::Attestation::Failed) => Some(false),
        Err(_) => return Err(invalid("attestation", "is unknown")),
    };
    Ok(RegisterDevice {
        device: id("device_id", &request.device_id)?,
        public_key: request.public_key,
        bound_at: moment("bound_at_unix_ms", request.bound_at_unix_ms)?,
        channel: channel.map(|word| word.to_string()).unwrap_or_default(),
        attestation,
    })
}

/// A scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRequest {
    /// The scanned text.
    pub qr_text: String,
    /// The phone.
    pub device: DeviceId,
    /// The account.
    pub account: AccountId,
}

/// Reads a scan.
pub fn scan(request: pb::ScanRequest) -> Result<ScanRequest, Refusal> {
    Ok(ScanRequest {
        qr_text: qr_text(request.qr_text)?,
        device: id("device_id", &request.device_id)?,
        account: id("account_id", &request.account_id)?,
    })
}

/// An approval.
#[derive(Clone, Debug, PartialEq)]
pub struct ApproveRequest {
    /// The scanned text.
    pub qr_text: String,
    /// The phone.
    pub device: DeviceId,
    /// The account.
    pub account: AccountId,
    /// The amount, above zero.
    pub amount: Money,
    /// The phone's signature in DER.
    pub signature: Vec<u8>,
    /// The encrypted PIN.
    pub pin_block: Option<PinBlock>,
    /// Where the phone says it is.
    pub location: Option<Location>,
}

/// Reads an approval.
pub fn approve(request: pb::ApproveRequest) -> Result<ApproveRequest, Refusal> {
    if request.signature.is_empty() || request.signature.len() > SIGNATURE_LENGTH_MAX {
        return Err(invalid("signature", format!("must have 1 to {SIGNATURE_LENGTH_MAX} bytes")));
    }
    if let Some(pin) = &request.pin_block {
        if !matches!(pin.block.len(), 8 | 16) {
            return Err(invalid("pin_block.block", "must have 8 or 16 bytes"));
        }
        if pin.key_serial_number.len() > 16 {
            return Err(invalid("pin_block.key_serial_number", "must have at most 16 bytes"));
        }
    }
    Ok(ApproveRequest {
        qr_text: qr_text(request.qr_text)?,
        device: id("device_id", &request.device_id)?,
        account: id("account_id", &request.account_id)?,
        amount: positive_money("amount", request.amount)?,
        signature: request.signature,
        pin_block: request.pin_block.map(PinBlock),
        location: optional_location("location", request.location)?,
    })
}

/// Reads a cancellation.
pub fn cancel(request: &pb::CancelRequest) -> Result<(DeviceId, CancelSubject), Refusal> {
    let device = id("device_id", &request.device_id)?;
    let subject = match &request.subject {
        None => return Err(invalid("subject", "is missing")),
        Some(pb::cancel_request::Subject::QrSessionId(text)) => CancelSubject::QrSession(id("qr_session_id", text)?),
        Some(pb::cancel_request::Subject::WithdrawalId(text)) => CancelSubject::Withdrawal(id("withdrawal_id", text)?),
    };
    Ok((device, subject))
}

/// What a scan found.
#[must_use]
pub fn scan_response(
    qr_session: QrSessionId,
    atm_id: &str,
    facts: &AtmFacts,
    amount: Option<Money>,
    amount_max: Money,
    approve_before: Timestamp,
) -> pb::ScanResponse {
    pb::ScanResponse {
        qr_session_id: qr_session.to_string(),
        atm_id: atm_id.to_owned(),
        atm_name: facts.name.clone(),
        atm_place: facts.place.clone(),
        amount: amount.map(money_to),
        amount_max: Some(money_to(amount_max)),
        denominations: facts.cassettes.denominations().map(money_to).collect(),
        approve_before_unix_ms: unix_ms(approve_before),
    }
}

/// A state for whoever watches.
#[must_use]
pub fn watch_response(withdrawal: &Withdrawal) -> pb::WatchResponse {
    pb::WatchResponse {
        withdrawal_id: withdrawal.terms.withdrawal.to_string(),
        state: crate::operations::state_to(&withdrawal.state).into(),
        dispensed: withdrawal.state.dispensed().map(money_to),
        reason: withdrawal.state.reason().unwrap_or_default().to_owned(),
        since_unix_ms: unix_ms(withdrawal.since),
    }
}

/// Reads a withdrawal id.
pub fn withdrawal_id(text: &str) -> Result<WithdrawalId, Refusal> {
    id("withdrawal_id", text)
}

fn qr_text(text: String) -> Result<String, Refusal> {
    if text.is_empty() || text.len() > QR_TEXT_LENGTH_MAX {
        return Err(invalid("qr_text", format!("must have 1 to {QR_TEXT_LENGTH_MAX} bytes")));
    }
    Ok(text)
}
