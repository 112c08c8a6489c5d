//! The report for people: one file, no script, nothing fetched.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::json::{PERCENTILES, endings, means, name_of};
use super::plot::Drawn;
use super::{Report, ReportError, charts};
use crate::books::Totals;
use crate::recording::Step;
use crate::verdict::milliseconds;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1040px; margin: 2em auto; padding: 0 1em; color: #222 }
h1 { font-size: 1.6em } h2 { font-size: 1.2em; margin-top: 2em }
table { border-collapse: collapse; margin: .5em 0 }
td, th { padding: .25em .8em .25em 0; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.ok { color: #00703c } .fail { color: #b00020; font-weight: bold }
.verdict { font-size: 1.2em } code { background: #f4f4f4; padding: .1em .3em }
svg { max-width: 100%; height: auto; display: block; margin: 1.5em 0 0 } .legend { margin: 0 0 0 64px; font-size: .87em }
.legend span { margin-right: 1.2em; white-space: nowrap } .legend i { display: inline-block; width: 18px; height: 4px; margin: 0 .4em .2em 0 } .note { color: #555 }
";

/// The most problems of books that are listed; all of them are in `report.json`.
const PROBLEMS_MAX: usize = 50;

pub(super) fn page(report: &Report<'_>) -> Result<String, ReportError> {
    let plots = charts::all(report)?;
    let scenario = report.scenario;
    let passed = report.passed();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Cashgate load: " (scenario.name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Cashgate load: " (scenario.name) }
                p.verdict.ok[passed].fail[!passed] { @if passed { "passed" } @else { "FAILED" } }
                p { (scenario.about) }
                p.note {
                    (scenario.atms) " ATMs, " (scenario.accounts) " accounts, " (scenario.duration.as_secs()) " s of arrivals of which the first "
                    (scenario.warm_up.as_secs()) " s are shown and not counted, seed " (scenario.seed) ", " (report.cores)
                    " cores. Began at " (moment(report.outcome.began_unix_ms)) ". Repeat it with: " code { (report.command) }
                }
                (thresholds(report))
                h2 { "Latency" }
                (latencies(report))
                (omission())
                @for plot in &plots { (drawn(plot)) }
                @if !scenario.faults.is_empty() { p.note { "Orange: something was wrong on purpose." } }
                h2 { "How visits ended" }
                (visits(report))
                h2 { "Books" }
                (books(report))
                h2 { "Means between warm-up and end" }
                (used(report))
                @if !report.outcome.recording.log.is_empty() { h2 { "What happened" } (log(report)) }
            }
        }
    };
    Ok(page.into_string())
}

fn drawn(Drawn { svg, legend }: &Drawn) -> Markup {
    html! {
        (PreEscaped(svg))
        p.legend { @for (name, colour) in legend { span { i style={"background: " (colour)} {} (name) } " " } }
    }
}

/// In UTC, as RFC 3339 writes it.
fn moment(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).map_or_else(|_| unix_ms.to_string(), |moment| moment.to_string())
}

fn thresholds(report: &Report<'_>) -> Markup {
    html! {
        table {
            tr { th { "judged" } th { "wanted" } th { "reached" } th {} }
            @for one in report.judged {
                tr {
                    td { (one.what) } td { (one.wanted) } td { (one.reached) }
                    td { @if one.holds { span.ok { "ok" } } @else { span.fail { "FAIL" } } }
                }
            }
        }
    }
}

fn latencies(report: &Report<'_>) -> Markup {
    let recording = &report.outcome.recording;
    html! {
        table {
            tr { th { "step" } th.n { "count" } @for percentile in PERCENTILES { th.n { (name_of(percentile)) } } }
            @for step in Step::ALL {
                @if let Some(histogram) = recording.totals.get(&step) {
                    tr {
                        td { (step.meaning()) } td.n { (histogram.len()) }
                        @for percentile in PERCENTILES {
                            td.n { (recording.percentile(step, percentile).map(milliseconds).unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    }
}

fn omission() -> Markup {
    html! {
        p.note {
            "Arrivals are an open loop: they are drawn by a seed before the run (a Poisson process) and do not wait for answers. Each latency is counted from the "
            "moment at which its customer meant to begin, and is plotted there. A generator that waits for an answer before it sends the next request leaves out "
            "just the requests that a stalled gateway would have kept waiting (" em { "coordinated omission" } "); here they are all counted. Steps within a visit follow one another, as "
            "a customer cannot scan a code that is not shown yet; a late step makes its own visit's figures late and nobody else's arrival. "
            "Who gave up waiting counts with the time until then; who was refused is not in the latencies but in the table below. How late the generator "
            "itself was is the first row; if that is large, the figures say nothing about the gateway."
        }
    }
}

fn visits(report: &Report<'_>) -> Markup {
    html! {
        table {
            tr { th { "who" } th { "how it ended" } th.n { "visits" } }
            @for (who, endings) in endings(&report.outcome.recording) {
                @for (ending, count) in endings { tr { td { (who) } td { (ending) } td.n { (count) } } }
            }
        }
        p.note {
            (report.outcome.recording.touched_again) " times a customer had to touch the screen again, and did. "
            (report.outcome.recording.scanned_again()) " customers had to scan again; "
            (report.outcome.recording.failed().count()) " left without cash after a scan."
        }
    }
}

fn books(report: &Report<'_>) -> Markup {
    let Totals { withdrawals, confirmed, reversed, declined, suspect, open, accounts, .. } =
        report.outcome.books.totals;
    let totals = report.outcome.books.totals;
    let problems = &report.outcome.books.problems;
    html! {
        p {
            (withdrawals) " withdrawals: " (confirmed) " confirmed, " (reversed) " reversed, " (declined) " declined, " (suspect) " suspects, "
            (open) " open; compared one by one, and by " (accounts) " accounts."
        }
        table {
            tr { td { "left the machines, by their own records" } td.n { (totals.machines_paid) " yen" } }
            tr { td { "booked by core banking" } td.n { (totals.bank_confirmed) " yen" } }
            tr { td { "dispensed, as the gateway lists it" } td.n { (totals.gateway_dispensed) " yen" } }
            tr { td { "dispensed, as phones were told" } td.n { (totals.phones_told) " yen" } }
            tr { td { "still aside at core banking" } td.n { (totals.bank_held) " yen" } }
        }
        @if problems.is_empty() { p.ok { "They agree to the yen." } }
        @else {
            p.fail { (problems.len()) " problems" }
            ul { @for problem in problems.iter().take(PROBLEMS_MAX) { li { (problem) } } }
        }
    }
}

fn used(report: &Report<'_>) -> Markup {
    let scenario = report.scenario;
    html! {
        table {
            @for (what, value) in means(&report.outcome.recording, scenario.warm_up, scenario.duration) {
                tr { td { (what) } td.n { (value) } }
            }
        }
    }
}

fn log(report: &Report<'_>) -> Markup {
    html! {
        table {
            @for (at, what) in &report.outcome.recording.log {
                tr { td.n { (format!("{:.1} s", at.as_secs_f64())) } td { (what) } }
            }
        }
    }
}
