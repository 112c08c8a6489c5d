//! A whole gateway under `cashgate-loadtest`, against what tonic, signatures and the ledger cost by themselves.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::program::{bench_program, figure, figures};
use super::row::{Row, Target};
use super::{Order, ledger, policy};
use crate::command::{self, Build};
use crate::loadtest;
use crate::site::Site;

pub(super) const NAMES: [&str; 4] = ["withdrawal_cpu", "approve_tail", "atm_memory", "reconnect_cpu"];

/// The unavoidable parts of a withdrawal, as section 9 of the design counts them.
const PARTS: [(&str, f64); 5] = [
    ("unary served", 1.0),
    ("unary made", 2.0),
    ("stream message", 5.0),
    ("P-256 verification", 1.0),
    ("durable step", 4.0),
];

pub(super) fn measure(order: Order<'_>) -> Result<Vec<Row>, String> {
    let bare = Bare::prepare(order)?;
    let mut rows = Vec::new();
    if order.wants("withdrawal_cpu") || order.wants("approve_tail") {
        rows.extend(under_load(order, &bare)?);
    }
    if order.wants("atm_memory") {
        rows.push(atm_memory(order, &bare)?);
    }
    if order.wants("reconnect_cpu") {
        rows.push(reconnect_cpu(order, &bare)?);
    }
    bare.site.remove()?;
    Ok(rows)
}

/// Rounds of the load and of the parts, in turn.
fn under_load(order: Order<'_>, bare: &Bare) -> Result<Vec<Row>, String> {
    let (mut cpu, mut tail) = (Vec::new(), Vec::new());
    for round in 1..=order.rounds().div_ceil(2) {
        let report = load("withdrawal.toml", 200)?;
        let ours =
            number(&report, "/means/gateway_cpu_percent")? * 10_000.0 / number(&report, "/means/paid_visits_per_s")?;
        let (p99, p50) = (number(&report, "/latency_ms/dispense/p99")?, number(&report, "/latency_ms/dispense/p50")?);
        let parts = bare.parts(order)?;
        let sum = parts.iter().zip(PARTS).map(|(us, (_, times))| us * times).sum();
        println!(
            "withdrawal_cpu {round}: ours {ours:.0} us, parts {sum:.0} us; approve to dispense p50 {p50:.1} ms, p99 {p99:.1} ms"
        );
        for (us, (part, times)) in parts.iter().zip(PARTS) {
            println!("    {times} x {part}: {us:.1} us");
        }
        cpu.push((ours, sum));
        tail.push((p99, p50));
    }
    Ok(vec![
        Row::median("withdrawal_cpu", &cpu, "us", Target::RatioAtMost(1.5))?,
        Row::median("approve_tail", &tail, "ms", Target::RatioAtMost(5.0))?,
    ])
}

/// What one more idle ATM costs the gateway, and one more idle stream a bare server, in resident bytes.
fn atm_memory(order: Order<'_>, bare: &Bare) -> Result<Row, String> {
    let atms = if order.quick { 2_000_u16 } else { 10_000 };
    let rss = |atms: u16| -> Result<f64, String> {
        Ok(number(&load("idle_atms.toml", atms)?, "/means/gateway_rss_mib")? * 1_048_576.0)
    };
    let ours = (rss(atms)? - rss(1)?) / f64::from(atms - 1);
    let baseline = bare.figure(&["--what", "idle", "--streams", &atms.to_string()], "bytes")?;
    println!("atm_memory: {atms} ATMs, {ours:.0} B each; a bare stream {baseline:.0} B");
    Row::median("atm_memory", &[(ours, baseline)], "B", Target::RatioAtMost(1.3))
}

