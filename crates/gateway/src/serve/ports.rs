//! The ports: bound before recovery, served after it.

use std::net::SocketAddr;
use std::sync::Arc;

use cashgate_wire::proto::atm::v1::atm_service_server::AtmServiceServer;
use cashgate_wire::proto::customer::v1::customer_service_server::CustomerServiceServer;
use cashgate_wire::proto::events::v1::event_service_server::EventServiceServer;
use cashgate_wire::proto::operations::v1::operations_service_server::OperationsServiceServer;
use cashgate_wire::proto::replica::v1::replica_service_server::ReplicaServiceServer;
use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;

use super::{Keepers, Parts, ServeError};
use crate::config::Config;
use crate::http::Readiness;
use crate::lanes::Lanes;
use crate::server::{Guarded, MESSAGE_BYTES_MAX, hardened, with_reflection};
use crate::services::{AtmPort, CustomerPort, EventPort, OperationsPort, ReplicaPort};
use crate::tls::watching::TlsKeeper;
use crate::{http, listener};

/// The bound ports. They are bound before recovery, so that a port that is taken is said at once, and served after it.
pub(super) struct Ports {
    atm: tokio::net::TcpListener,
    api: tokio::net::TcpListener,
    http: tokio::net::TcpListener,
    replica: Option<tokio::net::TcpListener>,
}

impl Ports {
    pub(super) async fn bind(config: &Config) -> Result<Self, ServeError> {
        async fn bound(key: &str, address: SocketAddr) -> Result<tokio::net::TcpListener, ServeError> {
            let taken = |error| ServeError(format!("listen.{key}: {address} cannot be listened on: {error}"));
            listener::bind(address).await.map_err(taken)
        }
        Ok(Self {
            atm: bound("atm", config.listen_atm).await?,
            api: bound("api", config.listen_api).await?,
            http: bound("http", config.listen_http).await?,
            replica: match &config.replica {
                Some(replica) => Some(bound("replica", replica.listen).await?),
                None => None,
            },
        })
    }

    /// Serves all ports until `shutting` turns true; the handle ends when the last connection has.
    pub(super) fn serve(
        self,
        config: &Config,
        keepers: &Keepers,
        lanes: &Arc<Lanes>,
        parts: &Parts,
        ready: watch::Receiver<Readiness>,
        shutting: &watch::Receiver<bool>,
    ) -> Result<tokio::task::JoinHandle<()>, ServeError> {
        let domain: Arc<str> = config.trust_domain.as_str().into();
        let [atm_registry, api_registry, replica_registry] = parts.registries.clone();
        let atm =
            with_reflection(hardened(atm_registry.guard())).map_err(ServeError::new)?.add_service(parts.observed(
                AtmServiceServer::new(AtmPort::new(Arc::clone(lanes))).max_decoding_message_size(MESSAGE_BYTES_MAX),
            ));
        let customers = CustomerPort::new(Arc::clone(lanes));
        let operations =
            OperationsPort::new(Arc::clone(lanes), parts.keys.clone(), parts.switch.clone(), parts.publisher.clone());
        let replicas = with_reflection(hardened(replica_registry.guard())).map_err(ServeError::new)?.add_service(
            parts.observed(
                ReplicaServiceServer::new(ReplicaPort::new(customers.clone(), operations.clone()))
                    .max_decoding_message_size(MESSAGE_BYTES_MAX),
            ),
        );
        let events = EventPort::new(Arc::clone(lanes));
        let api = with_reflection(hardened(api_registry.guard()))
            .map_err(ServeError::new)?
            .add_service(
                parts.observed(CustomerServiceServer::new(customers).max_decoding_message_size(MESSAGE_BYTES_MAX)),
            )
            .add_service(
                parts.observed(OperationsServiceServer::new(operations).max_decoding_message_size(MESSAGE_BYTES_MAX)),
            )
            .add_service(parts.observed(EventServiceServer::new(events).max_decoding_message_size(MESSAGE_BYTES_MAX)));
        let run = |router: Guarded, port, registry, tls| {
            let connections = listener::connections(port, tls, Arc::clone(&domain), registry);
            router.serve_with_incoming_shutdown(ReceiverStream::new(connections), turned(shutting.clone()))
        };
        let atm = tokio::spawn(run(atm, self.atm, atm_registry, keepers.gateway.tls()));
        let api = tokio::spawn(run(api, self.api, api_registry, keepers.gateway.tls()));
        let port = self.replica.zip(keepers.replica.as_ref().map(TlsKeeper::tls));
        let replica = port.map(|(port, tls)| tokio::spawn(run(replicas, port, replica_registry, tls)));
        let replica = async move {
            match replica {
                Some(replica) => flat(replica.await),
                None => Ok(()),
            }
        };
        let pages = http::router(Arc::clone(lanes.surroundings()), parts.keys.clone(), parts.hsm.clone(), ready);
        let http = http::serve(self.http, pages, parts.guard.clone(), turned(shutting.clone()));
        Ok(tokio::spawn(async move {
            let (atm, api, (), replica) = tokio::join!(atm, api, http, replica);
            for (port, ended) in [("atm", flat(atm)), ("api", flat(api)), ("replica", replica)] {
                if let Err(error) = ended {
                    tracing::error!(port, error, "a port ended badly");
                }
            }
        }))
    }
}

fn flat(ended: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>) -> Result<(), String> {
    ended.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

async fn turned(mut shutting: watch::Receiver<bool>) {
    let _ = shutting.wait_for(|shutting| *shutting).await;
}
