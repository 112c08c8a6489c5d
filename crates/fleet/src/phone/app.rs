//! The bank's app back end, which alone speaks to the gateway.

use cashgate_wire::proto::customer::v1 as wire;
use cashgate_wire::proto::customer::v1::customer_service_client::CustomerServiceClient;
use cashgate_wire::proto::withdrawal::v1 as shared;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::place::Place;

/// What a bank knows of a phone when it makes it known.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The phone's key, as [`super::Phone::public_key`] exports it.
    pub public_key: Vec<u8>,
    /// When the bank bound the phone to the customer, milliseconds since 1970-01-01T00:00:00Z.
    pub bound_at_unix_ms: i64,
    /// How the app was activated, in a word of the bank's own; empty if it does not say.
    pub activation_channel: String,
    /// Whether the platform attests that app and key are genuine; `None` if it was not asked.
    pub attestation: Option<bool>,
}

/// What goes with an approval.
#[derive(Clone, Debug)]
pub struct ApprovalRequest<'a> {
    /// The scanned text.
    pub qr_text: &'a str,
    /// The account to draw from.
    pub account_id: &'a str,
    /// How much.
    pub amount: shared::Money,
    /// As [`super::Phone::approval_signature`] makes it.
    pub signature: Vec<u8>,
    /// If the bank wants a PIN.
    pub pin_block: Option<wire::PinBlock>,
    /// Where the phone says it is, if its owner lets it.
    pub place: Option<Place>,
}

/// The app back end of one institution, calling the gateway for one phone. Every error is the gateway's status as it came.
#[derive(Clone, Debug)]
pub struct App {
    client: CustomerServiceClient<Channel>,
    device_id: String,
}

impl App {
    /// The back end on a channel with the institution's certificate.
    #[must_use]
    pub fn new(gateway: Channel, device_id: &str) -> Self {
        Self { client: CustomerServiceClient::new(gateway), device_id: device_id.to_owned() }
    }

    /// Makes the phone known.
    ///
    /// # Errors
    /// The gateway's status.
    pub async fn register(&mut self, registration: Registration) -> Result<(), Status> {
        let Registration { public_key, bound_at_unix_ms, activation_channel, attestation } = registration;
        let attestation = match attestation {
            None => wire::Attestation::Unspecified,
            Some(true) => wire::Attestation::Passed,
            Some(false) => wire::Attestation::Failed,
        };
        let request = wire::RegisterDeviceRequest {
            device_id: self.device_id.clone(),
            public_key,
            bound_at_unix_ms,
            activation_channel,
            attestation: attestation.into(),
        };
        self.client.register_device(request).await?;
        Ok(())
    }

    /// Ends the phone's right to approve.
    ///
    /// # Errors
    /// The gateway's status.
    pub async fn revoke(&mut self) -> Result<(), Status> {
        self.client.revoke_device(wire::RevokeDeviceRequest { device_id: self.device_id.clone() }).await?;
        Ok(())
    }

    /// Shows a scanned text to the gateway.
    ///
    /// # Errors
    /// The gateway's status.
    pub async fn scan(&mut self, qr_text: &str, account_id: &str) -> Result<wire::ScanResponse, Status> {
        let request = wire::ScanRequest {
            qr_text: qr_text.to_owned(),
            device_id: self.device_id.clone(),
            account_id: account_id.to_owned(),
        };
        Ok(self.client.scan(request).await?.into_inner())
    }

    /// Sends an approval.
    ///
    /// # Errors
    /// The gateway's status.
    pub async fn approve(&mut self, approval: ApprovalRequest<'_>) -> Result<wire::ApproveResponse, Status> {
        let ApprovalRequest { qr_text, account_id, amount, signature, pin_block, place } = approval;
        let request = wire::ApproveRequest {
            qr_text: qr_text.to_owned(),
            device_id: self.device_id.clone(),
            account_id: account_id.to_owned(),
            amount: Some(amount),
            signature,
            pin_block,
            location: place.map(Place::to_message),
        };
        Ok(self.client.approve(request).await?.into_inner())
    }

    /// Follows a withdrawal.
    ///
    /// # Errors
    /// The gateway's status.
    pub async fn watch(&mut self, withdrawal_id: &str) -> Result<Streaming<wire::WatchResponse>, Status> {
        let request = wire::WatchRequest { withdrawal_id: withdrawal_id.to_owned() };
        Ok(self.client.watch(request).await?.into_inner())
    }

    /// Cancels a QR session or a withdrawal.
    ///
    /// # Errors
    /// The gateway's status.
    pub async fn cancel(&mut self, subject: wire::cancel_request::Subject) -> Result<(), Status> {
        let request = wire::CancelRequest { device_id: self.device_id.clone(), subject: Some(subject) };
        self.client.cancel(request).await?;
        Ok(())
    }
}
