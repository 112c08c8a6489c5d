//! Limits against a plain rate limiter, and what an account costs in memory.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Order;
use super::program::{bench_program, figure, figures, in_turn};
use super::row::{Row, Target};

/// Account and tiers against one check; with `all` device, ATM and institution too, against one check for each of the four.
/// `bare`, whose baseline has shorter keys, has no target.
const THROUGHPUT: [(&str, &str, &str, &str); 7] = [
    ("limits_throughput_1m_1t", "throughput", "1000000", "1"),
    ("limits_throughput_1m_2t", "throughput", "1000000", "2"),
    ("limits_throughput_10m_1t", "throughput", "10000000", "1"),
    ("limits_throughput_10m_2t", "throughput", "10000000", "2"),
    ("limits_throughput_all_1m_1t", "all", "1000000", "1"),
    ("limits_throughput_all_1m_2t", "all", "1000000", "2"),
    ("limits_throughput_bare_1m_1t", "bare", "1000000", "1"),
];
/// The design's row is the worst of these: accounts and threads of section 9.
const SUMMARY: &str = "limits_throughput";
/// With the account alone, and with a device each beside it.
const MEMORY: [(&str, &str); 2] = [("limits_bytes", "memory"), ("limits_bytes_all", "memory_all")];
const WORST_INSERT: &str = "limits_worst_insert";
const ACCOUNTS: &str = "10000000";

pub(super) const NAMES: [&str; 11] = [
    SUMMARY,
    "limits_throughput_1m_1t",
    "limits_throughput_1m_2t",
    "limits_throughput_10m_1t",
    "limits_throughput_10m_2t",
    "limits_throughput_all_1m_1t",
    "limits_throughput_all_1m_2t",
    "limits_throughput_bare_1m_1t",
    "limits_bytes",
    "limits_bytes_all",
    WORST_INSERT,
];

pub(super) fn measure(order: Order<'_>) -> Result<Vec<Row>, String> {
    println!("building the bench of limits (release; the first time takes minutes)");
    let program = bench_program("cashgate-limits", "limits")?;
    let mut rows = Vec::new();
    for (name, what, accounts, threads) in THROUGHPUT.into_iter().filter(|row| order.wants(row.0)) {
        rows.push(throughput(&program, order, name, &["--what", what, "--accounts", accounts, "--threads", threads])?);
    }
    rows.splice(0..0, Row::worst(SUMMARY, rows.iter().filter(|row| is_of_the_summary(&row.name))));
    for (name, what) in MEMORY {
        let wants_longest = what == "memory" && order.wants(WORST_INSERT);
        if !order.wants(name) && !wants_longest {
            continue;
        }
        let rounds = if wants_longest { if order.quick { "2" } else { "3" } } else { "1" };
        let figures = run(&program, &["--what", what, "--accounts", ACCOUNTS, "--rounds", rounds])?;
        let (bytes, longest_ms) = (figure(&figures, "bytes")?, figure(&figures, "worst_insert_ms")?);
        println!("{name}: {bytes:.1} B an account, longest insert {longest_ms:.3} ms");
        if order.wants(name) {
            let target = if what == "memory" { Target::AtMost(128.0) } else { Target::None };
            rows.push(Row::single(name, bytes, 128.0, "B", target));
        }
        if wants_longest {
            let target = Target::AtMost(5.0);
            rows.push(Row::single(WORST_INSERT, longest_ms, 5.0, "ms", target));
        }
    }
    Ok(rows)
}

fn is_of_the_summary(name: &str) -> bool {
    THROUGHPUT.iter().any(|(known, what, ..)| *known == name && *what == "throughput")
}

fn throughput(program: &Path, order: Order<'_>, name: &str, arguments: &[&str]) -> Result<Row, String> {
    let (seconds, rounds) = (order.seconds().to_string(), order.rounds().to_string());
    let figures = run(program, &[arguments, &["--seconds", &seconds, "--rounds", &rounds]].concat())?;
    let rounds = in_turn(&figures)?;
    for (round, (ours, baseline)) in (1..).zip(&rounds) {
        println!("{name} {round}/{}: ours {ours:.0}, baseline {baseline:.0}", rounds.len());
    }
    let target = if name.contains("_bare_") { Target::None } else { Target::RatioAtLeast(1.0) };
    Row::median(name, &rounds, "/s", target)
}

fn run(program: &Path, arguments: &[&str]) -> Result<Value, String> {
    figures(Command::new(program).args(arguments))
}
