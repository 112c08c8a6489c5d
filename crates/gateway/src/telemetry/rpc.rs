//! Every rpc that is served: its span, and its count, errors and duration. Put around a service, below which nothing knows of it.

use std::pin::Pin;
use std::task::{Context, Poll};

use cashgate_wire::status::code_name;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderMap, HeaderValue, Request, Response};
use tonic::server::NamedService;
use tonic::{Code, Status};

use super::{REFUSED, Span, Traceparent, Tracing};
use crate::clock::Stopwatch;
use crate::metrics::RpcDurations;

/// Every rpc that the gateway serves, as `package.Service/Method`. A test compares it with `proto/`.
pub(crate) const SERVED: [&str; 32] = [
    "cashgate.atm.v1.AtmService/Connect",
    "cashgate.customer.v1.CustomerService/RegisterDevice",
    "cashgate.customer.v1.CustomerService/RevokeDevice",
    "cashgate.customer.v1.CustomerService/Scan",
    "cashgate.customer.v1.CustomerService/Approve",
    "cashgate.customer.v1.CustomerService/Watch",
    "cashgate.customer.v1.CustomerService/Cancel",
    "cashgate.events.v1.EventService/Subscribe",
    "cashgate.operations.v1.OperationsService/GetWithdrawal",
    "cashgate.operations.v1.OperationsService/ListWithdrawals",
    "cashgate.operations.v1.OperationsService/ListAtms",
    "cashgate.operations.v1.OperationsService/ResolveSuspect",
    "cashgate.operations.v1.OperationsService/ListKeys",
    "cashgate.operations.v1.OperationsService/RotateKey",
    "cashgate.operations.v1.OperationsService/RetireKey",
    "cashgate.operations.v1.OperationsService/ListKeyEvents",
    "cashgate.operations.v1.OperationsService/Stop",
    "cashgate.operations.v1.OperationsService/Release",
    "cashgate.operations.v1.OperationsService/ListStops",
    "cashgate.operations.v1.OperationsService/GetDevice",
    "cashgate.operations.v1.OperationsService/ReleaseDevice",
    "cashgate.operations.v1.OperationsService/PublishRules",
    "cashgate.operations.v1.OperationsService/ListPublications",
    "cashgate.operations.v1.OperationsService/GetPublication",
    "cashgate.replica.v1.ReplicaService/ForwardScan",
    "cashgate.replica.v1.ReplicaService/ForwardApprove",
    "cashgate.replica.v1.ReplicaService/ForwardCancel",
    "cashgate.replica.v1.ReplicaService/ForwardWatch",
    "cashgate.replica.v1.ReplicaService/ForwardResolveSuspect",
    "cashgate.replica.v1.ReplicaService/ReleaseLane",
    "cashgate.replica.v1.ReplicaService/ListLanes",
    "cashgate.replica.v1.ReplicaService/TakesAtms",
];

/// Every rpc of core banking, and of other replicas for a customer or an operator, that the gateway calls.
pub(crate) const CALLED: [&str; 8] = [
    "cashgate.corebank.v1.CoreBankingService/PlaceHold",
    "cashgate.corebank.v1.CoreBankingService/ConfirmHold",
    "cashgate.corebank.v1.CoreBankingService/ReverseHold",
    "cashgate.replica.v1.ReplicaService/ForwardScan",
    "cashgate.replica.v1.ReplicaService/ForwardApprove",
    "cashgate.replica.v1.ReplicaService/ForwardCancel",
    "cashgate.replica.v1.ReplicaService/ForwardWatch",
    "cashgate.replica.v1.ReplicaService/ForwardResolveSuspect",
];

/// The headers in which gRPC says how a call ended.
const STATUS: &str = "grpc-status";
const DETAILS: &str = "grpc-status-details-bin";

/// What a path that is none of them counts as: peers must not be able to make labels.
pub(crate) const OTHER: &str = "other";

/// The full name of an rpc that the gateway calls.
#[must_use]
pub fn called_rpc(method: &str) -> &'static str {
    let is_it = |rpc: &&&str| rpc.rsplit('/').next() == Some(method);
    CALLED.iter().find(is_it).copied().unwrap_or(OTHER)
}

fn served_rpc(path: &str) -> &'static str {
    let name = path.trim_start_matches('/');
    SERVED.iter().find(|rpc| **rpc == name).copied().unwrap_or(OTHER)
}

/// A service under observation.
#[derive(Clone, Debug)]
pub struct Observed<S> {
    service: S,
    tracing: Tracing,
    durations: RpcDurations,
}

impl<S> Observed<S> {
    /// Observes a service.
    #[must_use]
    pub const fn new(service: S, tracing: Tracing, durations: RpcDurations) -> Self {
        Self { service, tracing, durations }
    }
}

