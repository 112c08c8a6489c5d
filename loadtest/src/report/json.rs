//! The report for programs.

#![allow(clippy::float_arithmetic, reason = "latencies and rates; no money")]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Report;
use crate::recording::{Recording, Sample, Step, Visit, Who};

/// The percentiles that are listed.
pub(super) const PERCENTILES: [f64; 5] = [50.0, 90.0, 99.0, 99.9, 100.0];

pub(super) fn text(report: &Report<'_>) -> String {
    let recording = &report.outcome.recording;
    let thresholds = report
        .judged
        .iter()
        .map(|one| json!({"what": one.what, "wanted": one.wanted, "reached": one.reached, "holds": one.holds}));
    let value = json!({
        "scenario": report.scenario.name,
        "passed": report.passed(),
        "command": report.command,
        "began_unix_ms": report.outcome.began_unix_ms,
        "seconds": report.scenario.duration.as_secs(),
        "warm_up_seconds": report.scenario.warm_up.as_secs(),
        "cores": report.cores,
        "atms": report.scenario.atms,
        "thresholds": thresholds.collect::<Vec<_>>(),
        "latency_ms": latencies(recording),
        "visits": endings(recording),
        "touched_again": recording.touched_again,
        "scanned_again": recording.scanned_again(),
        "failed": recording.failed().map(failed).collect::<Vec<_>>(),
        "books": report.outcome.books.totals,
        "book_problems": report.outcome.books.problems,
        "failures": report.outcome.failures,
        "means": means(recording, report.scenario.warm_up, report.scenario.duration),
        "samples": recording.samples.iter().map(sample).collect::<Vec<_>>(),
        "log": recording.log.iter().map(|(at, what)| json!({"at_s": seconds(*at), "what": what})).collect::<Vec<_>>(),
    });
    // A value of this kind always has a text.
    serde_json::to_string_pretty(&value).unwrap_or_default()
}

fn latencies(recording: &Recording) -> Value {
    let steps = recording.totals.iter().map(|(step, histogram)| {
        let mut row = serde_json::Map::new();
        row.insert("count".to_owned(), histogram.len().into());
        for percentile in PERCENTILES {
            let value = recording.percentile(*step, percentile).map(|time| time.as_secs_f64() * 1_000.0);
            row.insert(name_of(percentile), json!(value));
        }
        (step.name().to_owned(), Value::Object(row))
    });
    Value::Object(steps.collect())
}

/// Such as `p99.9`, or `max`.
pub(super) fn name_of(percentile: f64) -> String {
    if percentile >= 100.0 { "max".to_owned() } else { format!("p{percentile}") }
}

/// How many visits ended how.
pub(super) fn endings(recording: &Recording) -> BTreeMap<&'static str, BTreeMap<&str, u64>> {
    let mut endings: BTreeMap<&'static str, BTreeMap<&str, u64>> = BTreeMap::new();
    for visit in &recording.visits {
        let who = match visit.who {
            Who::Honest => "customers",
            Who::Thief => "thieves",
        };
        *endings.entry(who).or_default().entry(visit.ending.as_str()).or_default() += 1;
    }
    endings
}

/// Means of what was used, between warm-up and end: what a size is computed from.
pub(super) fn means(recording: &Recording, from: Duration, until: Duration) -> BTreeMap<&'static str, f64> {
    let measured: Vec<&Sample> =
        recording.samples.iter().filter(|sample| sample.at >= from && sample.at <= until).collect();
    let mean = |of: &dyn Fn(&Sample) -> Option<f64>| {
        let values: Vec<f64> = measured.iter().filter_map(|sample| of(sample)).collect();
        let count = u32::try_from(values.len()).ok().filter(|count| *count > 0)?;
        Some(values.iter().sum::<f64>() / f64::from(count))
    };
    let cpu = mean(&|sample| sample.gateway_cpu_percent);
    let rows = [
        ("gateway_cpu_percent", cpu),
        ("generator_cpu_percent", mean(&|sample| sample.generator_cpu_percent)),
        ("gateway_rss_mib", mean(&|sample| sample.gateway_rss_kib.map(mebibytes))),
        ("hsm_queue", mean(&|sample| sample.hsm_queue)),
        ("hsm_signatures_per_s", mean(&|sample| sample.hsm_signatures_per_s)),
        ("qr_tokens_per_s", mean(&|sample| sample.qr_tokens_per_s)),
        ("durable_steps_per_s", mean(&|sample| sample.durable_steps_per_s)),
    ];
    let paid = recording.totals.get(&Step::Whole).map(hdrhistogram::Histogram::len);
    let measured_s = until.saturating_sub(from).as_secs_f64();
    let paid = paid.and_then(|paid| u32::try_from(paid).ok()).map(|paid| f64::from(paid) / measured_s);
    // A hundredth of a core is 10 ms of CPU time a second.
    let cpu_each = cpu.zip(paid).filter(|(_, paid)| *paid > 0.0).map(|(cpu, paid)| cpu * 10.0 / paid);
    let rows = rows.into_iter().chain([("paid_visits_per_s", paid), ("gateway_cpu_ms_per_paid_visit", cpu_each)]);
    rows.filter_map(|(name, value)| Some((name, (value? * 100.0).round() / 100.0))).collect()
}

#[allow(clippy::cast_precision_loss, reason = "memory below a pebibyte")]
pub(super) fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1_024.0
}

fn failed(visit: &Visit) -> Value {
    json!({"arrived_s": seconds(visit.arrived), "left_s": seconds(visit.left), "scans": visit.scans, "why": visit.ending})
}

fn sample(sample: &Sample) -> Value {
    json!({
        "at_s": seconds(sample.at),
        "gateway_cpu_percent": sample.gateway_cpu_percent,
        "gateway_rss_kib": sample.gateway_rss_kib,
        "generator_cpu_percent": sample.generator_cpu_percent,
        "hsm_queue": sample.hsm_queue,
        "hsm_signatures_per_s": sample.hsm_signatures_per_s,
        "qr_tokens_per_s": sample.qr_tokens_per_s,
        "durable_steps_per_s": sample.durable_steps_per_s,
        "atms_connected": sample.atms_connected,
        "atms_in_use": sample.customers,
    })
}

fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}
