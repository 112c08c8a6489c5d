//! What the gateway counts. No account, device, token or PIN ever becomes a label.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cashgate_hsm::{Batcher, Hsm, HsmState, HsmStats};
use cashgate_ledger::Ledger;
use cashgate_policy::Decision;
use cashgate_withdrawal::lane::Record;
use cashgate_withdrawal::refusal::Refusal;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider, UpDownCounter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, Registry, TextEncoder};

use crate::stops::Stops;

/// The gateway's counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    provider: SdkMeterProvider,
    minted: Arc<Minted>,
    refused: Counter<u64>,
    steps: Counter<u64>,
    open: UpDownCounter<i64>,
    connected_atms: UpDownCounter<i64>,
    core_banking_calls: Counter<u64>,
    remarks: Counter<u64>,
    policy_decisions: Counter<u64>,
    shadow_differences: Counter<u64>,
    notices: Counter<u64>,
    alarms: Counter<u64>,
    rule_reloads: Counter<u64>,
    hsm_batch: Histogram<u64>,
    hsm_signature: Histogram<f64>,
}

/// Counted by hand: a code costs about as much CPU as OpenTelemetry's counter with its labels.
#[derive(Debug, Default)]
struct Minted {
    signed: AtomicU64,
    failed: AtomicU64,
}

