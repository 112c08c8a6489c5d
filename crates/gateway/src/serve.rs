//! `cashgate serve`: puts the parts together, and takes them apart in good order.

mod chores;
mod ports;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cashgate_ledger::{Ledger, LedgerOptions, Room, TailMark};
use cashgate_limits::Limits;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use chores::{forget_what_is_over, watch_room};
use ports::Ports;

use crate::admission::{Desk, Rulebook};
use crate::config::{Config, LedgerSection, ReplicaSection};
use crate::core_banking::CoreBanks;
use crate::devices::Devices;
use crate::dispense_keys::HsmDispenseKeys;
use crate::dispense_tokens::DispenseTokens;
use crate::guard::{GuardMetrics, PortGuard, Registry};
use crate::http::Readiness;
use crate::keys::{KeyOffice, KeyRing, KeySettings};
use crate::lanes::{Lanes, Showing, Surroundings};
use crate::metrics::Metrics;
use crate::minting::{Mint, QrBatcher, QrHsm};
use crate::notice_board::LedgerBoard;
use crate::publishing::{AtStart, Publisher};
use crate::reloading::Seen;
use crate::replica::{Followers, Member, Peers, alone, follow};
use crate::stops::StopSwitch;
use crate::telemetry::{Observed, Telemetry, Tracing};
use crate::tls::Believers;
use crate::tls::watching::TlsKeeper;
use crate::watchers::Watchers;
use crate::{clock, guard, reloading};

/// What apps need at least to hear of a new key.
const PUBLISH_BEFORE_USE_MIN: Duration = Duration::from_secs(60);

/// Why a gateway does not start, or stops. One line that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ServeError(String);

