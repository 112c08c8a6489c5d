//! Calls to the institutions' core banking systems.

mod channel;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use cashgate_wire::causes;
use cashgate_wire::corebank::{self, SettleRequest};
use cashgate_wire::customer::PinBlock;
use cashgate_wire::proto::corebank::v1::core_banking_service_client::CoreBankingServiceClient;
use cashgate_withdrawal::event::Settlement;
use cashgate_withdrawal::ids::{HoldReference, InstitutionId};
use cashgate_withdrawal::lane::{HoldAnswer, SettlementAnswer};
use cashgate_withdrawal::withdrawal::Terms;
use channel::Counterpart;
use rustls_pki_types::ServerName;
use tokio::time::error::Elapsed;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::clock::Stopwatch;
use crate::config::{Config, Institution};
use crate::metrics::Metrics;
use crate::sparing::Sparing;
use crate::telemetry::{Span, called, called_rpc};
use crate::tls::Tls;

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
    unanswered: Arc<Sparing>,
}

/// How often the log tells that one of them does not answer: so many at once, and then one in each of these times. While one is away every open
/// withdrawal asks it again and again.
const TOLD_AT_ONCE: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);
const TOLD_ONE_IN: Duration = Duration::from_secs(1);

/// A core banking system that cannot even be addressed.
#[derive(Debug, thiserror::Error)]
pub enum CoreBanksError {
    /// The name that its certificate must have is none.
    #[error("core banking of {institution}: server_name {name:?} is not a host name")]
    ServerName {
        /// Whose.
        institution: InstitutionId,
        /// The name.
        name: String,
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
    pub fn new(config: &Config, tls: &Tls, metrics: Metrics) -> Result<Self, CoreBanksError> {
        let trust_domain: Arc<str> = config.trust_domain.as_str().into();
        let bank = |institution: &Institution| {
            let (id, core) = (&institution.id, &institution.core_banking);
            let no_name = |_| CoreBanksError::ServerName { institution: id.clone(), name: core.server_name.clone() };
            let counterpart = Counterpart {
                endpoint: core.endpoint.clone(),
                server_name: ServerName::try_from(core.server_name.clone()).map_err(no_name)?,
                institution: id.clone(),
                trust_domain: Arc::clone(&trust_domain),
                tls: tls.clone(),
            };
            let wrong = |source| CoreBanksError::Endpoint { institution: id.clone(), source };
            let channel = counterpart.channel().map_err(wrong)?;
            let client = CoreBankingServiceClient::new(channel).max_decoding_message_size(16 * 1024);
            let unanswered = Arc::new(Sparing::new(TOLD_AT_ONCE, TOLD_ONE_IN));
            Ok((id.clone(), Bank { client, call_timeout: core.call_timeout, unanswered }))
        };
        let banks = config.institutions.iter().map(bank).collect::<Result<_, CoreBanksError>>()?;
        Ok(Self { banks, metrics })
    }

    /// Asks for a hold, once. Whatever keeps the answer away, even before the request may have left, counts as unanswered: it will be
    /// reversed, and a hold that took effect after all is reversed with it.
    pub async fn place_hold(&self, terms: &Terms, pin_block: Option<PinBlock>) -> HoldAnswer {
        let Some(bank) = self.banks.get(&terms.institution) else { return HoldAnswer::Unanswered };
        let mut client = bank.client.clone();
        let call = Call::begin("PlaceHold");
        let request = call.request(corebank::place_hold(terms, pin_block));
        let answered = tokio::time::timeout(bank.call_timeout, client.place_hold(request)).await;
        call.ended(&self.metrics, &answered);
        let answer = match answered {
            Ok(Ok(response)) => corebank::hold_answer(response.into_inner()),
            Ok(Err(status)) => bank.unanswered("PlaceHold", terms, &status, HoldAnswer::Unanswered),
            Err(_) => bank.timed_out("PlaceHold", terms, HoldAnswer::Unanswered),
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
                let call = Call::begin("ConfirmHold");
                let asked = client.confirm_hold(call.request(request));
                let answered = tokio::time::timeout(bank.call_timeout, asked).await;
                call.ended(&self.metrics, &answered);
                ("ConfirmHold", answered.map(|r| r.map(|r| r.into_inner().refused)))
            }
            SettleRequest::Reverse(request) => {
                let call = Call::begin("ReverseHold");
                let asked = client.reverse_hold(call.request(request));
                let answered = tokio::time::timeout(bank.call_timeout, asked).await;
                call.ended(&self.metrics, &answered);
                ("ReverseHold", answered.map(|r| r.map(|r| r.into_inner().refused)))
            }
        };
        let answer = match answered {
            Ok(Ok(refused)) => corebank::settlement_answer(refused),
            Ok(Err(status)) => bank.unanswered(call, terms, &status, SettlementAnswer::Unanswered),
            Err(_) => bank.timed_out(call, terms, SettlementAnswer::Unanswered),
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

/// One call under observation: part of the span that it is made in, which it takes along.
struct Call {
    rpc: &'static str,
    span: Span,
    since: Stopwatch,
}

impl Call {
    fn begin(method: &str) -> Self {
        let rpc = called_rpc(method);
        Self { rpc, span: Span::current().client(rpc), since: Stopwatch::start() }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        self.span.inject(request.metadata_mut());
        request
    }

    fn ended<T>(self, metrics: &Metrics, answered: &Result<Result<T, Status>, Elapsed>) {
        let code = match answered {
            Ok(Ok(_)) => Code::Ok,
            Ok(Err(status)) => status.code(),
            Err(_) => Code::DeadlineExceeded,
        };
        metrics.called().observe(self.rpc, code, self.since.elapsed());
        called(&self.span, code);
    }
}

impl Bank {
    fn unanswered<T>(&self, call: &'static str, terms: &Terms, status: &Status, answer: T) -> T {
        let (withdrawal, institution) = (terms.withdrawal, &terms.institution);
        if let Some(untold) = self.unanswered.turn() {
            // The last source tells a refused connection from a certificate that was not believed.
            let why = std::error::Error::source(status).map_or_else(|| status.message().to_owned(), causes::last);
            let code = status.code();
            tracing::warn!(call, %withdrawal, %institution, ?code, why, untold, "core banking did not answer");
        }
        answer
    }

    fn timed_out<T>(&self, call: &'static str, terms: &Terms, answer: T) -> T {
        let (withdrawal, institution) = (terms.withdrawal, &terms.institution);
        if let Some(untold) = self.unanswered.turn() {
            tracing::warn!(call, %withdrawal, %institution, untold, "core banking did not answer in time");
        }
        answer
    }
}
