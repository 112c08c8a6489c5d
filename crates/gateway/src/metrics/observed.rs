//! Figures that others keep, exported whenever the metrics are read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cashgate_hsm::{Batcher, Hsm, HsmState, HsmStats};
use cashgate_ledger::{CommitObserver, Ledger, Room};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use prometheus::Histogram;

use super::Metrics;
use crate::clock::Stopwatch;
use crate::publishing::Standing;
use crate::stops::Stops;
use crate::telemetry::SpanCounts;

/// Times the ledger's commits, of which each writer has one at a time.
struct Commits {
    began: Mutex<HashMap<usize, Stopwatch>>,
    took: Histogram,
    rows: Histogram,
}

impl CommitObserver for Commits {
    fn begins(&self, writer: usize) {
        self.began.lock().unwrap_or_else(PoisonError::into_inner).insert(writer, Stopwatch::start());
    }

    #[allow(clippy::cast_precision_loss, reason = "a group has at most some hundred rows")]
    fn is_durable(&self, writer: usize, rows: usize) {
        if let Some(began) = self.began.lock().unwrap_or_else(PoisonError::into_inner).remove(&writer) {
            self.took.observe(began.elapsed().as_secs_f64());
            self.rows.observe(rows as f64);
        }
    }
}

impl Metrics {
    /// Has what the ledger could not keep exported whenever the metrics are read: nobody waited for it.
    pub fn observe_ledger(&self, ledger: Ledger) {
        let meter = self.provider.meter("cashgate");
        let kept = ledger.clone();
        let _counter = meter
            .u64_observable_counter("cashgate_ledger_dropped")
            .with_description("Remarks and notices that were not kept because the queue or the disk was full")
            .with_callback(move |observer| {
                let stats = kept.stats();
                for (kind, many) in [("remark", stats.remarks_dropped), ("notice", stats.notices_dropped)] {
                    observer.observe(many, &[KeyValue::new("kind", kind)]);
                }
            })
            .build();
        ledger.observe_commits(Commits {
            began: Mutex::default(),
            took: self.durations.ledger_commit.clone(),
            rows: self.durations.ledger_group.clone(),
        });
        self.observe_writes(ledger);
    }

    /// Steps and appends over commits are how many share one sync.
    fn observe_writes(&self, ledger: Ledger) {
        let meter = self.provider.meter("cashgate");
        let rooms = ledger.clone();
        let _writes = meter
            .u64_observable_counter("cashgate_ledger_writes")
            .with_description(
                "What the ledger made durable: commits (one sync each), appends in them, and steps in these",
            )
            .with_callback(move |observer| {
                let stats = ledger.stats();
                for (what, many) in [("commit", stats.commits), ("append", stats.appends), ("step", stats.steps)] {
                    observer.observe(many, &[KeyValue::new("what", what)]);
                }
            })
            .build();
        let _room = meter
            .u64_observable_gauge("cashgate_ledger_on_reserve")
            .with_description(
                "1 while the disk is full, the ledger lives on its reserve and no new withdrawal may begin; else 0",
            )
            .with_callback(move |observer| observer.observe(u64::from(rooms.room() == Room::Reserve), &[]))
            .build();
    }

    /// Has what became of spans exported whenever the metrics are read.
    pub fn observe_spans(&self, counts: Arc<SpanCounts>) {
        let meter = self.provider.meter("cashgate");
        let _counter = meter
            .u64_observable_counter("cashgate_spans")
            .with_description(
                "Spans that ended, by what became of them: exported, dropped for a reason, or not sampled",
            )
            .with_callback(move |observer| {
                for (fate, many) in counts.all() {
                    observer.observe(many, &[KeyValue::new("fate", fate)]);
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

    /// Has it exported which publication of rules and limits is known here and which holds, whenever the metrics are read.
    pub fn observe_publications(&self, standing: Arc<Standing>) {
        let meter = self.provider.meter("cashgate");
        let gauge =
            |name: &'static str, meaning: &'static str| meter.u64_observable_gauge(name).with_description(meaning);
        let seen = Arc::clone(&standing);
        let _latest = gauge(
            "cashgate_publication_latest",
            "The latest publication of rules and limits that was seen; 0: none, or they come from files",
        )
        .with_callback(move |observer| observer.observe(seen.latest(), &[]))
        .build();
        let _in_force = gauge(
            "cashgate_publication_in_force",
            "The publication of rules and limits that holds; 0: none, or they come from files",
        )
        .with_callback(move |observer| observer.observe(standing.in_force(), &[]))
        .build();
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
