//! Calls to the institutions' core banking systems.

use std::collections::HashMap;
use std::time::Duration;

use cashgate_wire::corebank::{self, SettleRequest};
use cashgate_wire::customer::PinBlock;
use cashgate_wire::proto::corebank::v1::core_banking_service_client::CoreBankingServiceClient;
use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::ids::{HoldReference, InstitutionId};
use cashgate_withdrawal::lane::{HoldAnswer, SettlementAnswer};
use cashgate_withdrawal::withdrawal::Terms;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::config::{Config, Institution};
use crate::metrics::Metrics;

/// How long a connection may take to come up.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// A channel to each core banking system.
#[derive(Clone, Debug)]
pub struct CoreBanks {
    banks: HashMap<InstitutionId, Bank>,
    metrics: Metrics,
}

#[derive(Clone, Debug)]
struct Bank {
    client: CoreBankingServiceClient<Channel>,
    call_timeout: Duration,
}

/// A core banking system that cannot even be addressed.
#[derive(Debug, thiserror::Error)]
pub enum CoreBanksError {
    /// A TLS file is missing.
    #[error("{file} cannot be read: {source}")]
    File {
        /// Which file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// The address is not one.
    #[error("core banking of {institution}: {source}")]
    Endpoint {
        /// Whose.
        institution: InstitutionId,
        /// Why.
        source: tonic::transport::Error,
    },
}

impl CoreBanks {
    /// Channels that connect when they are first used, and again whenever they have to.
    pub fn new(config: &Config, metrics: Metrics) -> Result<Self, CoreBanksError> {
        let read = |file: &std::path::Path| {
            std::fs::read(file).map_err(|source| CoreBanksError::File { file: file.display().to_string(), source })
        };
        let (ca, certificate, key) = (read(&config.tls_ca)?, read(&config.tls_certificate)?, read(&config.tls_key)?);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .identity(Identity::from_pem(certificate, key));
        let bank = |institution: &Institution| {
            let core = &institution.core_banking;
            let wrong = |source| CoreBanksError::Endpoint { institution: institution.id.clone(), source };
            let channel = Endpoint::from_shared(core.endpoint.clone())
                .and_then(|endpoint| endpoint.tls_config(tls.clone().domain_name(core.server_name.clone())))
                .map_err(wrong)?
                .connect_timeout(CONNECT_MAX)
                .tcp_nodelay(true)
                .http2_keep_alive_interval(Duration::from_secs(20))
                .keep_alive_timeout(Duration::from_secs(10))
                .connect_lazy();
            let client = CoreBankingServiceClient::new(channel).max_decoding_message_size(16 * 1024);
            Ok((institution.id.clone(), Bank { client, call_timeout: core.call_timeout }))
        };
        let banks = config.institutions.iter().map(bank).collect::<Result<_, CoreBanksError>>()?;
        Ok(Self { banks, metrics })
    }

    /// Asks for a hold, once. Whatever keeps the answer away, even before the request may have left, counts as unanswered: it will be
    /// reversed, and a hold that took effect after all is reversed with it.
    pub async fn place_hold(&self, terms: &Terms, pin_block: Option<PinBlock>) -> HoldAnswer {
        let Some(bank) = self.banks.get(&terms.institution) else { return HoldAnswer::Unanswered };
        let request = corebank::place_hold(terms, pin_block);
        let mut client = bank.client.clone();
        let answer = match tokio::time::timeout(bank.call_timeout, client.place_hold(request)).await {
            Ok(Ok(response)) => corebank::hold_answer(response.into_inner()),
            Ok(Err(status)) => unanswered("PlaceHold", terms, &status, HoldAnswer::Unanswered),
            Err(_) => timed_out("PlaceHold", terms, HoldAnswer::Unanswered),
        };
        let name = match answer {
            HoldAnswer::Granted(_) => "granted",
            HoldAnswer::Declined(_) => "declined",
            HoldAnswer::Unanswered => "unanswered",
        };
        self.metrics.core_banking("place_hold", name);
        answer
    }

    /// Tells how a hold ends, once; the lane repeats it until there is an answer.
    pub async fn settle(
        &self,
        terms: &Terms,
        hold: Option<&HoldReference>,
        settlement: Settlement,
    ) -> SettlementAnswer {
        let Some(bank) = self.banks.get(&terms.institution) else { return SettlementAnswer::Unanswered };
        let mut client = bank.client.clone();
        let (call, answered) = match corebank::settle(terms, hold, settlement) {
            SettleRequest::Confirm(request) => {
                let call = client.confirm_hold(request);
                (
                    "ConfirmHold",
                    tokio::time::timeout(bank.call_timeout, call).await.map(|r| r.map(|r| r.into_inner().refused)),
                )
            }
            SettleRequest::Reverse(request) => {
                let call = client.reverse_hold(request);
                (
                    "ReverseHold",
                    tokio::time::timeout(bank.call_timeout, call).await.map(|r| r.map(|r| r.into_inner().refused)),
                )
            }
        };
        let answer = match answered {
            Ok(Ok(refused)) => corebank::settlement_answer(refused),
            Ok(Err(status)) => unanswered(call, terms, &status, SettlementAnswer::Unanswered),
            Err(_) => timed_out(call, terms, SettlementAnswer::Unanswered),
        };
        let name = match answer {
            SettlementAnswer::Done => "done",
            SettlementAnswer::Refused(_) => "refused",
            SettlementAnswer::Unanswered => "unanswered",
        };
        self.metrics.core_banking(if call == "ConfirmHold" { "confirm_hold" } else { "reverse_hold" }, name);
        answer
    }
}

fn unanswered<T>(call: &'static str, terms: &Terms, status: &tonic::Status, answer: T) -> T {
    let (withdrawal, institution) = (terms.withdrawal, &terms.institution);
    tracing::warn!(call, %withdrawal, %institution, code = ?status.code(), why = status.message(), "core banking did not answer");
    answer
}

fn timed_out<T>(call: &'static str, terms: &Terms, answer: T) -> T {
    let (withdrawal, institution) = (terms.withdrawal, &terms.institution);
    tracing::warn!(call, %withdrawal, %institution, "core banking did not answer in time");
    answer
}
