//! Honest peers, who measure what they notice: ATMs that show codes, an operator who lists ATMs, and an ATM that comes back all the time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cashgate_wire::proto::atm::v1::atm_service_client::AtmServiceClient;
use cashgate_wire::proto::atm::v1::{
    AtmMessage, EndQrSession, GatewayMessage, Hello, StartQrSession, atm_message, gateway_message,
};
use cashgate_wire::proto::operations::v1::ListAtmsRequest;
use cashgate_wire::proto::operations::v1::operations_service_client::OperationsServiceClient;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::clock;
use crate::site::Site;

/// Between the beginnings of two requests, whether or not the one before has been answered in time.
const EVERY: Duration = Duration::from_millis(50);
/// Between two connections of the ATM that comes back; it is allowed one a second.
const CONNECT_EVERY: Duration = Duration::from_millis(1_100);
/// An answer that takes longer counts as this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Latencies of one kind, in milliseconds.
#[derive(Clone, Default)]
pub(crate) struct Samples(Arc<Mutex<Vec<f64>>>);

impl Samples {
    fn add(&self, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(took.as_secs_f64() * 1_000.0);
    }

    /// The 99th percentile and the worst, and from how many. Begins anew.
    pub(crate) fn take(&self) -> Latency {
        let mut all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.sort_by(f64::total_cmp);
        let at = (all.len() * 99).div_ceil(100).saturating_sub(1);
        Latency {
            p99_ms: all.get(at).copied().unwrap_or_default(),
            worst_ms: all.last().copied().unwrap_or_default(),
            many: all.len(),
        }
    }
}

/// How long honest peers waited.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Latency {
    pub(crate) p99_ms: f64,
    pub(crate) worst_ms: f64,
    pub(crate) many: usize,
}

/// The honest peers at work, until dropped. They have a thread of their own: attackers, who keep the others busy, must not stand in their way here.
pub(crate) struct Honest {
    /// From StartQrSession to the code.
    pub(crate) codes: Samples,
    /// An operator's ListAtms.
    pub(crate) lists: Samples,
    /// From connecting to Welcome.
    pub(crate) connects: Samples,
    _until: oneshot::Sender<()>,
}

impl Honest {
    /// Connects them all, `machines` of which show codes.
    pub(crate) fn at_work(site: &Site, machines: u64) -> Result<Self, String> {
        let (codes, lists, connects) = (Samples::default(), Samples::default(), Samples::default());
        let machine = |number: u64| endpoint(site, site.ports.atm, &format!("atm/H{number}"), 110 + number);
        let peers = Peers {
            machines: (0..machines).map(machine).collect::<Result<_, _>>()?,
            operator: endpoint(site, site.ports.api, "operator/honest", 102)?,
            coming_back: endpoint(site, site.ports.atm, "atm/C", 103)?,
            samples: [codes.clone(), lists.clone(), connects.clone()],
        };
        let (connected, are_connected) = oneshot::channel();
        let (until, ended) = oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async {
                let at_work = peers.begin().await;
                let (at_work, told) = at_work.map_or_else(|problem| (None, Err(problem)), |set| (Some(set), Ok(())));
                // Nobody waits any more only if all is over.
                let _ = connected.send(told);
                let _ = ended.await;
                drop(at_work);
            });
        });
        are_connected.blocking_recv().map_err(|_| "the honest peers' thread ended")??;
        Ok(Self { codes, lists, connects, _until: until })
    }
}

/// Who is honest, and where their latencies go.
struct Peers {
    machines: Vec<Endpoint>,
    operator: Endpoint,
    coming_back: Endpoint,
    samples: [Samples; 3],
}

impl Peers {
    async fn begin(self) -> Result<JoinSet<()>, String> {
        let [codes, lists, connects] = self.samples;
        let mut at_work = JoinSet::new();
        for (number, machine) in (0..).zip(&self.machines) {
            let machine = Machine::connected(machine).await?;
            // Not all in the same moment: their own crowd would be what they measure.
            let first = Instant::now() + EVERY * number / u32::try_from(self.machines.len()).unwrap_or(1);
            at_work.spawn(machine.shows_codes(first, codes.clone()));
        }
        let operator = self.operator.connect().await.map_err(|error| format!("the operator: {error}"))?;
        at_work.spawn(lists_atms(operator, lists));
        at_work.spawn(async move {
            loop {
                let began = clock::now();
                let connected = tokio::time::timeout(PATIENCE, Machine::connected(&self.coming_back)).await;
                connects.add(if matches!(connected, Ok(Ok(_))) { began.elapsed() } else { PATIENCE });
                tokio::time::sleep(CONNECT_EVERY).await;
            }
        });
        Ok(at_work)
    }
}

