//! Which plots a report has, and what they are drawn from.

#![allow(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "places in a picture; no money")]

use std::collections::BTreeMap;
use std::time::Duration;

use super::json::mebibytes;
use super::plot::{Chart, Curve, Drawn, Scale};
use super::{Report, ReportError};
use crate::recording::{PAID, Recording, Sample, Step, Visit};

/// Reasons with a line of their own; the rarer ones are in the table.
const REASONS_MAX: usize = 6;
/// The steps that are compared in one plot.
const STEPS: [Step; 5] = [Step::Code, Step::Scan, Step::Approve, Step::Dispense, Step::Whole];

/// Every plot of a report.
pub(super) fn all(report: &Report<'_>) -> Result<Vec<Drawn>, ReportError> {
    let (recording, samples) = (&report.outcome.recording, during(report));
    let faults: Vec<(f64, f64)> =
        report.scenario.faults.iter().map(|fault| (fault.at.as_secs_f64(), fault.ends_at().as_secs_f64())).collect();
    let seconds = report.scenario.duration.as_secs_f64();
    let gap = 2.5 * recording.slice.as_secs_f64().max(1.0);
    let draw = |title, unit, scale, curves: Vec<Curve>| {
        let curves: Vec<Curve> = curves.into_iter().filter(|curve| !curve.points.is_empty()).collect();
        let chart = Chart { title, unit, scale, seconds, gap, curves, faults: &faults };
        (!chart.curves.is_empty()).then(|| chart.drawn())
    };
    let p99 = STEPS.iter().map(|step| percentile(recording, *step, 0.99, step.meaning())).collect();
    let whole = [(0.5, "median"), (0.99, "p99"), (1.0, "longest")];
    let whole = whole.iter().map(|(quantile, name)| percentile(recording, Step::Whole, *quantile, name)).collect();
    let connect =
        vec![percentile(recording, Step::Connect, 0.99, "p99"), percentile(recording, Step::Connect, 1.0, "longest")];
    let plots = [
        draw("Latency by step, 99th percentile, by intended beginning", "ms", Scale::Logarithmic, p99),
        draw("The whole visit, by intended arrival", "ms", Scale::Logarithmic, whole),
        draw("Customers by second of arrival", "1/s", Scale::Linear, throughput(recording)),
        draw("Left without cash, by reason and second of arrival", "1/s", Scale::Linear, reasons(recording)),
        draw("ATMs without their line until Welcome, by its loss", "ms", Scale::Logarithmic, connect),
        draw("CPU, hundredths of one core", "%", Scale::Linear, cpu(samples)),
        draw("Gateway's memory, resident", "MiB", Scale::Linear, memory(samples)),
        draw("HSM and ledger", "calls, 1/s", Scale::Linear, hsm(samples)),
        draw("ATMs connected, and in use", "ATMs", Scale::Linear, atms(samples)),
    ];
    plots.into_iter().flatten().collect()
}

fn percentile(recording: &Recording, step: Step, quantile: f64, name: &str) -> Curve {
    let slices = recording.by_time.get(&step);
    let points = slices.into_iter().flatten().map(|(slice, histogram)| {
        (middle(recording.slice, *slice), histogram.value_at_quantile(quantile) as f64 / 1_000.0)
    });
    Curve { name: name.to_owned(), points: points.collect() }
}

/// The middle of a slice of time, in seconds.
fn middle(slice: Duration, index: usize) -> f64 {
    slice.as_secs_f64() * (index as f64 + 0.5)
}

/// Arrivals a second that are of a kind, by slice; zero where there were none.
fn rate(recording: &Recording, name: &str, is_it: impl Fn(&Visit) -> bool) -> Curve {
    let width = recording.slice.as_secs().max(1);
    let slice_of = |visit: &Visit| usize::try_from(visit.arrived.as_secs() / width).unwrap_or(usize::MAX);
    let last = recording.visits.iter().map(slice_of).max();
    let mut counts: BTreeMap<usize, u32> =
        last.map(|last| (0..=last).map(|slice| (slice, 0)).collect()).unwrap_or_default();
    for visit in recording.visits.iter().filter(|visit| is_it(visit)) {
        *counts.entry(slice_of(visit)).or_default() += 1;
    }
    let per_second = recording.slice.as_secs_f64().max(1.0);
    let points =
        counts.into_iter().map(|(slice, count)| (middle(recording.slice, slice), f64::from(count) / per_second));
    Curve { name: name.to_owned(), points: points.collect() }
}

fn throughput(recording: &Recording) -> Vec<Curve> {
    vec![
        rate(recording, "came", |_| true),
        rate(recording, "left with cash", |visit| visit.ending == PAID),
        rate(recording, "left without", |visit| visit.ending != PAID),
    ]
}

fn reasons(recording: &Recording) -> Vec<Curve> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for visit in recording.visits.iter().filter(|visit| visit.ending != PAID) {
        *counts.entry(visit.ending.as_str()).or_default() += 1;
    }
    let mut by_count: Vec<(&str, u32)> = counts.into_iter().collect();
    by_count.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let curve = |(reason, count): &(&str, u32)| {
        rate(recording, &format!("{reason} ({count})"), |visit| visit.ending == *reason)
    };
    by_count.iter().take(REASONS_MAX).map(curve).collect()
}

/// Without what was looked at when everybody had left.
fn during<'a>(report: &'a Report<'_>) -> &'a [Sample] {
    let samples = report.outcome.recording.samples.as_slice();
    let end = samples.partition_point(|sample| sample.at <= report.scenario.duration);
    samples.get(..end).unwrap_or_default()
}

fn sampled(samples: &[Sample], name: &str, of: impl Fn(&Sample) -> Option<f64>) -> Curve {
    let points = samples.iter().filter_map(|sample| Some((sample.at.as_secs_f64(), of(sample)?)));
    Curve { name: name.to_owned(), points: points.collect() }
}

fn cpu(samples: &[Sample]) -> Vec<Curve> {
    vec![
        sampled(samples, "gateway", |sample| sample.gateway_cpu_percent),
        sampled(samples, "generator, its core bank included", |sample| sample.generator_cpu_percent),
    ]
}

fn memory(samples: &[Sample]) -> Vec<Curve> {
    vec![sampled(samples, "gateway", |sample| sample.gateway_rss_kib.map(mebibytes))]
}

fn hsm(samples: &[Sample]) -> Vec<Curve> {
    vec![
        sampled(samples, "calls that wait for the HSM", |sample| sample.hsm_queue),
        sampled(samples, "HSM signatures a second", |sample| sample.hsm_signatures_per_s),
        sampled(samples, "QR tokens a second", |sample| sample.qr_tokens_per_s),
        sampled(samples, "durable steps a second", |sample| sample.durable_steps_per_s),
    ]
}

fn atms(samples: &[Sample]) -> Vec<Curve> {
    vec![
        sampled(samples, "connected", |sample| Some(sample.atms_connected as f64)),
        sampled(samples, "in use", |sample| Some(sample.customers as f64)),
    ]
}
