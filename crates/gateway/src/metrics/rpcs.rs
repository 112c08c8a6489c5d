//! Rate, errors and duration of each rpc; and the durations of what a customer waits for. With Prometheus' own histograms: they are listed before
//! anything has happened, and an observation takes no lookup of labels on the way that goes well.

use std::sync::Arc;
use std::time::Duration;

use cashgate_wire::status::code_name;
use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry};
use tonic::Code;

use crate::telemetry::{CALLED, OTHER, SERVED};

/// Seconds. From what a unary call takes at rest to core banking's longest time-out.
const CALL_SECONDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// As far as a group goes, and one append over it.
const GROUP_ROWS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Histograms, all but the last in seconds.
#[derive(Clone, Debug)]
pub(super) struct Durations {
    pub(super) served: RpcDurations,
    pub(super) called: RpcDurations,
    pub(super) approve_to_dispense: Histogram,
    pub(super) ledger_append: Histogram,
    pub(super) ledger_commit: Histogram,
    pub(super) ledger_group: Histogram,
}

/// The durations of a list of rpcs. A clone is one pointer: every request takes one along.
#[derive(Clone, Debug)]
pub struct RpcDurations(Arc<Rpcs>);

#[derive(Debug)]
struct Rpcs {
    all: HistogramVec,
    /// Those of calls that went well, in the order of the list, the rest last.
    went_well: Vec<(&'static str, Histogram)>,
}

impl Durations {
    pub(super) fn in_registry(registry: &Registry) -> Result<Self, prometheus::Error> {
        let within = |name: &str, meaning: &str, buckets: &[f64]| {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, meaning).buckets(buckets.to_vec()))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok::<_, prometheus::Error>(histogram)
        };
        let one = |name: &str, meaning: &str| within(name, meaning, &CALL_SECONDS);
        Ok(Self {
            served: RpcDurations::in_registry(
                registry,
                "rpc_server_call_duration_seconds",
                "Time from a request to the first answer, by rpc and gRPC code (OpenTelemetry's rpc.server.call.duration)",
                &SERVED,
            )?,
            called: RpcDurations::in_registry(
                registry,
                "rpc_client_call_duration_seconds",
                "Time from a request to core banking or another replica to the first answer or time-out, by rpc and gRPC code (rpc.client.call.duration)",
                &CALLED,
            )?,
            approve_to_dispense: one(
                "cashgate_approve_to_dispense_seconds",
                "Time from an accepted approval to the durable command to pay out",
            )?,
            ledger_append: one(
                "cashgate_ledger_append_seconds",
                "Time from handing steps to the ledger until they are on disk: queue, group commit and sync",
            )?,
            ledger_commit: one("cashgate_ledger_commit_seconds", "Time of one commit of the ledger with its sync")?,
            ledger_group: within(
                "cashgate_ledger_commit_rows",
                "Steps, notices and other rows that shared one commit and its sync",
                &GROUP_ROWS,
            )?,
        })
    }
}

impl RpcDurations {
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
        Ok(Self(Arc::new(Rpcs { all, went_well })))
    }

    /// One call, as far as its first answer.
    pub fn observe(&self, rpc: &'static str, code: Code, took: Duration) {
        let known = self.0.went_well.iter().find(|(name, _)| *name == rpc && code == Code::Ok);
        match known {
            Some((_, histogram)) => histogram.observe(took.as_secs_f64()),
            None => self.0.all.with_label_values(&[rpc, code_name(code)]).observe(took.as_secs_f64()),
        }
    }
}
