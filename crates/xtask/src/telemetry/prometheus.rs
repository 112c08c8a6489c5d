//! Debian's Prometheus, scraping gateways every second, with rules that are in a hurry.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::clock::Deadline;
use crate::process::Process;
use crate::site::{Site, free_port};
use crate::{http, interrupt};

const STARTS_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// What of the rules takes patience, and what stands for it here. The longest window must still see three restarts.
const HURRY: [(&str, &str); 5] =
    [("[5m]", "[20s]"), ("[10m]", "[20s]"), ("[15m]", "[20s]"), ("[30m]", "[45s]"), ("[1h]", "[45s]")];

pub(super) struct Prometheus {
    _process: Process,
    port: u16,
}

impl Prometheus {
    /// With one gateway's figures or those of several, by their ports.
    pub(super) fn start(site: &Site, rules: &str, gateways: &[u16]) -> Result<Self, String> {
        let folder = site.folder().join("prometheus");
        let cannot = |error| format!("cannot write {}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(cannot)?;
        fs::write(folder.join("rules.yaml"), hurried(rules)).map_err(cannot)?;
        let targets: Vec<String> = gateways.iter().map(|port| format!("'127.0.0.1:{port}'")).collect();
        let config = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [rules.yaml]\nscrape_configs:\n  - job_name: cashgate\n    static_configs:\n      - targets: [{}]\n",
            targets.join(", ")
        );
        fs::write(folder.join("prometheus.yml"), config).map_err(cannot)?;
        let port = free_port()?;
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", folder.join("prometheus.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Process::start("prometheus", &mut command, &site.log("prometheus"))?;
        Ok(Self { _process: process, port })
    }

    /// Waits until it has the gateway's figures.
    pub(super) fn wait_until_it_scrapes(&self) -> Result<(), String> {
        let deadline = Deadline::after(STARTS_WITHIN);
        while !self.has_figures() {
            interrupt::check()?;
            if deadline.has_passed() {
                return Err("Prometheus does not scrape the gateway".to_owned());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn has_figures(&self) -> bool {
        let answer = http::page(self.port, "/api/v1/query?query=cashgate_atms_connected");
        answer.is_some_and(|(status, body)| status == 200 && body.contains("cashgate_atms_connected"))
    }

    /// How many series a query gives now.
    pub(super) fn series(&self, query: &str) -> Result<usize, String> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let Some((_, body)) = http::page(self.port, &format!("/api/v1/query?query={encoded}")) else {
            return Err("Prometheus does not answer".to_owned());
        };
        let answer: Value =
            serde_json::from_str(&body).map_err(|error| format!("Prometheus answers no JSON: {error}"))?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer.pointer("/data/result").and_then(Value::as_array).map_or(0, Vec::len)),
        }
    }

    /// The names of the alerts that fire now.
    pub(super) fn firing(&self) -> Result<Vec<String>, String> {
        Ok(self.firing_with_instance()?.into_iter().map(|(name, _)| name).collect())
    }

    /// The same with the gateway that each is about, if it is about one, as `host:port`.
    pub(super) fn firing_with_instance(&self) -> Result<Vec<(String, Option<String>)>, String> {
        let Some((200, body)) = http::page(self.port, "/api/v1/alerts") else {
            return Err("Prometheus does not answer".to_owned());
        };
        let answer: Value =
            serde_json::from_str(&body).map_err(|error| format!("Prometheus answers no JSON: {error}"))?;
        let alerts = answer.pointer("/data/alerts").and_then(Value::as_array).cloned().unwrap_or_default();
        let fires = alerts.iter().filter(|alert| alert.get("state").and_then(Value::as_str) == Some("firing"));
        let label = |alert: &Value, name: &str| {
            alert.pointer(&format!("/labels/{name}")).and_then(Value::as_str).map(str::to_owned)
        };
        Ok(fires.filter_map(|alert| Some((label(alert, "alertname")?, label(alert, "instance")))).collect())
    }
}

/// The same rules without patience.
fn hurried(rules: &str) -> String {
    let lines = rules.lines().map(|line| match line.split_once("for: ") {
        Some((before, _)) if before.trim().is_empty() => format!("{before}for: 0s"),
        _ => HURRY.iter().fold(line.to_owned(), |line, (patient, quick)| line.replace(patient, quick)),
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_patience_is_taken_out() {
        let rules = "        expr: increase(a[1h]) > 0\n        for: 10m\n";
        assert_eq!(hurried(rules), "        expr: increase(a[45s]) > 0\n        for: 0s\n");
    }
}
