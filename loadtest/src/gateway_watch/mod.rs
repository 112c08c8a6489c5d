//! Looks at the gateway once a second: its CPU time and memory in `/proc`, and its own metrics. Both are optional; the load does not need them.

#![allow(clippy::float_arithmetic, reason = "shares of time; no money")]

mod metrics;
mod process;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::recording::Sample;
use crate::visit::Hall;
pub use metrics::MetricsAddress;
use metrics::Scrape;
use process::Usage;

/// How often metrics are asked for before they count as not there: a machine may be busy.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// Where the gateway can be looked at.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    /// A file with the gateway's process id, or those of all replicas, read anew every second, because a restart changes it. Only for this machine.
    pub pid_file: Option<PathBuf>,
    /// Its metrics, or those of each replica.
    pub metrics: Vec<MetricsAddress>,
}

/// Looks once, before the run: a report that left out what was named without a word would pass for one that was not asked for it.
///
/// # Errors
/// What cannot be seen, in words.
pub(crate) async fn look(windows: &Windows) -> Result<(), String> {
    if let Some(file) = &windows.pid_file
        && processes(windows).is_empty()
    {
        return Err(format!("--gateway-pid-file {}: names no process of this machine", file.display()));
    }
    for address in &windows.metrics {
        let mut tries = 1..=LOOKS;
        while address.scrape().await.is_none() {
            if tries.next().is_none() {
                return Err(format!("--metrics {address}: no metrics of a gateway are there"));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }
    Ok(())
}

fn processes(windows: &Windows) -> BTreeMap<u32, Usage> {
    let pids = windows.pid_file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
    let pids = pids.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.filter_map(|pid: u32| Some((pid, Usage::of(&pid.to_string())?))).collect()
}

/// Looks once a second until it is aborted.
pub(crate) async fn watch(hall: Arc<Hall>, windows: Windows) {
    let mut every = interval(Duration::from_secs(1));
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut last = Look::at(&windows).await;
    every.tick().await;
    loop {
        every.tick().await;
        let look = Look::at(&windows).await;
        let mut sample = look.since(&last);
        sample.at = hall.recorder.elapsed();
        sample.atms_connected = hall.machines.connected();
        let busy = hall.machines.count().saturating_sub(hall.machines.idle());
        sample.customers = u64::try_from(busy).unwrap_or(u64::MAX);
        hall.recorder.sampled(sample);
        last = look;
    }
}

/// What is seen at one moment.
struct Look {
    at: Instant,
    /// By process.
    gateway: BTreeMap<u32, Usage>,
    generator: Option<Usage>,
    scrape: Option<Scrape>,
}

impl Look {
    async fn at(windows: &Windows) -> Self {
        let scrape = Scrape::of_all(&windows.metrics).await;
        Self { at: Instant::now(), gateway: processes(windows), generator: Usage::of("self"), scrape }
    }

    fn since(&self, last: &Self) -> Sample {
        let passed = self.at.saturating_duration_since(last.at);
        // Another process has used another clock.
        let shares =
            self.gateway.iter().filter_map(|(pid, usage)| usage.cpu_percent_since(*last.gateway.get(pid)?, passed));
        let gateway = shares.reduce(|sum, share| sum + share);
        let generator = self.generator.zip(last.generator);
        let rate = |of: fn(&Scrape) -> Option<f64>| {
            let (now, before) = (of(self.scrape.as_ref()?)?, of(last.scrape.as_ref()?)?);
            metrics::per_second(before, now, passed)
        };
        Sample {
            gateway_cpu_percent: gateway,
            gateway_rss_kib: self.gateway.values().map(|usage| usage.rss_kib).reduce(u64::saturating_add),
            generator_cpu_percent: generator.and_then(|(now, last)| now.cpu_percent_since(last, passed)),
            hsm_queue: self.scrape.as_ref().and_then(Scrape::hsm_queue),
            hsm_signatures_per_s: rate(Scrape::hsm_signatures),
            qr_tokens_per_s: rate(Scrape::qr_tokens),
            durable_steps_per_s: rate(Scrape::durable_steps),
            ..Sample::default()
        }
    }
}
