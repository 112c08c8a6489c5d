//! Whether a run passed: every threshold of its scenario, and the books.

#![allow(clippy::float_arithmetic, reason = "percents and times; no money")]

use std::time::Duration;

use crate::books;
use crate::recording::{PAID, Recording, Sample, Step, Visit, Who};
use crate::scenario::{Scenario, Thresholds};

/// How late the generator may be if the scenario does not say.
const LATE_P99_MS_USUAL: u32 = 100;
/// How long after a fault a customer may still suffer from it.
const AFTERMATH: Duration = Duration::from_secs(10);
/// Of how many from then on a hundred must be paid, so that a gateway counts as recovered.
const RECOVERED_PERCENT: f64 = 99.0;

/// One thing that was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What, as the scenario names it.
    pub what: String,
    /// What was to be reached.
    pub wanted: String,
    /// What was reached.
    pub reached: String,
    /// Whether that is enough.
    pub holds: bool,
}

/// Judges a run.
#[must_use]
pub fn judge(scenario: &Scenario, recording: &Recording, books: &books::Verdict, failures: &[String]) -> Vec<Judged> {
    let mut judged = vec![books_balance(books), all_ended(scenario, books)];
    judged.push(no_failures(failures));
    judged.extend(latencies(&scenario.thresholds, recording));
    judged.extend(shares(scenario, recording));
    judged.extend(failures_of_customers(&scenario.thresholds, recording));
    judged.extend(recovery(scenario, recording));
    judged.extend(memory(scenario, &recording.samples));
    judged
}

fn books_balance(books: &books::Verdict) -> Judged {
    let problems = books.problems.len();
    let reached = match books.problems.first() {
        None => format!("{} withdrawals, {} yen", books.totals.withdrawals, books.totals.machines_paid),
        Some(first) => format!("{problems} problems, the first: {first}"),
    };
    Judged { what: "the books".to_owned(), wanted: "balance to the yen".to_owned(), reached, holds: problems == 0 }
}

fn all_ended(scenario: &Scenario, books: &books::Verdict) -> Judged {
    let allowed = scenario.thresholds.suspects_max.unwrap_or(0);
    let books::Totals { open, suspect, .. } = books.totals;
    Judged {
        what: "every withdrawal has ended".to_owned(),
        wanted: format!("0 open, at most {allowed} suspects"),
        reached: format!("{open} open, {suspect} suspects"),
        holds: open == 0 && u32::try_from(suspect).is_ok_and(|suspect| suspect <= allowed),
    }
}

fn no_failures(failures: &[String]) -> Judged {
    let reached = failures.first().map_or_else(|| "yes".to_owned(), String::clone);
    Judged {
        what: "the run itself".to_owned(),
        wanted: "went as planned".to_owned(),
        reached,
        holds: failures.is_empty(),
    }
}

fn latencies(thresholds: &Thresholds, recording: &Recording) -> Vec<Judged> {
    let late = Some(thresholds.generator_late_p99_ms_max.unwrap_or(LATE_P99_MS_USUAL));
    let rows = [
        ("generator_late_p99_ms_max", Step::Late, late),
        ("code_p99_ms_max", Step::Code, thresholds.code_p99_ms_max),
        ("scan_p99_ms_max", Step::Scan, thresholds.scan_p99_ms_max),
        ("approve_p99_ms_max", Step::Approve, thresholds.approve_p99_ms_max),
        ("dispense_p99_ms_max", Step::Dispense, thresholds.dispense_p99_ms_max),
        ("whole_p99_ms_max", Step::Whole, thresholds.whole_p99_ms_max),
        ("connect_p99_ms_max", Step::Connect, thresholds.connect_p99_ms_max),
    ];
    let judged = |(what, step, most): (&str, Step, Option<u32>)| {
        let most = most?;
        let reached = recording.percentile(step, 99.0);
        Some(Judged {
            what: what.to_owned(),
            wanted: format!("at most {most} ms"),
            reached: reached.map_or_else(|| "never happened".to_owned(), milliseconds),
            // What never happened has not been shown to be quick.
            holds: reached.is_some_and(|reached| reached <= Duration::from_millis(most.into())),
        })
    };
    rows.into_iter().filter_map(judged).collect()
}