fn endpoint(site: &Site, port: u16, path: &str, serial: u64) -> Result<Endpoint, String> {
    let shown = site.credentials(path, serial)?;
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(site.ours.ca_pem()))
        .domain_name("localhost")
        .identity(Identity::from_pem(shown.certificate_pem, shown.key_pem));
    let endpoint = Endpoint::from_shared(format!("https://127.0.0.1:{port}"));
    endpoint.and_then(|endpoint| endpoint.tls_config(tls)).map_err(|error| format!("{path}: {error}"))
}

async fn lists_atms(channel: Channel, samples: Samples) {
    let mut every = tokio::time::interval(EVERY);
    let mut client = OperationsServiceClient::new(channel);
    loop {
        // What was due and could not begin counts from when it was due: slow answers must not hide in fewer questions.
        let due = every.tick().await;
        let answered = tokio::time::timeout(PATIENCE, client.list_atms(ListAtmsRequest {})).await;
        samples.add(if matches!(answered, Ok(Ok(_))) { due.elapsed() } else { PATIENCE });
    }
}

/// A connected ATM.
struct Machine {
    says: mpsc::Sender<AtmMessage>,
    hears: Streaming<GatewayMessage>,
}

impl Machine {
    async fn connected(endpoint: &Endpoint) -> Result<Self, String> {
        let channel = endpoint.connect().await.map_err(|error| format!("an honest ATM: {error}"))?;
        let (says, said) = mpsc::channel(8);
        let hello = Hello {
            name: "honest".to_owned(),
            place: "here".to_owned(),
            notes_per_dispense_max: 40,
            ..Hello::default()
        };
        let hello = AtmMessage { message: Some(atm_message::Message::Hello(hello)), ..Default::default() };
        says.send(hello).await.map_err(|_| "an honest ATM could not speak")?;
        let connected = AtmServiceClient::new(channel).connect(ReceiverStream::new(said)).await;
        let hears = connected.map_err(|status| format!("an honest ATM: {status}"))?.into_inner();
        let mut machine = Self { says, hears };
        machine.until(|heard| matches!(heard, gateway_message::Message::Welcome(_))).await?;
        Ok(machine)
    }

    async fn until(
        &mut self,
        is_it: impl Fn(&gateway_message::Message) -> bool,
    ) -> Result<gateway_message::Message, String> {
        loop {
            let heard = self.hears.message().await.map_err(|status| format!("an honest ATM was cut off: {status}"))?;
            let heard = heard.ok_or("an honest ATM's stream ended")?;
            if let Some(message) = heard.message.filter(&is_it) {
                return Ok(message);
            }
        }
    }

    /// Customers touch the screen and walk away, one after the other.
    async fn shows_codes(mut self, first: Instant, samples: Samples) {
        let mut every = tokio::time::interval_at(first, EVERY);
        loop {
            let due = every.tick().await;
            let one = tokio::time::timeout(PATIENCE, self.shows_one()).await;
            match one {
                Ok(Ok(())) => samples.add(due.elapsed()),
                // Whatever happened to it, a customer stood there in vain.
                _ => {
                    samples.add(PATIENCE);
                    tokio::time::sleep(EVERY).await;
                }
            }
        }
    }

    async fn shows_one(&mut self) -> Result<(), String> {
        let say = |message| AtmMessage { message: Some(message), ..Default::default() };
        let start = atm_message::Message::StartQrSession(StartQrSession::default());
        self.says.send(say(start)).await.map_err(|_| "cut off")?;
        let shown = self.until(|heard| matches!(heard, gateway_message::Message::ShowQr(_))).await?;
        if let gateway_message::Message::ShowQr(shown) = shown {
            let end = atm_message::Message::EndQrSession(EndQrSession { qr_session_id: shown.qr_session_id });
            self.says.send(say(end)).await.map_err(|_| "cut off")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_99th_percentile_of_a_hundred_is_the_second_worst() {
        let samples = Samples::default();
        (1..=100).for_each(|ms| samples.add(Duration::from_millis(ms)));
        let latency = samples.take();
        assert_eq!((latency.p99_ms.round(), latency.worst_ms.round(), latency.many), (99.0, 100.0, 100));
        assert_eq!(samples.take().many, 0, "it begins anew");
    }
}
