//! A customer's phone, and its bank's app back end.

use cashgate_wire::proto::customer::v1::customer_service_client::CustomerServiceClient;
use cashgate_wire::proto::customer::v1::{
    ApproveRequest, RegisterDeviceRequest, ScanRequest, ScanResponse, WatchRequest,
};
use cashgate_wire::proto::withdrawal::v1::{Money, WithdrawalState};
use cashgate_withdrawal::money::Money as Amount;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::{Atm, Port, Site, in_time, in_words, yen};

/// A moment long past, at which every phone here was bound.
const BOUND_AT_UNIX_MS: i64 = 1_700_000_000_000;

/// A phone with its account, and a connection of its bank.
pub(crate) struct Phone {
    pub(crate) bank: CustomerServiceClient<Channel>,
    pub(crate) device_id: String,
    pub(crate) account_id: String,
    institution: String,
    key: cashgate_fleet::phone::Phone,
}

impl Phone {
    /// A customer of sakura.
    pub(crate) async fn registered(site: &Site, device_id: &str, account_id: &str) -> Self {
        Self::registered_at(site, "sakura", device_id, account_id).await
    }

    pub(crate) async fn registered_at(site: &Site, institution: &str, device_id: &str, account_id: &str) -> Self {
        let mut phone = Self::unknown(site, institution, device_id, account_id).await;
        phone.bank.register_device(phone.registration()).await.unwrap();
        phone
    }

    /// One that the gateway has not heard of.
    pub(crate) async fn unknown(site: &Site, institution: &str, device_id: &str, account_id: &str) -> Self {
        let channel = site.channel(Port::Api, &format!("institution/{institution}")).await;
        Self {
            bank: CustomerServiceClient::new(channel),
            device_id: device_id.to_owned(),
            account_id: account_id.to_owned(),
            institution: institution.to_owned(),
            key: cashgate_fleet::phone::Phone::ephemeral(institution, device_id).unwrap(),
        }
    }

    /// The bank connects anew, after the gateway was away.
    pub(crate) async fn reconnect(&mut self, site: &Site) {
        let peer = format!("institution/{}", self.institution);
        self.bank = CustomerServiceClient::new(site.channel(Port::Api, &peer).await);
    }

    pub(crate) fn registration(&self) -> RegisterDeviceRequest {
        RegisterDeviceRequest {
            device_id: self.device_id.clone(),
            public_key: self.key.public_key().unwrap(),
            bound_at_unix_ms: BOUND_AT_UNIX_MS,
            activation_channel: "branch".to_owned(),
            attestation: 0,
        }
    }

    pub(crate) fn scan_request(&self, qr_text: &str) -> ScanRequest {
        ScanRequest {
            qr_text: qr_text.to_owned(),
            device_id: self.device_id.clone(),
            account_id: self.account_id.clone(),
        }
    }

    pub(crate) async fn scan(&mut self, qr_text: &str) -> Result<ScanResponse, Status> {
        self.bank.scan(self.scan_request(qr_text)).await.map(Response::into_inner)
    }

    /// What the account could draw at an ATM that nobody stands at.
    pub(crate) async fn headroom(&mut self, idle: &mut Atm) -> i64 {
        let shown = idle.shows_code().await;
        let scanned = self.scan(&shown.qr_text).await.unwrap();
        assert!(matches!(idle.hears().await, super::Heard::QrClaimed(_)));
        scanned.amount_max.unwrap().minor_units
    }

    /// An approval that nothing is wrong with. An amount that is no amount is signed as one yen.
    pub(crate) fn approval(&self, qr_text: &str, amount: &Money) -> ApproveRequest {
        ApproveRequest {
            qr_text: qr_text.to_owned(),
            device_id: self.device_id.clone(),
            account_id: self.account_id.clone(),
            amount: Some(amount.clone()),
            signature: self.signature(qr_text, &self.account_id, amount),
            pin_block: None,
            location: None,
        }
    }

    /// The phone's signature over an account and an amount.
    pub(crate) fn signature(&self, qr_text: &str, account_id: &str, amount: &Money) -> Vec<u8> {
        let plain = || Amount::new(1, "JPY".parse().unwrap()).unwrap();
        let currency = amount.currency.parse().ok();
        let amount = currency.and_then(|currency| Amount::new(amount.minor_units, currency).ok()).unwrap_or_else(plain);
        self.key.approval_signature(qr_text, account_id, amount).unwrap()
    }

    /// Scans what an ATM shows and approves an amount; the withdrawal's id.
    pub(crate) async fn approve_at(&mut self, atm: &mut Atm, amount: i64) -> String {
        let shown = atm.shows_code().await;
        self.scan(&shown.qr_text).await.unwrap();
        let approval = self.approval(&shown.qr_text, &yen(amount));
        self.bank.approve(approval).await.unwrap().into_inner().withdrawal_id
    }

    /// The same at an ATM that connects for it, where the approval may be refused: the withdrawal's id, or the refusal in words.
    pub(crate) async fn tries_at(&mut self, site: &Site, atm: &str, amount: i64) -> Result<String, String> {
        let mut atm = Atm::connect(site, atm).await;
        let shown = atm.shows_code().await;
        self.scan(&shown.qr_text).await.unwrap();
        let approval = self.approval(&shown.qr_text, &yen(amount));
        let approved = self.bank.approve(approval).await;
        approved.map(|approved| approved.into_inner().withdrawal_id).map_err(|status| in_words(&status))
    }

    /// Watches a withdrawal to its end: the states that were seen.
    pub(crate) async fn watch_to_end(&mut self, withdrawal_id: &str) -> Vec<WithdrawalState> {
        let request = WatchRequest { withdrawal_id: withdrawal_id.to_owned() };
        let mut watched = self.bank.watch(request).await.unwrap().into_inner();
        let mut states = Vec::new();
        while let Some(update) = in_time("the withdrawal goes on", watched.message()).await.unwrap() {
            assert_eq!(update.withdrawal_id, withdrawal_id);
            states.push(update.state());
        }
        states
    }
}

/// The state of a withdrawal in the ledger.
pub(crate) fn withdrawal_state(site: &Site, withdrawal_id: &str) -> String {
    let found = site.ledger().withdrawal(withdrawal_id.parse().unwrap()).unwrap();
    found.map_or_else(|| "none".to_owned(), |(summary, _)| summary.row.state.to_string())
}

/// A DER signature as r and s in 32 bytes each, as WebCrypto gives it.
pub(crate) fn raw_signature(der: &[u8]) -> Vec<u8> {
    let integer = |at: usize| {
        let length = usize::from(der[at + 1]);
        let value = &der[at + 2..at + 2 + length];
        let value = value.strip_prefix(&[0]).unwrap_or(value);
        let mut padded = vec![0; 32 - value.len()];
        padded.extend_from_slice(value);
        (padded, at + 2 + length)
    };
    let (mut r, next) = integer(2);
    r.extend(integer(next).0);
    r
}
