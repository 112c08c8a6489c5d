//! What the gateway counts. No account, device, token or PIN ever becomes a label.

use cashgate_hsm::HsmStats;
use cashgate_withdrawal::lane::Record;
use cashgate_withdrawal::refusal::Refusal;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, MeterProvider, UpDownCounter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, Registry, TextEncoder};

/// The gateway's counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    provider: SdkMeterProvider,
    minted: Counter<u64>,
    refused: Counter<u64>,
    steps: Counter<u64>,
    open: UpDownCounter<i64>,
    connected_atms: UpDownCounter<i64>,
    core_banking_calls: Counter<u64>,
    remarks: Counter<u64>,
}

/// The exporter could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the metrics exporter could not be set up: {0}")]
pub struct MetricsError(String);

impl Metrics {
    /// Counters at zero.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .build()
            .map_err(|error| MetricsError(error.to_string()))?;
        let resource = Resource::builder().with_service_name("cashgate").build();
        let provider = SdkMeterProvider::builder().with_resource(resource).with_reader(exporter).build();

        let meter = provider.meter("cashgate");
        let counter =
            |name: &'static str, meaning: &'static str| meter.u64_counter(name).with_description(meaning).build();
        let gauge = |name: &'static str, meaning: &'static str| {
            meter.i64_up_down_counter(name).with_description(meaning).build()
        };
        Ok(Self {
            minted: counter("cashgate_qr_tokens_minted", "QR tokens by result: signed or failed"),
            refused: counter("cashgate_refused", "Refused requests by rpc, reason and (for operators) factor"),
            steps: counter("cashgate_withdrawal_steps", "Durable steps of withdrawals by event and the state after it"),
            open: gauge("cashgate_withdrawals_open", "Open withdrawals by state"),
            connected_atms: gauge("cashgate_atms_connected", "ATMs connected now"),
            remarks: counter(
                "cashgate_remarks",
                "Repeated, late and contradictory messages about withdrawals, which changed nothing, by kind",
            ),
            core_banking_calls: counter("cashgate_core_banking_calls", "Calls to core banking by call and answer"),
            registry,
            provider,
        })
    }

    /// A QR token was signed, or not.
    pub fn minted(&self, signed: bool) {
        self.minted.add(1, &[KeyValue::new("result", if signed { "signed" } else { "failed" })]);
    }

    /// A request was refused.
    pub fn refused(&self, rpc: &'static str, refusal: &Refusal) {
        let labels = [
            KeyValue::new("rpc", rpc),
            KeyValue::new("reason", refusal.reason()),
            KeyValue::new("factor", refusal.factor()),
        ];
        self.refused.add(1, &labels);
    }

    /// A step became durable; `before` is the name of the state it left, if it is not the first.
    pub fn stepped(&self, record: &Record, before: Option<&'static str>) {
        let state = record.after.state.name();
        self.steps.add(1, &[KeyValue::new("event", record.name()), KeyValue::new("state", state)]);
        if let Some(before) = before {
            self.open.add(-1, &[KeyValue::new("state", before)]);
        }
        if !record.after.state.is_ended() {
            self.open.add(1, &[KeyValue::new("state", state)]);
        }
    }

    /// A withdrawal was found open at the start.
    pub fn recovered(&self, state: &'static str) {
        self.open.add(1, &[KeyValue::new("state", state)]);
    }

    /// An ATM connected (+1) or went (-1).
    pub fn connected_atms(&self, change: i64) {
        self.connected_atms.add(change, &[]);
    }

    /// A message about a withdrawal changed nothing.
    pub fn remarked(&self, kind: &'static str) {
        self.remarks.add(1, &[KeyValue::new("kind", kind)]);
    }

    /// Core banking answered, or did not.
    pub fn core_banking(&self, call: &'static str, answer: &'static str) {
        self.core_banking_calls.add(1, &[KeyValue::new("call", call), KeyValue::new("answer", answer)]);
    }

    /// Has the HSM's own figures exported whenever the metrics are read.
    pub fn observe_hsm(&self, hsm: cashgate_hsm::Hsm) {
        let meter = self.provider.meter("cashgate");
        let depth = hsm.clone();
        let _queue = meter
            .u64_observable_gauge("cashgate_hsm_queue_depth")
            .with_description("Calls that wait for the HSM")
            .with_callback(move |observer| {
                observer.observe(u64::try_from(depth.queue_depth()).unwrap_or(u64::MAX), &[])
            })
            .build();
        let _calls = meter
            .u64_observable_counter("cashgate_hsm_calls")
            .with_description("Calls to the HSM by result")
            .with_callback(move |observer| {
                let HsmStats { calls, errors, refused_full, timed_out, skipped } = hsm.stats();
                for (result, count) in [
                    ("made", calls),
                    ("failed", errors),
                    ("refused_queue_full", refused_full),
                    ("timed_out", timed_out),
                    ("skipped", skipped),
                ] {
                    observer.observe(count, &[KeyValue::new("result", result)]);
                }
            })
            .build();
    }

    /// Everything in the Prometheus text format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8(text).unwrap_or_default(),
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written");
                String::new()
            }
        }
    }
}
