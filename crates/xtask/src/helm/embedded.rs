//! The embedded mode as it would run: the rendered pod with SoftHSM2 and SQLite, its probes, `helm test`, the load test's Job, a change of limits without a
//! restart, a second writer that is refused, and a stop within the grace period.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::chart::{Chart, How, RELEASE, find, list, text};
use super::configs::{Given, pod_of};
use super::pods::{Machine, Objects, Pod};
use super::tools::Tools;
use crate::clock::Deadline;
use crate::process::Process;
use crate::{http, interrupt};

const SCENARIO: &str = include_str!("scenario.toml");
const ATMS: u32 = 10;
const READY: Duration = Duration::from_secs(60);
const TEST: Duration = Duration::from_secs(60);
const LOAD: Duration = Duration::from_secs(150);
const SOON: Duration = Duration::from_secs(30);
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
    wait_until_ready(container, &mut gateway)?;
    second_writer_is_refused(&pod, container)?;
    for test in ["test-ready", "test-operator"] {
        run_test(&objects.manifests, given, machine, test)?;
    }
    run_load(&objects.manifests, given, machine)?;
    what_autoscaling_asks_for_is_exported(tools, chart, given)?;
    pod.fill_volumes(&Objects {
        manifests: rendered(&["config.institution[0].limits.per_day=777000"])?,
        given: objects.given.clone(),
    })?;
    wait_for_metric(given, "cashgate_rule_reloads_total{result=\"taken\"")?;
    stop(&mut gateway, &spec)?;
    pod.run(container, &["ledger", "verify", "--config", "/etc/cashgate/config/cashgate.toml"], SOON)?;
    Ok("the rendered pod of the embedded mode ran: keys made, probes, helm tests, load test with balanced books, limits changed without a restart, a second \
        writer refused, stopped within its grace period, ledger sound"
        .to_owned())
}

/// What a trial on this machine says beside `ci/trial.yaml`: free ports, and the load of a few seconds.
fn values(given: &Given<'_>) -> Result<PathBuf, String> {
    let ports = given.site.ports();
    let [bank, _] = ports.corebanks;
    let module = SOFTHSM.iter().find(|module| Path::new(module).exists()).ok_or("SoftHSM2's module is missing")?;
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

/// A pod has an address of its own; here it is the loopback interface's, so that nobody else reaches it.
fn listening(given: &Given<'_>) -> Vec<(String, String)> {
    let ports = given.site.ports();
    let at = |name: &str, port: u16| (format!("CASHGATE_LISTEN__{name}"), format!("127.0.0.1:{port}"));
    vec![at("ATM", ports.atm), at("API", ports.api), at("HTTP", ports.http)]
}

/// As kubelet would: the startup probe until it succeeds, then the other two.
fn wait_until_ready(container: &Value, gateway: &mut Process) -> Result<(), String> {
    for probe in ["/startupProbe", "/livenessProbe", "/readinessProbe"] {
        let (port, path) = probed(container, probe)?;
        let deadline = Deadline::after(READY);
        loop {
            interrupt::check()?;
            match http::page(port, path) {
                Some((200, _)) => break,
                _ if !gateway.runs() => return Err(format!("the gateway ended: {}", gateway.last_words(12))),
                answer if deadline.has_passed() => {
                    return Err(format!("{probe} answers {answer:?} after {READY:?}: {}", gateway.last_words(12)));
                }
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
    Ok(())
}

/// The port, by its name in the container, and the path.
fn probed<'a>(container: &'a Value, probe: &str) -> Result<(u16, &'a str), String> {
    let name = text(container, &format!("{probe}/httpGet/port"));
    let port = list(container, "/ports").iter().find(|port| text(port, "/name") == name);
    let port = port.and_then(|port| port.get("containerPort")).and_then(Value::as_u64);
    let port =
        port.and_then(|port| u16::try_from(port).ok()).ok_or_else(|| format!("{probe}: no port is named {name:?}"))?;
    Ok((port, text(container, &format!("{probe}/httpGet/path"))))
}

/// The last wall: whatever lets a second pod start on the ledger's disk, it does not write.
fn second_writer_is_refused(pod: &Pod<'_>, container: &Value) -> Result<(), String> {
    match pod.run(container, &[], SOON) {
        Ok(_) => Err("a second gateway ran on the same disk".to_owned()),
        Err(said) if said.contains("in use") || said.contains("another") => Ok(()),
        Err(said) => Err(format!("a second gateway on the same disk did not name the first: {said}")),
    }
}

fn run_test(manifests: &[Value], given: &Given<'_>, machine: &Machine, name: &str) -> Result<(), String> {
    let spec = find(manifests, "Pod", name)?.get("spec").cloned().unwrap_or_default();
    let objects = given.objects(manifests.to_vec(), &spec)?;
    let pod = Pod::create(machine, name, &spec, "127.0.0.1", &objects)?;
    for container in list(&spec, "/containers") {
        pod.run(container, &[], TEST)?;
    }
    Ok(())
}

fn run_load(manifests: &[Value], given: &Given<'_>, machine: &Machine) -> Result<(), String> {
    let spec = find(manifests, "Job", "-loadtest-1")?.pointer("/spec/template/spec").cloned().unwrap_or_default();
    let objects = given.objects(manifests.to_vec(), &spec)?;
    let pod = Pod::create(machine, "loadtest", &spec, "127.0.0.1", &objects)?;
    pod.initialise()?;
    pod.run(pod.container("loadtest")?, &[], LOAD)?;
    let report = pod.volume("report").join("report.json");
    let report = fs::read_to_string(&report).map_err(|error| format!("{}: {error}", report.display()))?;
    let report: Value = serde_json::from_str(&report).map_err(|error| format!("the load test's report: {error}"))?;
    match report.pointer("/visits/customers/paid").and_then(Value::as_u64) {
        Some(paid) if paid > 0 => Ok(()),
        _ => Err("nobody was paid in the load test".to_owned()),
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

fn stop(gateway: &mut Process, spec: &Value) -> Result<(), String> {
    let grace = spec.get("terminationGracePeriodSeconds").and_then(Value::as_u64).unwrap_or_default();
    gateway.terminate()?;
    let (status, _) = gateway.wait_for_end(Duration::from_secs(grace))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the gateway stopped with {status}: {}", gateway.last_words(12)))
    }
}