impl Minted {
    fn observed_by(meter: &Meter) -> Arc<Self> {
        let minted = Arc::new(Self::default());
        let observed = Arc::clone(&minted);
        let _counter = meter
            .u64_observable_counter("cashgate_qr_tokens_minted")
            .with_description("QR tokens by result: signed or failed")
            .with_callback(move |observer| {
                for (result, count) in [("signed", &observed.signed), ("failed", &observed.failed)] {
                    observer.observe(count.load(Ordering::Relaxed), &[KeyValue::new("result", result)]);
                }
            })
            .build();
        minted
    }
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
            minted: Minted::observed_by(&meter),
            refused: counter("cashgate_refused", "Refused requests by rpc, reason and (for operators) factor"),
            steps: counter("cashgate_withdrawal_steps", "Durable steps of withdrawals by event and the state after it"),
            open: gauge("cashgate_withdrawals_open", "Open withdrawals by state"),
            connected_atms: gauge("cashgate_atms_connected", "ATMs connected now"),
            remarks: counter(
                "cashgate_remarks",
                "Repeated, late and contradictory messages about withdrawals, which changed nothing, by kind",
            ),
            policy_decisions: counter(
                "cashgate_policy_decisions",
                "Decisions of a policy set (running, shadow) by verdict and reason; one with several reasons counts for each",
            ),
            shadow_differences: counter(
                "cashgate_policy_shadow_differences",
                "Approvals on which the shadow set would have decided otherwise, by both verdicts",
            ),
            notices: counter("cashgate_notices", "Notices in the event feed by kind"),
            alarms: counter("cashgate_fraud_alarms", "Patterns over many withdrawals that stood out, by pattern"),
            rule_reloads: counter("cashgate_rule_reloads", "Policies and limits that were read again, by result"),
            core_banking_calls: counter("cashgate_core_banking_calls", "Calls to core banking by call and answer"),
            hsm_batch: meter
                .u64_histogram("cashgate_hsm_codes_per_signature")
                .with_description("QR tokens under one signature of an HSM")
                .with_boundaries(vec![1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
                .build(),
            hsm_signature: meter
                .f64_histogram("cashgate_hsm_signature_seconds")
                .with_description("Time from giving a digest to an HSM to its signature")
                .with_boundaries(vec![0.0001, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0])
                .build(),
            registry,
            provider,
        })
    }

    /// For parts that count for themselves.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.provider.meter("cashgate")
    }

    /// A QR token was signed, or not.
    pub fn minted(&self, signed: bool) {
        let counter = if signed { &self.minted.signed } else { &self.minted.failed };
        counter.fetch_add(1, Ordering::Relaxed);
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

    /// A policy set decided.
    pub fn decided(&self, set: &'static str, decision: &Decision) {
        let label = |reason: String| {
            [
                KeyValue::new("set", set),
                KeyValue::new("verdict", decision.verdict.name()),
                KeyValue::new("reason", reason),
            ]
        };
        if decision.reasons.is_empty() {
            self.policy_decisions.add(1, &label(String::new()));
        }
        for reason in &decision.reasons {
            self.policy_decisions.add(1, &label(reason.to_string()));
        }
    }

    /// The shadow set would have decided otherwise.
    pub fn shadow_differed(&self, running: &Decision, shadow: &Decision) {
        let labels = [KeyValue::new("running", running.verdict.name()), KeyValue::new("shadow", shadow.verdict.name())];
        self.shadow_differences.add(1, &labels);
    }

    /// A notice went into the feed.
    pub fn noticed(&self, kind: &'static str) {
        self.notices.add(1, &[KeyValue::new("kind", kind)]);
    }

    /// A pattern stood out.
    pub fn alarmed(&self, pattern: &str) {
        self.alarms.add(1, &[KeyValue::new("pattern", pattern.to_owned())]);
    }

    /// Policies and limits were read again.
    pub fn reloaded(&self, result: &'static str) {
        self.rule_reloads.add(1, &[KeyValue::new("result", result)]);
    }

    /// Has what the ledger could not keep exported whenever the metrics are read: nobody waited for it.
    pub fn observe_ledger(&self, ledger: Ledger) {
        let meter = self.provider.meter("cashgate");
        let _counter = meter
            .u64_observable_counter("cashgate_ledger_dropped")
            .with_description("Remarks and notices that were not kept because the queue or the disk was full")
            .with_callback(move |observer| {
                let stats = ledger.stats();
                for (kind, many) in [("remark", stats.remarks_dropped), ("notice", stats.notices_dropped)] {
                    observer.observe(many, &[KeyValue::new("kind", kind)]);
                }
            })
            .build();
    }

    /// Has the number of stops in force exported whenever the metrics are read.
    pub fn observe_stops(&self, stops: Arc<Stops>) {
        let meter = self.provider.meter("cashgate");
        let _gauge = meter
            .u64_observable_gauge("cashgate_stops_active")
            .with_description("Stops of the kill switch in force by the kind of their scope")
            .with_callback(move |observer| {
                let active = stops.active();
                for scope in ["everything", "institution", "atm", "account", "device"] {
                    let many = active.iter().filter(|(stopped, _)| stopped.name() == scope).count();
                    observer.observe(count(many), &[KeyValue::new("scope", scope)]);
                }
            })
            .build();
    }

    /// Core banking answered, or did not.
    pub fn core_banking(&self, call: &'static str, answer: &'static str) {
        self.core_banking_calls.add(1, &[KeyValue::new("call", call), KeyValue::new("answer", answer)]);
    }

    /// An HSM signed `codes` QR tokens at once.
    pub fn hsm_signed(&self, codes: usize, took: std::time::Duration) {
        self.hsm_batch.record(u64::try_from(codes).unwrap_or(u64::MAX), &[]);
        self.hsm_signature.record(took.as_secs_f64(), &[]);
    }

    /// Has the HSMs' own figures exported whenever the metrics are read.
    pub fn observe_hsm<B: Batcher>(&self, hsm: &Hsm<B>) {
        let meter = self.provider.meter("cashgate");
        let gauge =
            |name: &'static str, meaning: &'static str| meter.u64_observable_gauge(name).with_description(meaning);
        let (queue, states, workers) = (hsm.clone(), hsm.clone(), hsm.clone());
        let _queue = gauge("cashgate_hsm_queue_depth", "Calls that wait for an HSM")
            .with_callback(move |observer| observer.observe(count(queue.queue_depth()), &[]))
            .build();
        let _states =
            gauge("cashgate_hsm_slot_state", "1 for the state that an HSM slot is in: ready, degraded or lost")
                .with_callback(move |observer| {
                    for slot in states.slots() {
                        for state in [HsmState::Lost, HsmState::Degraded, HsmState::Ready] {
                            let labels =
                                [KeyValue::new("slot", slot.token_label.clone()), KeyValue::new("state", state.name())];
                            observer.observe(u64::from(slot.state == state), &labels);
                        }
                    }
                })
                .build();
        let _workers = gauge(
            "cashgate_hsm_slot_workers",
            "Workers of an HSM slot: at work, of these with a key that may sign, and stuck in a call",
        )
        .with_callback(move |observer| {
            for slot in workers.slots() {
                for (doing, many) in [("working", slot.workers), ("signing", slot.signers), ("stuck", slot.stuck)] {
                    let labels = [KeyValue::new("slot", slot.token_label.clone()), KeyValue::new("doing", doing)];
                    observer.observe(count(many), &labels);
                }
            }
        })
        .build();
        let hsm = hsm.clone();
        let _events = meter
            .u64_observable_counter("cashgate_hsm_events")
            .with_description("What happened to calls to the HSMs, by kind")
            .with_callback(move |observer| {
                for (kind, many) in kinds(hsm.stats()) {
                    observer.observe(many, &[KeyValue::new("kind", kind)]);
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

fn count(many: usize) -> u64 {
    u64::try_from(many).unwrap_or(u64::MAX)
}

fn kinds(stats: HsmStats) -> [(&'static str, u64); 9] {
    let HsmStats { calls, signatures, signed, failures, refused, timed_out, skipped, stuck, reopened } = stats;
    [
        ("call_answered", calls),
        ("signature", signatures),
        ("code_signed", signed),
        ("failure", failures),
        ("refused", refused),
        ("timed_out", timed_out),
        ("skipped", skipped),
        ("stuck", stuck),
        ("reopened", reopened),
    ]
}