impl ServeError {
    fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Serves until `stop` resolves, then drains. Must run on a multi-threaded tokio runtime.
pub async fn serve(config: Config, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
    let telemetry = Telemetry::start(&config).map_err(ServeError::new)?;
    let books = Books::open(&config)?;
    books.metrics.observe_spans(Arc::clone(telemetry.counts()));
    let batcher = QrBatcher::new(books.keys.clone(), books.metrics.clone());
    let mut hsm_config = config.hsm.to_config();
    if let Some(label) = books.keys.signing_label() {
        hsm_config.signing_key_label = label;
    }
    let hsm = QrHsm::open(hsm_config, batcher).map_err(ServeError::new)?;
    let served = serve_with(&config, books, hsm.clone(), telemetry.tracing(), stop).await;
    telemetry.close().await;
    // SoftHSM can crash a process that exits without finalising it.
    let closed = tokio::task::spawn_blocking(move || hsm.close()).await;
    if let Err(error) = closed {
        tracing::error!(%error, "the HSM was not closed in good order");
    }
    served
}

async fn serve_with(
    config: &Config,
    books: Books,
    hsm: QrHsm,
    tracing: &Tracing,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let (settings, keepers) = (key_settings(config), Keepers::load(config)?);
    let keys = KeyOffice::open(Arc::new(hsm.clone()), books.keys.clone(), books.ledger.clone(), settings).await;
    let parts = Parts::assemble(config, books, keys, hsm, tracing.clone(), &keepers)?;
    guard::open_files::check(&config.guard);
    let lanes = Arc::new(Lanes::new(Arc::clone(&parts.surroundings)));
    let ports = Ports::bind(config).await?;
    parts.recover(&lanes)?;

    let (ready, readiness) = watch::channel(Readiness::Starting);
    let (shut, shutting) = watch::channel(false);
    let serving = ports.serve(config, &keepers, &lanes, &parts, readiness, &shutting)?;
    let mut chores = parts.chores(config, keepers);
    parts.surroundings.desk.ledger_has_room(parts.surroundings.ledger.room() == Room::Ample);
    let watching = tokio::spawn(watch_room(parts.surroundings.ledger.clone(), Arc::clone(&parts.surroundings.desk)));
    let put_out = parts.among_replicas(&lanes, &mut chores);
    ready.send_replace(Readiness::Serving);
    tracing::info!(atm = %config.listen_atm, api = %config.listen_api, http = %config.listen_http, "ready");

    let mut halted = parts.surroundings.halted.subscribe();
    let ended = tokio::select! {
        () = stop => Ok(()),
        failure = parts.surroundings.ledger.fatal() => Err(ServeError::new(failure)),
        why = reason_in(&mut halted) => Err(ServeError(why)),
        why = put_out => Err(ServeError(why)),
    };
    ready.send_replace(Readiness::Stopping);
    if let Some(member) = &parts.surroundings.member {
        member.drains();
    } else {
        chores.abort_all();
    }
    if ended.is_ok() {
        tracing::info!("stopping: no new customers; those being served are finished first");
        if tokio::time::timeout(config.drain, lanes.drain(scan_within(config.drain))).await.is_err() {
            tracing::warn!("some customers were still being served; their withdrawals go on after the next start");
        }
        watching.abort();
        lanes.hand_over().await;
        chores.abort_all();
        shut.send_replace(true);
        if tokio::time::timeout(Duration::from_secs(5), serving).await.is_err() {
            tracing::warn!("some connections were cut");
        }
        let closed = parts.surroundings.ledger.clone().close().await;
        closed.map_err(ServeError::new)?;
        tracing::info!("stopped");
    }
    ended
}

/// What is on disk, and what counts: there before the HSM is, because withdrawals go on without one.
struct Books {
    metrics: Metrics,
    ledger: Ledger,
    keys: KeyRing,
    /// Up to where the ledger was read.
    mark: TailMark,
}

impl Books {
    fn open(config: &Config) -> Result<Self, ServeError> {
        let metrics = Metrics::new().map_err(ServeError::new)?;
        let ledger = match &config.ledger {
            LedgerSection::File(path) => Ledger::open(path, LedgerOptions::default()),
            LedgerSection::Postgres(options) => Ledger::connect(options),
        };
        let ledger = ledger.map_err(ServeError::new)?;
        // Before anything is read: what others write meanwhile is then read again.
        let mark = ledger.reader().tail_mark().map_err(ServeError::new)?;
        let events = ledger.reader().key_events().map_err(ServeError::new)?;
        let keys = KeyRing::replay(events.iter().map(|stored| &stored.event)).map_err(ServeError::new)?;
        Ok(Self { metrics, ledger, keys, mark })
    }
}

/// Who the gateway is, and to whom.
struct Keepers {
    /// To ATMs, app back ends and core banking.
    gateway: TlsKeeper,
    /// To the other replicas.
    replica: Option<TlsKeeper>,
}

impl Keepers {
    /// Towards its peers this replica is itself; towards everybody else it is the gateway.
    fn load(config: &Config) -> Result<Self, ServeError> {
        let loaded = |files, believers| TlsKeeper::load(files, believers).map_err(ServeError::new);
        let towards_peers =
            |replica: &ReplicaSection| loaded(replica.tls(&config.tls), replica.believers(&config.trust_domain));
        let replica = config.replica.as_ref().map(towards_peers).transpose()?;
        Ok(Self { gateway: loaded(config.tls.clone(), Believers::Outside)?, replica })
    }
}

fn dispense_tokens(config: &Config, hsm: &QrHsm) -> DispenseTokens {
    let tokens = DispenseTokens::new(Arc::new(HsmDispenseKeys::new(hsm.clone())));
    if config.present_status_is_final { tokens.with_final_status() } else { tokens }
}

fn key_settings(config: &Config) -> KeySettings {
    if config.hsm.publish_before_use < PUBLISH_BEFORE_USE_MIN {
        tracing::warn!(
            "hsm.publish_before_use_s is short: apps that have not fetched a new key yet will call its codes false"
        );
    }
    KeySettings {
        first_label: config.hsm.signing_key_label.clone(),
        publish_before_use: config.hsm.publish_before_use,
        code_lifetime_max: config.qr_lifetime.saturating_add(config.lanes.approve_within),
    }
}

/// This replica among the others, if there are any.
fn member(config: &Config, ledger: &Ledger, keepers: &Keepers) -> Option<Arc<Member>> {
    let (ReplicaSection { server_name, dead_after, heartbeat_every, .. }, registry) =
        config.replica.as_ref().zip(ledger.replicas().cloned())?;
    let trust_domain = config.trust_domain.as_str().into();
    let peers = Peers::new(registry.id(), trust_domain, server_name.clone(), keepers.replica.as_ref()?.tls());
    Some(Arc::new(Member::new(registry, peers, *dead_after, *heartbeat_every)))
}

/// Who is connected to the ATMs', the app back ends' and the other replicas' port.
fn registries(config: &Config, guard: &GuardMetrics) -> [Arc<Registry>; 3] {
    [PortGuard::atm(&config.guard), PortGuard::api(&config.guard), PortGuard::replica(&config.guard)]
        .map(|port| Registry::new(port, guard.clone()))
}

struct Parts {
    surroundings: Arc<Surroundings>,
    guard: GuardMetrics,
    /// The connections of the ATMs', the app back ends' and the other replicas' port.
    registries: [Arc<Registry>; 3],
    switch: StopSwitch,
    publisher: Publisher,
    rules_seen: Seen,
    keys: KeyOffice,
    hsm: QrHsm,
    mark: TailMark,
}

impl Parts {
    /// Everything that must be there before a lane can be. Blocking.
    fn assemble(
        config: &Config,
        books: Books,
        office: KeyOffice,
        hsm: QrHsm,
        tracing: Tracing,
        keepers: &Keepers,
    ) -> Result<Self, ServeError> {
        let Books { metrics, ledger, keys, mark } = books;
        let member = member(config, &ledger, keepers);
        metrics.observe_hsm(&hsm);
        let dispense_tokens = dispense_tokens(config, &hsm);
        let mut mint = Mint::new(hsm.clone(), config.network.clone(), keys, config.qr_lifetime, metrics.clone());
        if let Some(member) = &member {
            mint = mint.of_replica(member.id().0);
            metrics.observe_member(Arc::clone(member));
        }
        let limits = Arc::new(Limits::new());
        let devices = Devices::load(ledger.clone(), Arc::clone(&limits)).map_err(ServeError::new)?;
        let switch = StopSwitch::load(ledger.clone()).map_err(ServeError::new)?;
        metrics.observe_stops(Arc::clone(switch.stops()));
        metrics.observe_ledger(ledger.clone());
        let rules_seen = Seen::now(config);
        let AtStart { rules, standing } = AtStart::read(config, ledger.reader()).map_err(ServeError::new)?;
        tracing::info!(version = rules.policy.version(), "the policy set");
        let known = Arc::clone(devices.known());
        let board = Arc::new(LedgerBoard::new(ledger.clone(), metrics.clone()));
        let rulebook = Arc::new(Rulebook::new(rules));
        metrics.observe_publications(Arc::clone(&standing));
        let publisher = Publisher::new(config, ledger.clone(), Arc::clone(&rulebook), standing, metrics.clone());
        let mut desk = Desk::new(limits, rulebook, known, clock::random_u32)
            .with_dispense_tokens(dispense_tokens)
            .with_stops(Arc::clone(switch.stops()), board);
        if member.is_some() {
            desk = desk.with_shared_limits();
            // Until it has been read what others wrote.
            desk.ledger_is_followed(false);
        }
        let withdrawals = desk.recall(ledger.reader(), clock::now()).map_err(ServeError::new)?;
        tracing::info!(withdrawals, "what was withdrawn lately counts again");
        let core_banks = CoreBanks::new(config, &keepers.gateway.tls(), metrics.clone()).map_err(ServeError::new)?;
        let guard = GuardMetrics::new(&metrics.meter());
        let registries = registries(config, &guard);
        let surroundings = Surroundings {
            mint,
            ledger,
            desk: Arc::new(desk),
            devices: Arc::new(devices),
            core_banks,
            watchers: Watchers::default(),
            showing: Showing::default(),
            metrics,
            tracing,
            settings: Arc::new(config.lanes.clone()),
            member,
            halted: watch::Sender::new(None),
        };
        let surroundings = Arc::new(surroundings);
        Ok(Self { surroundings, guard, registries, switch, publisher, rules_seen, keys: office, hsm, mark })
    }
}

impl Parts {
    /// Brings back what was open. Each lane looks whether it may go on before it does anything, and once by itself.
    fn recover(&self, lanes: &Lanes) -> Result<(), ServeError> {
        if self.surroundings.member.is_some() {
            // A lane comes with its ATM, or is taken from the dead: this replica's earlier process is one of them.
            return Ok(());
        }
        let open = lanes.recover(clock::now()).map_err(ServeError::new)?;
        tracing::info!(open_withdrawals = open, "recovered");
        lanes.look_again();
        Ok(())
    }