/// What an ATM's new connection in a storm of them costs the gateway's processors, and a handshake alone a bare TLS server's.
fn reconnect_cpu(order: Order<'_>, bare: &Bare) -> Result<Row, String> {
    let atms = if order.quick { 1_000_u16 } else { 10_000 };
    let (idle, storm) = (load("idle_atms.toml", atms)?, load("reconnecting_atms.toml", atms)?);
    let connected = |sample: &Value| sample.get("atms_connected").and_then(Value::as_u64).unwrap_or(0);
    let samples = samples_of(&storm)?;
    let (fewest, last) = (samples.iter().map(connected).min(), samples.last().map(connected));
    if fewest.is_none_or(|fewest| fewest > u64::from(atms) / 2) || last != Some(atms.into()) {
        return Err(format!("not all of {atms} ATMs went and came back: at least {fewest:?}, at last {last:?}"));
    }
    let back = f64::from(atms);
    let ((idle_us, idle_s), (storm_us, storm_s)) = (spent_us(&idle)?, spent_us(&storm)?);
    let ours = (storm_us - idle_us / idle_s * storm_s) / back;
    let handshake = bare.cpu_us(order, "handshakes")?;
    println!("reconnect_cpu: {back} reconnects, {ours:.0} us each; a bare handshake {handshake:.0} us");
    Row::median("reconnect_cpu", &[(ours, handshake)], "us", Target::None)
}

/// The processor time that a run's samples add up to, and over how many seconds. The report's means leave out what a fault disturbs.
fn spent_us(report: &Value) -> Result<(f64, f64), String> {
    let (mut spent, mut until) = (0.0, 0.0);
    for sample in samples_of(report)? {
        let at = number(sample, "/at_s")?;
        spent += sample.get("gateway_cpu_percent").and_then(Value::as_f64).unwrap_or(0.0) * 10_000.0 * (at - until);
        until = at;
    }
    Ok((spent, until))
}

fn samples_of(report: &Value) -> Result<&[Value], String> {
    let samples = report.pointer("/samples").and_then(Value::as_array);
    Ok(samples.ok_or("the load test's report has no samples")?)
}

/// Runs a scenario of this folder and reads its report.
fn load(file: &str, atms: u16) -> Result<Value, String> {
    let scenario = command::root().join("crates/xtask/src/bench").join(file);
    let scenario = scenario.to_str().ok_or("the repository's path is not UTF-8")?;
    let options = ["--atms".into(), atms.to_string().into()];
    let run =
        loadtest::Order { scenario, atms: atms.into(), how: Build::Release, replicated: false, options: &options };
    let report = loadtest::run(&run)?.join("report.json");
    let text =
        std::fs::read_to_string(&report).map_err(|error| format!("cannot read {}: {error}", report.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", report.display()))
}

fn number(report: &Value, pointer: &str) -> Result<f64, String> {
    report.pointer(pointer).and_then(Value::as_f64).ok_or_else(|| format!("the load test's report has no {pointer}"))
}

/// tonic alone, with the certificates of a site.
struct Bare {
    site: Site,
    program: PathBuf,
}

impl Bare {
    fn prepare(order: Order<'_>) -> Result<Self, String> {
        println!("building the benches (release; the first time takes minutes)");
        let program = bench_program("cashgate-fleet", "bare")?;
        let bare = Self { site: Site::new(command::build_programs(Build::Release)?, "cashgate-bench")?, program };
        // The first calls of a process cost more; this one's figure is thrown away.
        bare.cpu_us(order, "served").map(|_| bare)
    }

    /// Processor time of each of [`PARTS`], in us.
    fn parts(&self, order: Order<'_>) -> Result<[f64; 5], String> {
        Ok([
            self.cpu_us(order, "served")?,
            self.cpu_us(order, "made")?,
            self.cpu_us(order, "stream")?,
            policy::signature_us()?,
            ledger::step_cpu_us(order)?,
        ])
    }

    fn cpu_us(&self, order: Order<'_>, what: &str) -> Result<f64, String> {
        self.figure(&["--what", what, "--seconds", &order.seconds().to_string()], "cpu_us")
    }

    fn figure(&self, arguments: &[&str], which: &str) -> Result<f64, String> {
        let file = |name: &str| -> PathBuf { Path::new(&self.site.dir()).join(name) };
        let mut run = Command::new(&self.program);
        run.args(arguments).arg("--ca").arg(file("ca.pem"));
        run.arg("--cert").arg(file("gateway.pem")).arg("--key").arg(file("gateway-key.pem"));
        figure(&figures(&mut run)?, which)
    }
}