impl<S: NamedService> NamedService for Observed<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<Request<Body>> for Observed<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let rpc = served_rpc(request.uri().path());
        let span = if self.tracing.is_on() {
            let span = self.tracing.root(rpc, Traceparent::from_headers(request.headers()).as_ref());
            span.is_of_rpc(rpc);
            span
        } else {
            Span::OFF
        };
        let mut served =
            Served { rpc, span, since: Stopwatch::start(), durations: self.durations.clone(), ended: false };
        // Within the span, because what a service does before its first await counts too.
        let serving = {
            let _within = served.span.enter();
            self.service.call(request)
        };
        Box::pin(async move {
            let mut answer = served.span.clone().within(serving).await;
            if let Ok(response) = &mut answer {
                blame_the_caller(response.headers_mut());
                served.answered(code_of(response.headers()));
            }
            answer
        })
    }
}

/// How a call ended, as far as its first answer shows it: a stream may still fail later.
fn code_of(headers: &HeaderMap) -> Code {
    Status::from_header_map(headers).map_or(Code::Ok, |status| status.code())
}

/// A message that is no protobuf, or says that it is compressed, is answered with INTERNAL below us. It is the caller's mistake, and must neither
/// wake anybody nor be tried again; a failure of our own has details.
fn blame_the_caller(headers: &mut HeaderMap) {
    if code_of(headers) == Code::Internal && !headers.contains_key(DETAILS) {
        headers.insert(STATUS, HeaderValue::from(Code::InvalidArgument as i32));
    }
}

/// One call; a caller that goes away before the answer leaves it as it is.
struct Served {
    rpc: &'static str,
    span: Span,
    since: Stopwatch,
    durations: RpcDurations,
    ended: bool,
}

impl Served {
    fn answered(&mut self, code: Code) {
        self.ended = true;
        self.durations.observe(self.rpc, code, self.since.elapsed());
        says(&self.span, code);
        self.span.end();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if !self.ended {
            self.answered(Code::Cancelled);
        }
    }
}

/// Puts the end of a call into its span. Which codes are errors of a server:
/// <https://opentelemetry.io/docs/specs/semconv/rpc/grpc/#grpc-status>; the others that are not OK are refusals, whose traces are told as well.
fn says(span: &Span, code: Code) {
    span.set(opentelemetry_semantic_conventions::attribute::RPC_RESPONSE_STATUS_CODE, || code_name(code));
    match code {
        Code::Ok | Code::Cancelled => {}
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => span.fail(code_name(code)),
        _ => span.keep(REFUSED),
    }
}

/// Puts the end of a call to another service into its span: whatever is not OK is an error there.
pub(crate) fn called(span: &Span, code: Code) {
    span.set(opentelemetry_semantic_conventions::attribute::RPC_RESPONSE_STATUS_CODE, || code_name(code));
    if code != Code::Ok {
        span.fail(code_name(code));
    }
    span.end();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The rpcs that a proto file declares, as `package.Service/Method`.
    fn declared(name: &str) -> Vec<String> {
        let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/cashgate").join(name);
        let text = std::fs::read_to_string(proto.join(format!("v1/{name}.proto"))).unwrap();
        let mut service = String::new();
        let mut found = Vec::new();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("service"), Some(named)) => service = format!("cashgate.{name}.v1.{named}"),
                (Some("rpc"), Some(rest)) => found.push(format!("{service}/{}", rest.split('(').next().unwrap())),
                _ => {}
            }
        }
        found
    }

    #[test]
    fn what_cannot_be_decoded_is_the_callers_mistake_and_a_failure_of_ours_is_not() {
        let code_of_answer = |status: Status| {
            let mut answer = status.into_http::<()>();
            blame_the_caller(answer.headers_mut());
            code_of(answer.headers())
        };
        assert_eq!(code_of_answer(Status::internal("failed to decode Protobuf message")), Code::InvalidArgument);
        assert_eq!(code_of_answer(cashgate_wire::status::internal()), Code::Internal);
        assert_eq!(code_of_answer(Status::unavailable("later")), Code::Unavailable);
        assert_eq!(code_of(&HeaderMap::new()), Code::Ok);
    }

    #[test]
    fn every_rpc_has_its_name() {
        let served: BTreeSet<String> =
            ["atm", "customer", "events", "operations", "replica"].map(declared).concat().into_iter().collect();
        assert_eq!(served, SERVED.iter().map(ToString::to_string).collect());
        let called = ["corebank", "replica"].map(declared).concat();
        assert!(CALLED.iter().all(|rpc| called.iter().any(|known| known == rpc)), "{called:?}");
        assert_eq!(served_rpc("/cashgate.customer.v1.CustomerService/Scan"), SERVED[3]);
        assert_eq!(served_rpc("/cashgate.customer.v1.CustomerService/acct-1"), OTHER);
        assert_eq!(called_rpc("ConfirmHold"), CALLED[1]);
    }
}
