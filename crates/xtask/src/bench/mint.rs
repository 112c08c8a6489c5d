//! The mint against the bare HSM: at saturation, on a slow device, and one code at a time.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Order;
use super::program::{bench_program, figure, figures};
use super::row::{Row, Target};
use crate::command::{self, Build};
use crate::site::Site;

pub(super) const NAMES: [&str; 4] =
    ["mint_throughput", "mint_throughput_4_sessions", "mint_throughput_slow_device", "mint_idle_latency"];

/// The label of the key that `cashgate init` makes.
const KEY: &str = "qr-signing-1";
const TOKEN: &str = "cashgate";
/// Customers who wait at once, so that no batch is small for want of them.
const TASKS: &str = "4096";
/// A device of 5 ms a signature, and how many HSM sessions it is given.
const SLOW: (&str, &str) = ("delay C_SignInit 5ms\n", "4");

/// Programs and the HSM token that both work on.
struct Bench {
    site: Site,
    ours: PathBuf,
    raw: PathBuf,
    slow_module: PathBuf,
    seconds: String,
}

pub(super) fn measure(order: Order<'_>) -> Result<Vec<Row>, String> {
    let bench = Bench::prepare(order)?;
    let mut rows = Vec::new();
    for name in NAMES.into_iter().filter(|name| order.wants(name)) {
        let mut rounds = Vec::new();
        for round in 1..=order.rounds() {
            let (ours, baseline) = bench.round(name)?;
            println!("{name} {round}/{}: ours {ours:.1}, baseline {baseline:.1}", order.rounds());
            rounds.push((ours, baseline));
        }
        let (unit, target) = match name {
            "mint_throughput_slow_device" => ("/s", Target::AtLeast(1_000.0)),
            "mint_idle_latency" => ("us", Target::AddsAtMost(1_000.0)),
            _ => ("/s", Target::RatioAtLeast(20.0)),
        };
        rows.push(Row::median(name, &rounds, unit, target)?);
    }
    bench.site.remove()?;
    Ok(rows)
}

impl Bench {
    fn prepare(order: Order<'_>) -> Result<Self, String> {
        println!("building the benches (release; the first time takes minutes)");
        let built = |package, bench| bench_program(package, bench);
        let (ours, raw) = (built("cashgate-gateway", "mint")?, built("cashgate-hsm", "raw_sign")?);
        let example = ["build", "--quiet", "--release", "-p", "cashgate-hsm", "--example", "faulty_module"];
        command::run(command::cargo().args(example))?;
        let slow_module = command::target_folder()?.join("release/examples/libfaulty_module.so");
        let site = Site::new(command::build_programs(Build::Release)?, "cashgate-bench")?;
        std::fs::write(site.dir().join("slow"), SLOW.0)
            .map_err(|error| format!("cannot write in the site: {error}"))?;
        Ok(Self { site, ours, raw, slow_module, seconds: order.seconds().to_string() })
    }

    /// Ours and the baseline of one round, one after the other.
    fn round(&self, name: &str) -> Result<(f64, f64), String> {
        match name {
            "mint_throughput" => self.saturated("1"),
            "mint_throughput_4_sessions" => self.saturated("4"),
            "mint_throughput_slow_device" => {
                let baseline = self.figure(&self.raw, "per_s", &["--sessions", SLOW.1], true)?;
                let ours = self.figure(&self.ours, "per_s", &["--sessions", SLOW.1, "--tasks", TASKS], true)?;
                Ok((ours, baseline))
            }
            _ => {
                let idle = ["--sessions", "1", "--pause-us", "2000"];
                let baseline = self.figure(&self.raw, "p99_ns", &idle, false)?;
                Ok((self.figure(&self.ours, "p99_ns", &idle, false)? / 1_000.0, baseline / 1_000.0))
            }
        }
    }

    fn saturated(&self, sessions: &str) -> Result<(f64, f64), String> {
        let baseline = self.figure(&self.raw, "per_s", &["--sessions", sessions], false)?;
        let ours = self.figure(&self.ours, "per_s", &["--sessions", sessions, "--tasks", TASKS], false)?;
        Ok((ours, baseline))
    }

    fn figure(&self, program: &Path, which: &str, arguments: &[&str], slow: bool) -> Result<f64, String> {
        let softhsm = softhsm_module(&self.site.dir())?;
        let module = if slow { self.slow_module.clone() } else { softhsm.clone() };
        let mut run = Command::new(program);
        run.arg("--module").arg(module).args(["--token", TOKEN, "--key", KEY]).arg("--pin-file");
        run.arg(self.site.dir().join("hsm-pin")).args(["--seconds", &self.seconds]).args(arguments);
        run.env("SOFTHSM2_CONF", self.site.dir().join("softhsm2.conf"));
        run.env("FAULTY_MODULE_BEHIND", softhsm).env("FAULTY_MODULE_CONTROL", self.site.dir().join("slow"));
        run.env("FAULTY_MODULE_COUNTS", self.site.dir().join("counts"));
        figure(&figures(&mut run)?, which)
    }
}

/// The module that `cashgate init` wrote into the configuration.
fn softhsm_module(dir: &Path) -> Result<PathBuf, String> {
    let file = dir.join("cashgate.toml");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("module = \"")).ok_or("the configuration names no module")?;
    Ok(line.trim_end_matches('"').into())
}
