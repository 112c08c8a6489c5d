//! The embedded mode as it would run: the rendered pod with SoftHSM2 and SQLite, its probes, `helm test`, the load test's Job, a change of limits without a
//! restart, a second writer that is refused, and a stop within the grace period.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::chart::{Chart, How, RELEASE, find, text};
use super::configs::{Given, pod_of};
use super::pods::{Machine, Objects, Pod};
use super::running::{self, SOON};
use super::tools::Tools;
use crate::clock::Deadline;
use crate::{http, interrupt};

const SCENARIO: &str = include_str!("scenario.toml");
const ATMS: u32 = 10;
/// Where the trial's module is on this machine.
const SOFTHSM: [&str; 2] = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];

/// Runs all of it.
pub(super) fn check(tools: &Tools, chart: &Chart, given: &Given<'_>, machine: &Machine) -> Result<String, String> {
    let values = values(given)?;
    let rendered = |set: &[&str]| -> Result<Vec<Value>, String> {
        let how = How { values: std::slice::from_ref(&values), set, ..How::default() };
        tools.parse(&chart.render(tools, &chart.folder.join("ci/trial.yaml"), how)?)
    };
    let manifests = rendered(&[])?;
    let stateful_set = find(&manifests, "StatefulSet", "")?.clone();
    let spec = pod_of(&stateful_set);
    let objects = given.objects(manifests, &spec)?;
    let mut pod = Pod::create(machine, &format!("{RELEASE}-cashgate-0"), &spec, "127.0.0.1", &objects)?;
    pod.environment = listening(given);
    pod.initialise()?;
    // The keys are there already, and are left as they are.
    pod.initialise()?;
    let container = pod.container("cashgate")?;
    let mut gateway = pod.start(container, &[])?;
    running::wait_until_ready(&pod, container, &mut gateway)?;
    second_writer_is_refused(&pod, container)?;
    for test in ["test-ready", "test-operator"] {
        running::run_test(&objects.manifests, given, machine, test)?;
    }
    let load = running::load_pod(&objects.manifests, given, machine, "127.0.0.1")?;
    running::passed(&load, load.start(load.container("loadtest")?, &[])?)?;
    what_autoscaling_asks_for_is_exported(tools, chart, given)?;
    pod.fill_volumes(&Objects {
        manifests: rendered(&["config.institution[0].limits.per_day=777000"])?,
        given: objects.given.clone(),
    })?;
    wait_for_metric(given, "cashgate_rule_reloads_total{result=\"taken\"")?;
    running::stop(&mut gateway, &spec, Duration::ZERO)?;
    pod.run(container, &["ledger", "verify", "--config", "/etc/cashgate/config/cashgate.toml"], SOON)?;
    Ok("the rendered pod of the embedded mode ran: keys made, probes, helm tests, load test with balanced books, limits changed without a restart, a second \
        writer refused, stopped within its grace period, ledger sound"
        .to_owned())
}

/// What a trial on this machine says beside `ci/trial.yaml`: free ports, and the load of a few seconds.
fn values(given: &Given<'_>) -> Result<PathBuf, String> {
    let ports = given.site.ports();
    let [bank, _] = ports.corebanks;
    let module = module()?;
    let text = json!({
        "ports": {"atm": ports.atm, "api": ports.api, "http": ports.http},
        "hsm": {"module": module},
        "policy": {"checkEverySeconds": 1},
        "loadtest": {"atms": ATMS, "coreBankPort": bank, "scenarioText": SCENARIO},
        "config": {
            "institution": [{
                "id": "sakura", "currency": "JPY", "time_zone": "Asia/Tokyo",
                "core_banking": {"endpoint": format!("https://{RELEASE}-cashgate-loadtest:{bank}"), "server_name": "localhost"},
                "limits": {"new_device": []},
            }],
        },
    });
    let file = given.site.folder().join("values.json");
    fs::write(&file, text.to_string()).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    Ok(file)
}

/// Where SoftHSM2 is.
pub(super) fn module() -> Result<&'static str, String> {
    let found = SOFTHSM.into_iter().find(|module| Path::new(module).exists());
    found.ok_or_else(|| "SoftHSM2's module is missing".to_owned())
}

/// A pod has an address of its own; here it is the loopback interface's, so that nobody else reaches it.
fn listening(given: &Given<'_>) -> Vec<(String, String)> {
    let ports = given.site.ports();
    let at = |name: &str, port: u16| (format!("CASHGATE_LISTEN__{name}"), format!("127.0.0.1:{port}"));
    vec![at("ATM", ports.atm), at("API", ports.api), at("HTTP", ports.http)]
}

/// The last wall: whatever lets a second pod start on the ledger's disk, it does not write.
fn second_writer_is_refused(pod: &Pod<'_>, container: &Value) -> Result<(), String> {
    match pod.run(container, &[], SOON) {
        Ok(_) => Err("a second gateway ran on the same disk".to_owned()),
        Err(said) if said.contains("in use") || said.contains("another") => Ok(()),
        Err(said) => Err(format!("a second gateway on the same disk did not name the first: {said}")),
    }
}

/// A HorizontalPodAutoscaler on a metric that nobody exports does nothing, in silence.
fn what_autoscaling_asks_for_is_exported(tools: &Tools, chart: &Chart, given: &Given<'_>) -> Result<(), String> {
    let file = chart.folder.join("values.yaml");
    let defaults = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let defaults = tools.parse(&defaults)?;
    for pointer in ["/autoscaling/atms/metric", "/autoscaling/hsmQueue/metric"] {
        let metric = defaults.first().map_or("", |values| text(values, pointer));
        wait_for_metric(given, metric).map_err(|problem| format!("{pointer}: {problem}"))?;
    }
    Ok(())
}

/// Waits until a series is there, and, if it counts, has counted.
fn wait_for_metric(given: &Given<'_>, series: &str) -> Result<(), String> {
    let deadline = Deadline::after(SOON);
    loop {
        interrupt::check()?;
        let page = http::page(given.site.ports().http, "/metrics").map(|(_, page)| page).unwrap_or_default();
        let line = page.lines().find(|line| line.starts_with(series) && !series.is_empty());
        if line.is_some_and(|line| !series.contains('{') || !line.ends_with(" 0")) {
            return Ok(());
        }
        if deadline.has_passed() {
            return Err(format!("the gateway exports no {series}, or it stays 0"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