    /// A service whose every rpc is counted, timed and traced.
    fn observed<S>(&self, service: S) -> Observed<S> {
        Observed::new(service, self.surroundings.tracing.clone(), self.surroundings.metrics.served().clone())
    }

    /// On a database: says that this gateway lives, and follows what other replicas write. Resolves with the reason if the process must stop for
    /// another one.
    fn among_replicas(&self, lanes: &Arc<Lanes>, chores: &mut JoinSet<()>) -> impl Future<Output = String> + use<> {
        let beating = self.surroundings.member.clone().map(|member| {
            let followers =
                Followers { switch: self.switch.clone(), keys: self.keys.clone(), publisher: self.publisher.clone() };
            chores.spawn(follow(Arc::clone(&member), Arc::clone(lanes), followers, self.mark));
            chores.spawn(Arc::clone(&member).look_elsewhere(Arc::clone(lanes)));
            told_at_its_end(chores, member.beat(Arc::clone(lanes)))
        });
        let beating = beating.or_else(|| {
            let (ledger, desk) = (self.surroundings.ledger.clone(), Arc::clone(&self.surroundings.desk));
            let registry = ledger.replicas()?.clone();
            chores.spawn(alone::admit_while_reachable(ledger, desk));
            Some(told_at_its_end(chores, alone::put_out(registry)))
        });
        async move {
            match beating {
                Some(is_put_out) => match is_put_out.await {
                    Ok(why) => why,
                    // The chores have ended, and with them this process.
                    Err(_) => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        }
    }

    /// What goes on beside serving, until the gateway stops.
    fn chores(&self, config: &Config, keepers: Keepers) -> JoinSet<()> {
        let desk = &self.surroundings.desk;
        let mut chores = JoinSet::new();
        chores.spawn(forget_what_is_over(Arc::clone(desk)));
        let (rulebook, metrics) = (Arc::clone(desk.rulebook()), self.surroundings.metrics.clone());
        chores.spawn(reloading::watch(config.clone(), self.rules_seen, rulebook, metrics));
        chores.spawn(self.keys.clone().attend());
        let registries = self.registries.clone();
        // Open connections of certificates that were revoked are closed.
        let changed = move || registries.iter().for_each(|registry| registry.look_again());
        chores.spawn(keepers.gateway.watch(config.tls_check_every, self.guard.clone(), changed.clone()));
        if let Some(replica) = keepers.replica {
            chores.spawn(replica.watch(config.tls_check_every, self.guard.clone(), changed));
        }
        chores
    }
}

/// How long a code that is shown may still be scanned once the gateway stops: a third of the time that it has, so that whoever scans last has the
/// rest to choose, approve and take the notes.
fn scan_within(drain: Duration) -> Duration {
    drain / 3
}

/// A chore that ends with the reason why the process must stop, and where that is told.
fn told_at_its_end(
    chores: &mut JoinSet<()>,
    chore: impl Future<Output = String> + Send + 'static,
) -> oneshot::Receiver<String> {
    let (ended, has_ended) = oneshot::channel();
    chores.spawn(async move { drop(ended.send(chore.await)) });
    has_ended
}

/// Why a lane had the gateway stop, once one has.
async fn reason_in(halted: &mut watch::Receiver<Option<String>>) -> String {
    let reason = halted.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
    reason.unwrap_or_else(|| "the lanes are gone".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_scans_last_has_two_thirds_of_the_drain() {
        let drain = Duration::from_secs(60);
        assert_eq!(drain - scan_within(drain), Duration::from_secs(40));
    }
}
