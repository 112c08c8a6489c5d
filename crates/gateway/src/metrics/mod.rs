//! What the gateway counts. No account, device, token or PIN ever becomes a label.
//!
//! A series that appears with its first event hides that event from Prometheus, which sees no increase. So what an alert counts begins at zero.

mod observed;
mod replicas;
mod rpcs;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cashgate_policy::Decision;
use cashgate_policy::patterns::Pattern;
use cashgate_withdrawal::event::Event;
use cashgate_withdrawal::lane::{OUTCOME_CONTRADICTS_END, Record};
use cashgate_withdrawal::refusal::Refusal;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider, UpDownCounter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Encoder, Registry, TextEncoder};
use replicas::BetweenReplicas;
use rpcs::Durations;
pub use rpcs::RpcDurations;

/// The gateway's counters.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    provider: SdkMeterProvider,
    durations: Durations,
    between: BetweenReplicas,
    minted: Arc<Minted>,
    claimed: Counter<u64>,
    dispensed: Counter<u64>,
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

/// The states of withdrawals that are open.
const OPEN_STATES: [&str; 8] = [
    "hold_requested",
    "awaiting_code",
    "held",
    "dispense_commanded",
    "outcome_unknown",
    "confirming",
    "reversing",
    "suspect",
];

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

        let durations = Durations::in_registry(&registry).map_err(|error| MetricsError(error.to_string()))?;
        // CPU, memory, descriptors and start of the process, under the names that every Prometheus client gives them.
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))
            .map_err(|error| MetricsError(error.to_string()))?;
        let metrics = Self::counted_by(&provider.meter("cashgate"), durations, registry, provider.clone());
        metrics.begin_at_zero();
        Ok(metrics)
    }

    fn counted_by(meter: &Meter, durations: Durations, registry: Registry, provider: SdkMeterProvider) -> Self {
        let counter =
            |name: &'static str, meaning: &'static str| meter.u64_counter(name).with_description(meaning).build();
        let gauge = |name: &'static str, meaning: &'static str| {
            meter.i64_up_down_counter(name).with_description(meaning).build()
        };
        Self {
            durations,
            between: BetweenReplicas::counted_by(meter),
            minted: Minted::observed_by(meter),
            claimed: counter("cashgate_qr_tokens_claimed", "QR tokens that a phone claimed"),
            dispensed: counter(
                "cashgate_dispensed_minor_units",
                "Money that left machines and was confirmed to core banking, in minor units, by institution and currency",
            ),
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
        }
    }

    fn begin_at_zero(&self) {
        for state in OPEN_STATES {
            self.open.add(0, &[KeyValue::new("state", state)]);
        }
        self.steps.add(0, &[KeyValue::new("event", "outcome_deadline_passed"), KeyValue::new("state", "suspect")]);
        self.connected_atms.add(0, &[]);
        self.claimed.add(0, &[]);
        self.remarks.add(0, &[KeyValue::new("kind", OUTCOME_CONTRADICTS_END)]);
        for pattern in Pattern::ALL {
            self.alarms.add(0, &[KeyValue::new("pattern", pattern.name())]);
        }
        for result in ["taken", "refused"] {
            self.rule_reloads.add(0, &[KeyValue::new("result", result)]);
        }
        for (call, answers) in [
            ("place_hold", ["granted", "declined", "unanswered"]),
            ("confirm_hold", ["done", "refused", "unanswered"]),
            ("reverse_hold", ["done", "refused", "unanswered"]),
        ] {
            for answer in answers {
                self.core_banking_calls.add(0, &[KeyValue::new("call", call), KeyValue::new("answer", answer)]);
            }
        }
        for (rpc, reason, factor) in [("Approve", "NOT_ALLOWED", "policy"), ("Approve", "NOT_ALLOWED", "signature")] {
            let labels = [KeyValue::new("rpc", rpc), KeyValue::new("reason", reason), KeyValue::new("factor", factor)];
            self.refused.add(0, &labels);
        }
        for factor in ["per_withdrawal", "per_day", "per_24h", "burst"] {
            let labels = [
                KeyValue::new("rpc", "Approve"),
                KeyValue::new("reason", "LIMIT_EXCEEDED"),
                KeyValue::new("factor", factor),
            ];
            self.refused.add(0, &labels);
        }
        self.notices.add(0, &[KeyValue::new("kind", "approval_refused")]);
        self.policy_decisions.add(
            0,
            &[KeyValue::new("set", "running"), KeyValue::new("verdict", "forbid"), KeyValue::new("reason", "")],
        );
    }

    /// The rpcs that are served.
    #[must_use]
    pub const fn served(&self) -> &RpcDurations {
        &self.durations.served
    }

    /// The rpcs of core banking that are called.
    #[must_use]
    pub const fn called(&self) -> &RpcDurations {
        &self.durations.called
    }

    /// Steps that were handed to the ledger are on disk.
    pub fn appended(&self, took: Duration) {
        self.durations.ledger_append.observe(took.as_secs_f64());
    }

    /// A phone claimed a QR token.
    pub fn claimed(&self) {
        self.claimed.add(1, &[]);
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
        let terms = &record.after.terms;
        match (&record.event, record.after.state.dispensed()) {
            (Some(Event::DispenseCommanded { .. }), _) => {
                self.durations.approve_to_dispense.observe(record.at.since(terms.approved_at).as_secs_f64());
            }
            (Some(_), Some(amount)) if record.after.state.is_ended() => {
                let labels = [
                    KeyValue::new("institution", terms.institution.to_string()),
                    KeyValue::new("currency", amount.currency().to_string()),
                ];
                self.dispensed.add(amount.minor_units(), &labels);
            }
            _ => {}
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

    /// Core banking answered, or did not.
    pub fn core_banking(&self, call: &'static str, answer: &'static str) {
        self.core_banking_calls.add(1, &[KeyValue::new("call", call), KeyValue::new("answer", answer)]);
    }

    /// An HSM signed `codes` QR tokens at once.
    pub fn hsm_signed(&self, codes: usize, took: Duration) {
        self.hsm_batch.record(u64::try_from(codes).unwrap_or(u64::MAX), &[]);
        self.hsm_signature.record(took.as_secs_f64(), &[]);
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
