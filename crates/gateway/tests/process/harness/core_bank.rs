//! A core bank that does as it is told and remembers every call.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cashgate_wire::proto::corebank::v1::core_banking_service_server::{CoreBankingService, CoreBankingServiceServer};
use cashgate_wire::proto::corebank::v1::{
    ConfirmHoldRequest, ConfirmHoldResponse, GetHoldRequest, GetHoldResponse, HoldDeclined, HoldGranted,
    PlaceHoldRequest, PlaceHoldResponse, ReverseHoldRequest, ReverseHoldResponse, place_hold_response,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::in_time;

/// What it does with hold requests from now on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum HoldScript {
    Grant,
    Decline,
    /// It takes the request and never answers.
    Silence,
}

/// A call as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    Place(PlaceHoldRequest),
    Confirm(ConfirmHoldRequest),
    Reverse(ReverseHoldRequest),
}

impl Call {
    fn withdrawal_id(&self) -> &str {
        match self {
            Self::Place(request) => &request.withdrawal_id,
            Self::Confirm(request) => &request.withdrawal_id,
            Self::Reverse(request) => &request.withdrawal_id,
        }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Self::Place(_) => "place".to_owned(),
            Self::Confirm(request) => {
                format!("confirm {}", request.amount.as_ref().map_or(0, |amount| amount.minor_units))
            }
            Self::Reverse(_) => "reverse".to_owned(),
        }
    }
}

/// The core banks of a test's institutions, each at a port of its own, with one script and one memory.
pub(crate) struct CoreBank {
    listeners: Vec<std::net::TcpListener>,
    counter: Counter,
}

impl CoreBank {
    /// Two that listen and do not answer yet.
    pub(crate) fn reserve_ports() -> Self {
        let listeners = (0..2).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let script = Arc::new(Mutex::new(HoldScript::Grant));
        let (calls, settles) = (watch::Sender::new(Vec::new()), watch::Sender::new(true));
        let counter = Counter { calls, traceparents: Arc::default(), script, settles };
        Self { listeners, counter }
    }

    /// The ports, in the order of the institutions.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
    }

    /// Begins to answer, each with the certificate of which this is the stem.
    pub(crate) fn open(&self, ca: &Path, certificates: &[PathBuf]) {
        let read = |file: &str| std::fs::read(file).unwrap();
        for (listener, stem) in self.listeners.iter().zip(certificates) {
            let stem = stem.display();
            let identity = Identity::from_pem(read(&format!("{stem}.pem")), read(&format!("{stem}-key.pem")));
            let authority = Certificate::from_pem(std::fs::read(ca).unwrap());
            let tls = ServerTlsConfig::new().identity(identity).client_ca_root(authority);
            let listener = listener.try_clone().unwrap();
            listener.set_nonblocking(true).unwrap();
            let incoming = TcpIncoming::from(TcpListener::from_std(listener).unwrap());
            let service = CoreBankingServiceServer::new(self.counter.clone());
            let server = Server::builder().tls_config(tls).unwrap().add_service(service);
            tokio::spawn(server.serve_with_incoming(incoming));
        }
    }

    pub(crate) fn is_to(&self, script: HoldScript) {
        *self.counter.script.lock().unwrap() = script;
    }

    /// Whether it answers that a hold is confirmed or reversed. Who asks while it does not waits until it does.
    pub(crate) fn settles(&self, settles: bool) {
        self.counter.settles.send_replace(settles);
    }

    /// Every call about one withdrawal, in order.
    pub(crate) fn calls(&self, withdrawal_id: &str) -> Vec<Call> {
        self.counter.calls.borrow().iter().filter(|call| call.withdrawal_id() == withdrawal_id).cloned().collect()
    }

    /// The same as words.
    pub(crate) fn call_names(&self, withdrawal_id: &str) -> Vec<String> {
        self.calls(withdrawal_id).iter().map(Call::name).collect()
    }

    /// The trace contexts that came with the calls, in order.
    pub(crate) fn traceparents(&self) -> Vec<String> {
        self.counter.traceparents.lock().unwrap().clone()
    }

    /// How many calls there were at all.
    pub(crate) fn call_count(&self) -> usize {
        self.counter.calls.borrow().len()
    }

    /// Waits for a call about a withdrawal whose name begins so.
    pub(crate) async fn called(&self, withdrawal_id: &str, name: &str) -> Call {
        let mut calls = self.counter.calls.subscribe();
        let found = |calls: &Vec<Call>| {
            calls.iter().find(|c| c.withdrawal_id() == withdrawal_id && c.name().starts_with(name)).cloned()
        };
        let seen = calls.wait_for(|calls| found(calls).is_some());
        let seen = in_time(&format!("core banking is called: {name}"), seen).await.unwrap();
        found(&seen).unwrap()
    }
}

#[derive(Clone)]
struct Counter {
    calls: watch::Sender<Vec<Call>>,
    traceparents: Arc<Mutex<Vec<String>>>,
    script: Arc<Mutex<HoldScript>>,
    settles: watch::Sender<bool>,
}

impl Counter {
    fn note<T>(&self, request: Request<T>, call: impl FnOnce(T) -> Call) {
        if let Some(given) = request.metadata().get("traceparent") {
            self.traceparents.lock().unwrap().push(given.to_str().unwrap().to_owned());
        }
        let call = call(request.into_inner());
        self.calls.send_modify(|calls| calls.push(call));
    }

    async fn settles(&self) {
        // The sender is part of this.
        let _ = self.settles.subscribe().wait_for(|settles| *settles).await;
    }
}

#[tonic::async_trait]
impl CoreBankingService for Counter {
    async fn place_hold(&self, request: Request<PlaceHoldRequest>) -> Result<Response<PlaceHoldResponse>, Status> {
        use place_hold_response::Decision;
        let hold_reference = format!("hold-{}", request.get_ref().withdrawal_id);
        self.note(request, Call::Place);
        let script = *self.script.lock().unwrap();
        let decision = match script {
            HoldScript::Grant => Decision::Granted(HoldGranted { hold_reference }),
            HoldScript::Decline => Decision::Declined(HoldDeclined { code: "insufficient_funds".to_owned() }),
            HoldScript::Silence => std::future::pending().await,
        };
        Ok(Response::new(PlaceHoldResponse { decision: Some(decision) }))
    }

    async fn confirm_hold(
        &self,
        request: Request<ConfirmHoldRequest>,
    ) -> Result<Response<ConfirmHoldResponse>, Status> {
        self.note(request, Call::Confirm);
        self.settles().await;
        Ok(Response::new(ConfirmHoldResponse { refused: None }))
    }

    async fn reverse_hold(
        &self,
        request: Request<ReverseHoldRequest>,
    ) -> Result<Response<ReverseHoldResponse>, Status> {
        self.note(request, Call::Reverse);
        self.settles().await;
        Ok(Response::new(ReverseHoldResponse { refused: None }))
    }

    async fn get_hold(&self, _: Request<GetHoldRequest>) -> Result<Response<GetHoldResponse>, Status> {
        Err(Status::unimplemented("no test asks"))
    }
}
