//! An OTLP collector that keeps every span, or takes none.

use std::collections::BTreeSet;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::{Site, in_time};

/// A collector in this process.
pub(crate) struct Collector {
    port: u16,
    taken: watch::Sender<Vec<ExportTraceServiceRequest>>,
    /// The certificate that the last request came with, DER.
    sender: watch::Sender<Option<Vec<u8>>>,
}

impl Collector {
    /// One that takes everything.
    pub(crate) async fn takes() -> Self {
        Self::behind(Server::builder()).await
    }

    /// The same over TLS, with a certificate of the site; it takes only what comes with one, too, and closes connections that are older than a
    /// second, as a balancer does when an hour is over.
    pub(crate) async fn takes_over_tls(site: &Site) -> Self {
        let stem = site.certificate("corebank/sakura").display().to_string();
        let read = |file: String| std::fs::read(file).unwrap();
        let identity = Identity::from_pem(read(format!("{stem}.pem")), read(format!("{stem}-key.pem")));
        let authority = Certificate::from_pem(read(site.path("ca.pem").display().to_string()));
        let tls = ServerTlsConfig::new().identity(identity).client_ca_root(authority);
        Self::behind(Server::builder().max_connection_age(Duration::from_secs(1)).tls_config(tls).unwrap()).await
    }

    async fn behind(mut server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (taken, sender) = (watch::Sender::new(Vec::new()), watch::Sender::new(None));
        let service = TraceServiceServer::new(Taker { taken: taken.clone(), sender: sender.clone() });
        tokio::spawn(server.add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
        Self { port, taken, sender }
    }

    /// One that accepts connections and never says a word.
    pub(crate) async fn hangs() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((connection, _)) = listener.accept().await {
                silent.push(connection);
            }
        });
        Self { port, taken: watch::Sender::new(Vec::new()), sender: watch::Sender::new(None) }
    }

    pub(crate) fn tls_endpoint(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.taken.borrow().len()
    }

    /// The certificate that the last of them came with, DER.
    pub(crate) fn sender(&self) -> Option<Vec<u8>> {
        self.sender.borrow().clone()
    }

    /// Every span so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let taken = self.taken.borrow();
        let scopes = taken.iter().flat_map(|request| &request.resource_spans).flat_map(|of| &of.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The resource attributes that came with the spans, as text.
    pub(crate) fn resources(&self) -> BTreeSet<String> {
        let taken = self.taken.borrow();
        let resources = taken.iter().flat_map(|request| &request.resource_spans).filter_map(|of| of.resource.as_ref());
        resources.flat_map(|of| &of.attributes).map(|one| format!("{}={}", one.key, text(one.value.as_ref()))).collect()
    }

    /// Waits until the spans are as they are to be.
    pub(crate) async fn has(&self, what: &str, found: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let mut changes = self.taken.subscribe();
        in_time(what, async {
            loop {
                changes.borrow_and_update();
                let spans = self.spans();
                if found(&spans) {
                    return spans;
                }
                changes.changed().await.unwrap();
            }
        })
        .await
    }

    /// All that came, in every form in which it can be read.
    pub(crate) fn everything(&self) -> Vec<u8> {
        format!("{:?}", self.taken.borrow()).into_bytes()
    }
}

fn text(value: Option<&opentelemetry_proto::tonic::common::v1::AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

/// A text attribute of a span.
pub(crate) fn attribute(span: &Span, key: &str) -> Option<String> {
    span.attributes.iter().find(|one| one.key == key).map(|one| text(one.value.as_ref()))
}

#[derive(Clone)]
struct Taker {
    taken: watch::Sender<Vec<ExportTraceServiceRequest>>,
    sender: watch::Sender<Option<Vec<u8>>>,
}

#[tonic::async_trait]
impl TraceService for Taker {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.sender.send_replace(request.peer_certs().map(|chain| chain[0].to_vec()));
        self.taken.send_modify(|taken| taken.push(request.into_inner()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