fn shares(scenario: &Scenario, recording: &Recording) -> Vec<Judged> {
    let thresholds = &scenario.thresholds;
    let counted = |visit: &&Visit| visit.arrived >= scenario.warm_up;
    let honest = || recording.visits.iter().filter(counted).filter(|visit| visit.who == Who::Honest);
    let undisturbed = |visit: &&Visit| !disturbed(scenario, visit.arrived);
    let thieves = recording.visits.iter().filter(|visit| visit.who == Who::Thief);
    let least = |what: &str, wanted: Option<f64>, reached: Option<f64>| {
        wanted.map(|wanted| Judged {
            what: what.to_owned(),
            wanted: format!("at least {wanted} %"),
            reached: percent(reached),
            holds: reached.is_some_and(|reached| reached >= wanted),
        })
    };
    let most = thresholds.thieves_paid_percent_max.map(|wanted| {
        let reached = paid_percent(thieves);
        Judged {
            what: "thieves_paid_percent_max".to_owned(),
            wanted: format!("at most {wanted} %"),
            reached: percent(reached),
            holds: reached.is_some_and(|reached| reached <= wanted),
        }
    });
    [
        least("paid_percent_min", thresholds.paid_percent_min, paid_percent(honest())),
        least(
            "paid_percent_without_fault_min",
            thresholds.paid_percent_without_fault_min,
            paid_percent(honest().filter(undisturbed)),
        ),
        most,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Customers who had been taken in and left without cash, and those who had to begin again after a scan.
fn failures_of_customers(thresholds: &Thresholds, recording: &Recording) -> Vec<Judged> {
    let first = recording.failed().next().map(|visit| format!(", the first: {}", visit.ending)).unwrap_or_default();
    let rows = [
        ("failed_max", thresholds.failed_max, recording.failed().count(), first),
        ("scanned_again_max", thresholds.scanned_again_max, recording.scanned_again(), String::new()),
    ];
    let judged = |(what, most, count, detail): (&str, Option<u32>, usize, String)| {
        let most = most?;
        Some(Judged {
            what: what.to_owned(),
            wanted: format!("at most {most} customers"),
            reached: format!("{count}{detail}"),
            holds: u32::try_from(count).is_ok_and(|count| count <= most),
        })
    };
    rows.into_iter().filter_map(judged).collect()
}

/// Whether a fault is on at a moment, or was a little before, or begins while the customer stands there.
fn disturbed(scenario: &Scenario, arrived: Duration) -> bool {
    let leaves = arrived.saturating_add(AFTERMATH);
    scenario.faults.iter().any(|fault| leaves >= fault.at && arrived <= fault.ends_at().saturating_add(AFTERMATH))
}

fn recovery(scenario: &Scenario, recording: &Recording) -> Option<Judged> {
    let most = scenario.thresholds.recovered_s_max?;
    let healed = scenario.healed_at().unwrap_or_default();
    let reached = recovered_after(&recording.visits, healed);
    Some(Judged {
        what: "recovered_s_max".to_owned(),
        wanted: format!("at most {most} s after the last fault"),
        reached: reached.map_or_else(|| "not until the end".to_owned(), |seconds| format!("{seconds} s")),
        holds: reached.is_some_and(|seconds| seconds <= u64::from(most)),
    })
}

/// Whole seconds from a moment until nobody of a second's arrivals was turned away, and hardly anybody of all later ones.
#[must_use]
pub fn recovered_after(visits: &[Visit], healed: Duration) -> Option<u64> {
    let honest = || visits.iter().filter(|visit| visit.who == Who::Honest);
    let last = honest().map(|visit| visit.arrived.as_secs()).max()?;
    (healed.as_secs()..=last).find_map(|second| {
        let of_second = paid_percent(honest().filter(|visit| visit.arrived.as_secs() == second))?;
        let from_then_on = paid_percent(honest().filter(|visit| visit.arrived.as_secs() >= second))?;
        (of_second >= 100.0 && from_then_on >= RECOVERED_PERCENT).then(|| second - healed.as_secs())
    })
}

fn memory(scenario: &Scenario, samples: &[Sample]) -> Vec<Judged> {
    let rss: Vec<(Duration, u64)> =
        samples.iter().filter_map(|sample| Some((sample.at, sample.gateway_rss_kib? / 1_024))).collect();
    let highest = rss.iter().map(|(_, mib)| *mib).max();
    let middle = rss.iter().find(|(at, _)| *at >= scenario.duration / 2).map(|(_, mib)| *mib);
    let growth = middle.zip(rss.last()).map(|(middle, (_, end))| end.saturating_sub(middle));
    let rows = [
        ("gateway_rss_mib_max", scenario.thresholds.gateway_rss_mib_max, highest),
        ("gateway_rss_growth_mib_max", scenario.thresholds.gateway_rss_growth_mib_max, growth),
    ];
    let judged = |(what, most, reached): (&str, Option<u32>, Option<u64>)| {
        let most = most?;
        Some(Judged {
            what: what.to_owned(),
            wanted: format!("at most {most} MiB"),
            reached: reached.map_or_else(|| "not seen: name --gateway-pid-file".to_owned(), |mib| format!("{mib} MiB")),
            holds: reached.is_some_and(|mib| mib <= u64::from(most)),
        })
    };
    rows.into_iter().filter_map(judged).collect()
}

/// Of a hundred, how many were paid; nothing if nobody came.
#[must_use]
pub fn paid_percent<'a>(visits: impl Iterator<Item = &'a Visit>) -> Option<f64> {
    let (mut all, mut paid) = (0_u32, 0_u32);
    for visit in visits {
        all += 1;
        paid += u32::from(visit.ending == PAID);
    }
    (all > 0).then(|| 100.0 * f64::from(paid) / f64::from(all))
}

fn percent(value: Option<f64>) -> String {
    // Rounded down, so that 99.99 % never reads as 100 %.
    value.map_or_else(|| "nobody came".to_owned(), |value| format!("{:.2} %", (value * 100.0).floor() / 100.0))
}

/// A time for readers.
#[must_use]
pub fn milliseconds(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1_000.0;
    if ms < 10.0 { format!("{ms:.2} ms") } else { format!("{ms:.0} ms") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(second: u64, ending: &str) -> Visit {
        let arrived = Duration::from_secs(second);
        Visit { arrived, left: arrived, who: Who::Honest, ending: ending.to_owned(), scans: 1 }
    }

    #[test]
    fn a_customer_fails_who_leaves_without_cash_after_a_scan_and_a_second_scan_is_counted_apart() {
        let honest = |ending: &str, scans| Visit { scans, ..visit(1, ending) };
        let thief = Visit { who: Who::Thief, ..honest("approve: NOT_ALLOWED", 1) };
        let visits =
            vec![honest(PAID, 1), honest(PAID, 2), honest("no ATM free", 0), thief, honest("ended: reversed", 1)];
        let recording = Recording { visits, ..Recording::default() };
        let judged = |failed_max, scanned_again_max| {
            let thresholds = Thresholds { failed_max, scanned_again_max, ..Thresholds::default() };
            failures_of_customers(&thresholds, &recording)
        };
        assert_eq!(judged(None, None), []);
        let holds = |judged: Vec<Judged>| judged.iter().map(|one| one.holds).collect::<Vec<_>>();
        assert_eq!(holds(judged(Some(1), Some(1))), [true, true]);
        assert_eq!(holds(judged(Some(0), Some(0))), [false, false]);
        assert!(judged(Some(0), None).iter().any(|one| one.reached == "1, the first: ended: reversed"));
    }

    fn judged(scenario: &Scenario, recording: &Recording, what: &str) -> Judged {
        let all = judge(scenario, recording, &books::Verdict::default(), &[]);
        all.into_iter().find(|one| one.what == what).unwrap()
    }

    #[test]
    fn books_that_do_not_balance_fail_the_fastest_run() {
        let books = books::Verdict { problems: vec!["w1: 5 too many".to_owned()], ..books::Verdict::default() };
        let scenario = Scenario::load("steady").unwrap();
        let all = judge(&scenario, &Recording::default(), &books, &[]);
        let row = all.iter().find(|one| one.what == "the books").unwrap();
        assert!(!row.holds && row.reached.contains("5 too many"), "{row:?}");
        assert!(judged(&scenario, &Recording::default(), "the books").holds);
    }

    #[test]
    fn an_open_withdrawal_a_suspect_or_a_failed_hook_fails_it_too() {
        let scenario = Scenario::load("steady").unwrap();
        let mut books = books::Verdict::default();
        books.totals.suspect = 1;
        let failures = ["hook hsm-away failed".to_owned()];
        let all = judge(&scenario, &Recording::default(), &books, &failures);
        let broken: Vec<_> = all.iter().filter(|one| !one.holds).map(|one| one.what.as_str()).collect();
        assert!(broken.starts_with(&["every withdrawal has ended", "the run itself"]), "{broken:?}");
    }

    #[test]
    fn the_warm_up_counts_for_nothing_and_one_unpaid_customer_for_less_than_all() {
        let scenario = Scenario::load("steady").unwrap();
        let recording = Recording { visits: vec![visit(1, "no ATM free"), visit(6, PAID)], ..Recording::default() };
        assert!(judged(&scenario, &recording, "paid_percent_min").holds);
        let recording = Recording { visits: vec![visit(6, PAID), visit(7, "no ATM free")], ..Recording::default() };
        let row = judged(&scenario, &recording, "paid_percent_min");
        assert_eq!((row.holds, row.reached.as_str()), (false, "50.00 %"));
    }

    #[test]
    fn what_never_happened_is_not_quick() {
        let row = judged(&Scenario::load("steady").unwrap(), &Recording::default(), "code_p99_ms_max");
        assert_eq!((row.holds, row.reached.as_str()), (false, "never happened"));
    }

    #[test]
    fn recovery_is_the_first_good_second_with_good_ones_behind_it() {
        let mut visits: Vec<Visit> = (0..200).map(|second| visit(second, PAID)).collect();
        for second in [31, 33] {
            visits[second].ending = "try later".to_owned();
        }
        // One in the many that follow second 32 was turned away; that is below one in a hundred.
        assert_eq!(recovered_after(&visits, Duration::from_secs(31)), Some(1));
        for visit in &mut visits[40..60] {
            visit.ending = "try later".to_owned();
        }
        assert_eq!(recovered_after(&visits, Duration::from_secs(31)), Some(29));
        assert_eq!(recovered_after(&[], Duration::ZERO), None);
    }
}
