//! Rate, errors and duration of each rpc; and the durations of what a customer waits for. With Prometheus' own histograms: they are listed before
//! anything has happened, and an observation takes no lookup of labels on the way that goes well.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry};
use tonic::Code;

use crate::telemetry::{CALLED, OTHER, SERVED};

/// Seconds. From what a unary call takes at rest to core banking's longest time-out.
const CALL_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Histograms in seconds.
#[derive(Clone, Debug)]
pub(super) struct Durations {
    served: Arc<Rpcs>,
    called: Arc<Rpcs>,
    pub(super) approve_to_dispense: Histogram,
    pub(super) ledger_append: Histogram,
}

/// The histograms of a list of rpcs.
#[derive(Debug)]
struct Rpcs {
    all: HistogramVec,
    /// Those of calls that went well, in the order of the list, the rest last.
    went_well: Vec<(&'static str, Histogram)>,
}

impl Durations {
    pub(super) fn in_registry(registry: &Registry) -> Result<Self, prometheus::Error> {
        let one = |name: &str, meaning: &str| {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, meaning).buckets(CALL_SECONDS.to_vec()))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        Ok(Self {
            served: Arc::new(Rpcs::in_registry(
                registry,
                "rpc_server_call_duration_seconds",
                "Time from a request to the first answer, by rpc and gRPC code (OpenTelemetry's rpc.server.call.duration)",
                &SERVED,
            )?),
            called: Arc::new(Rpcs::in_registry(
                registry,
                "rpc_client_call_duration_seconds",
                "Time from a request to core banking to its answer or time-out, by rpc and gRPC code (rpc.client.call.duration)",
                &CALLED,
            )?),
            approve_to_dispense: one(
                "cashgate_approve_to_dispense_seconds",
                "Time from an accepted approval to the durable command to pay out",
            )?,
            ledger_append: one(
                "cashgate_ledger_append_seconds",
                "Time from handing steps to the ledger until they are on disk: queue, group commit and sync",
            )?,
        })
    }

    pub(super) fn served(&self, rpc: &'static str, code: Code, took: Duration) {
        self.served.observe(rpc, code, took);
    }

    pub(super) fn called(&self, rpc: &'static str, code: Code, took: Duration) {
        self.called.observe(rpc, code, took);
    }
}

impl Rpcs {
    fn in_registry(
        registry: &Registry,
        name: &str,
        meaning: &str,
        rpcs: &[&'static str],
    ) -> Result<Self, prometheus::Error> {
        let options = HistogramOpts::new(name, meaning).buckets(CALL_SECONDS.to_vec());
        let all = HistogramVec::new(options, &["rpc_method", "rpc_response_status_code"])?;
        registry.register(Box::new(all.clone()))?;
        let went_well = |rpc: &&'static str| (*rpc, all.with_label_values(&[*rpc, code_name(Code::Ok)]));
        let went_well = rpcs.iter().chain([&OTHER]).map(went_well).collect();
        Ok(Self { all, went_well })
    }

    fn observe(&self, rpc: &'static str, code: Code, took: Duration) {
        let known = self.went_well.iter().find(|(name, _)| *name == rpc && code == Code::Ok);
        match known {
            Some((_, histogram)) => histogram.observe(took.as_secs_f64()),
            None => self.all.with_label_values(&[rpc, code_name(code)]).observe(took.as_secs_f64()),
        }
    }
}

/// A gRPC code as the semantic conventions spell it.
#[must_use]
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
