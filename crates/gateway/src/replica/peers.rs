//! The other replicas, as callers meet them: found in the registry, called over mTLS, believed only as who they are.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cashgate_ledger::{Epoch, Incarnation, ReplicaId, ReplicaRow};
use cashgate_wire::proto::replica::v1::TakesAtmsRequest;
use cashgate_wire::proto::replica::v1::replica_service_client::ReplicaServiceClient;
use cashgate_wire::replica as wire;
use cashgate_withdrawal::ids::AtmId;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint, Uri};

use super::member::living;
use crate::identity::Identity;
use crate::tls::{Tls, dial};

/// How long a connection to a peer may take to come up. A peer in the same cluster answers in a millisecond.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// The largest answer of a peer: some 200 bytes for each of its ATMs.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a peer is waited for to let a lane go. A machine waits meanwhile.
const RELEASE_MAX: Duration = Duration::from_millis(500);

/// How long a peer is waited for to say whether it takes ATMs.
const TAKES_ATMS_MAX: Duration = Duration::from_millis(500);

/// A client of one peer.
pub type PeerClient = ReplicaServiceClient<Channel>;

/// All other replicas that live.
#[derive(Debug)]
pub struct Peers {
    own: ReplicaId,
    trust_domain: Arc<str>,
    server_name: ServerName<'static>,
    tls: Tls,
    known: Mutex<HashMap<ReplicaId, Peer>>,
    /// Those that were not heard of for too long and did not say that they are gone.
    silent: Mutex<Vec<ReplicaId>>,
}

#[derive(Debug)]
struct Peer {
    address: String,
    incarnation: Incarnation,
    client: PeerClient,
}

impl Peers {
    /// None yet.
    #[must_use]
    pub fn new(own: ReplicaId, trust_domain: Arc<str>, server_name: ServerName<'static>, tls: Tls) -> Self {
        Self { own, trust_domain, server_name, tls, known: Mutex::default(), silent: Mutex::default() }
    }

    /// Takes what the registry says: who is new, who has moved, who is gone.
    pub(super) fn learn(&self, rows: &[ReplicaRow], dead_after: Duration) {
        let silent =
            |row: &&ReplicaRow| row.identity.id != self.own && row.heard_ago.is_some() && !row.lives(dead_after);
        *self.silent.lock().unwrap_or_else(PoisonError::into_inner) =
            rows.iter().filter(silent).map(|row| row.identity.id).collect();
        let living = living(rows, self.own, dead_after);
        let mut known = self.known();
        known.retain(|id, _| living.iter().any(|row| row.identity.id == *id));
        for row in living {
            let (id, address) = (row.identity.id, &row.identity.address);
            let stays = known.get(&id).is_some_and(|peer| peer.address == *address);
            if let Some(peer) = known.get_mut(&id).filter(|_| stays) {
                peer.incarnation = row.incarnation;
                continue;
            }
            match self.client(id, address) {
                Ok(client) => {
                    let peer = Peer { address: address.clone(), incarnation: row.incarnation, client };
                    known.insert(id, peer);
                }
                Err(error) => tracing::error!(replica = %id, address, %error, "a replica's address is none"),
            }
        }
    }

    /// Whether this process of a replica lives, as far as the registry said last.
    #[must_use]
    pub fn lives(&self, id: ReplicaId, incarnation: Incarnation) -> bool {
        self.known().get(&id).is_some_and(|peer| peer.incarnation == incarnation)
    }

    /// A client of a replica that lives.
    #[must_use]
    pub fn client_of(&self, id: ReplicaId) -> Option<PeerClient> {
        self.known().get(&id).map(|peer| peer.client.clone())
    }

    /// All that live.
    pub(crate) fn all(&self) -> Vec<(ReplicaId, PeerClient)> {
        self.known().iter().map(|(id, peer)| (*id, peer.client.clone())).collect()
    }

    /// Those that were not heard of for too long and did not say that they are gone.
    pub(crate) fn silent(&self) -> Vec<ReplicaId> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many live.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known().len()
    }

    /// Asks a peer to let a lane go. Whether it answers or not, the lane is claimed after that; its answer only makes the change a clean one.
    pub(crate) async fn ask_to_let_go(&self, id: ReplicaId, atm: &AtmId, epoch: Epoch) {
        let Some(mut client) = self.client_of(id) else { return };
        let asked = client.release_lane(wire::release_lane(self.own.0, atm, epoch.0));
        match tokio::time::timeout(RELEASE_MAX, asked).await {
            Ok(Ok(_)) => {}
            Ok(Err(status)) => tracing::warn!(replica = %id, %atm, code = ?status.code(), "a lane was not let go"),
            Err(_) => tracing::warn!(replica = %id, %atm, "a lane was not let go in time"),
        }
    }

    /// Whether any peer says that it takes ATMs. Who does not answer does not take any.
    pub(super) async fn any_takes_atms(&self) -> bool {
        let clients: Vec<PeerClient> = self.known().values().map(|peer| peer.client.clone()).collect();
        let mut asking = JoinSet::new();
        for mut client in clients {
            asking.spawn(async move {
                let answer = tokio::time::timeout(TAKES_ATMS_MAX, client.takes_atms(TakesAtmsRequest {})).await;
                answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.into_inner().takes))
            });
        }
        while let Some(takes) = asking.join_next().await {
            if takes.unwrap_or(false) {
                return true;
            }
        }
        false
    }

    fn client(&self, id: ReplicaId, address: &str) -> Result<PeerClient, tonic::transport::Error> {
        let connector = Connector {
            id,
            server_name: self.server_name.clone(),
            trust_domain: Arc::clone(&self.trust_domain),
            tls: self.tls.clone(),
        };
        // The connector brings the TLS, so tonic is given a plain address to dial and the real one to name in requests.
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?
            .origin(Endpoint::from_shared(format!("https://{address}"))?.uri().clone())
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true);
        let channel = endpoint.connect_with_connector_lazy(tower::service_fn(move |to: Uri| {
            let connector = connector.clone();
            async move {
                let connected = tokio::time::timeout(CONNECT_MAX, connector.connect(&to)).await;
                connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?.map(TokioIo::new)
            }
        }));
        // What a peer answers may be long: all its ATMs.
        Ok(ReplicaServiceClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX))
    }

    fn known(&self) -> MutexGuard<'_, HashMap<ReplicaId, Peer>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to one replica and to no other.
#[derive(Clone, Debug)]
struct Connector {
    id: ReplicaId,
    server_name: ServerName<'static>,
    trust_domain: Arc<str>,
    tls: Tls,
}

impl Connector {
    async fn connect(&self, to: &Uri) -> io::Result<TlsStream<TcpStream>> {
        let stream = dial(to, self.server_name.clone(), Arc::clone(&self.tls.now().client)).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        match certificate.map(|certificate| Identity::from_certificate(certificate, &self.trust_domain)) {
            Some(Ok(Identity::Replica(number))) if number == self.id.0 => Ok(stream),
            _ => {
                let what = format!("its certificate is not replica/{}", self.id);
                tracing::error!(address = %to, what, "a replica was not believed");
                Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
            }
        }
    }
}
