//! What a cluster does with rendered pods, whatever their mode: asks probes, runs `helm test` and the load test's Job, stops pods.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::chart::{find, list, text};
use super::configs::Given;
use super::pods::{Machine, Pod};
use crate::clock::Deadline;
use crate::process::Process;
use crate::{http, interrupt};

const READY: Duration = Duration::from_secs(60);
const TEST: Duration = Duration::from_secs(60);
const LOAD: Duration = Duration::from_secs(150);
/// How long a change may take to be seen.
pub(super) const SOON: Duration = Duration::from_secs(30);
/// A cluster asks more seldom; here nobody wants to wait.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A probe of a container: the path, and the port by its name in the container.
pub(super) struct Probe {
    address: SocketAddr,
    path: String,
}

impl Probe {
    /// Such as `/readinessProbe`.
    pub(super) fn of(pod: &Pod<'_>, container: &Value, probe: &str) -> Result<Self, String> {
        let name = text(container, &format!("{probe}/httpGet/port"));
        let port = port(container, name).map_err(|problem| format!("{probe}: {problem}"))?;
        let path = text(container, &format!("{probe}/httpGet/path")).to_owned();
        Ok(Self { address: SocketAddr::new(pod.ip(), port), path })
    }

    /// Whether it succeeds.
    pub(super) fn succeeds(&self) -> bool {
        matches!(self.answer(), Some((200, _)))
    }

    fn answer(&self) -> Option<(u16, String)> {
        http::page_at(self.address, &self.path)
    }
}

/// The port of a container that has this name.
pub(super) fn port(container: &Value, name: &str) -> Result<u16, String> {
    let port = list(container, "/ports").iter().find(|port| text(port, "/name") == name);
    let port = port.and_then(|port| port.get("containerPort")).and_then(Value::as_u64);
    port.and_then(|port| u16::try_from(port).ok()).ok_or_else(|| format!("no port is named {name:?}"))
}

/// As kubelet would: the startup probe until it succeeds, then the other two.
pub(super) fn wait_until_ready(pod: &Pod<'_>, container: &Value, gateway: &mut Process) -> Result<(), String> {
    ["/startupProbe", "/livenessProbe", "/readinessProbe"]
        .into_iter()
        .try_for_each(|name| wait_for(name, pod, container, gateway))
}

/// The same with one probe.
pub(super) fn wait_for(name: &str, pod: &Pod<'_>, container: &Value, gateway: &mut Process) -> Result<(), String> {
    let probe = Probe::of(pod, container, name)?;
    let deadline = Deadline::after(READY);
    while !probe.succeeds() {
        interrupt::check()?;
        if !gateway.runs() {
            return Err(format!("the gateway ended: {}", gateway.last_words(12)));
        }
        if deadline.has_passed() {
            let answer = probe.answer();
            return Err(format!("{name} answers {answer:?} after {READY:?}: {}", gateway.last_words(12)));
        }
        std::thread::sleep(ASK_EVERY);
    }
    Ok(())
}

/// A pod of `helm test`, to its end.
pub(super) fn run_test(manifests: &[Value], given: &Given<'_>, machine: &Machine, name: &str) -> Result<(), String> {
    let spec = find(manifests, "Pod", name)?.get("spec").cloned().unwrap_or_default();
    let objects = given.objects(manifests.to_vec(), &spec)?;
    let pod = Pod::create(machine, name, &spec, "127.0.0.1", &objects)?;
    for container in list(&spec, "/containers") {
        pod.run(container, &[], TEST)?;
    }
    Ok(())
}

/// The pod of the load test's Job, with everything that comes before its container.
pub(super) fn load_pod<'a>(
    manifests: &[Value],
    given: &Given<'_>,
    machine: &'a Machine,
    ip: &str,
) -> Result<Pod<'a>, String> {
    let spec = find(manifests, "Job", "-loadtest-1")?.pointer("/spec/template/spec").cloned().unwrap_or_default();
    let objects = given.objects(manifests.to_vec(), &spec)?;
    let pod = Pod::create(machine, "loadtest", &spec, ip, &objects)?;
    pod.initialise()?;
    Ok(pod)
}

/// Waits until the load test has passed; gives its report.
pub(super) fn passed(pod: &Pod<'_>, mut load: Process) -> Result<Value, String> {
    let (status, _) = load.wait_for_end(LOAD)?;
    if !status.success() {
        return Err(format!("the load test did not pass ({status}): {}", load.last_words(30)));
    }
    let report = pod.volume("report").join("report.json");
    let report = fs::read_to_string(&report).map_err(|error| format!("{}: {error}", report.display()))?;
    let report: Value = serde_json::from_str(&report).map_err(|error| format!("the load test's report: {error}"))?;
    match report.pointer("/visits/customers/paid").and_then(Value::as_u64) {
        Some(paid) if paid > 0 => Ok(report),
        _ => Err("nobody was paid in the load test".to_owned()),
    }
}

/// SIGTERM, and an end within the pod's grace period, of which a hook before has used some.
pub(super) fn stop(gateway: &mut Process, spec: &Value, used: Duration) -> Result<(), String> {
    gateway.terminate()?;
    stop_told(gateway, spec, used)
}

/// The same for one that has been told already.
pub(super) fn stop_told(gateway: &mut Process, spec: &Value, used: Duration) -> Result<(), String> {
    let grace = spec.get("terminationGracePeriodSeconds").and_then(Value::as_u64).unwrap_or_default();
    let (status, _) = gateway.wait_for_end(Duration::from_secs(grace).saturating_sub(used))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the gateway stopped with {status}: {}", gateway.last_words(12)))
    }
}
