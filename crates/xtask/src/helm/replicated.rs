//! The replicated mode as it would run: a migration as its own role, three rendered pods on a real PostgreSQL over TLS, one HSM token for all, `helm test`, and
//! the load test's Job through rendered Services while the StatefulSet is upgraded pod by pod and one pod is killed.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::chart::{Chart, How, find, list, replica_server_name, text};
use super::configs::{Given, pod_of};
use super::network::{self, Endpoints, Network};
use super::pods::{Machine, Objects, Pod};
use super::publishing;
use super::running::{self, Probe, SOON};
use super::surroundings::{Surroundings, shown_by};
use super::tools::Tools;
use crate::process::Process;
use crate::{clock, http, interrupt};

pub(super) const ATMS: u32 = 9;
const CONTAINER: &str = "cashgate";
pub(super) const CONFIG: [&str; 2] = ["--config", "/etc/cashgate/config/cashgate.toml"];
/// A change that restarts pods, as an upgrade does.
const UPGRADE: &str = "config.guard.messages_per_atm_s=60";
/// How long customers come before pods are upgraded, and before one is killed.
const QUIET: Duration = Duration::from_secs(3);
/// How long kubelet takes to start a container again that has died.
const RESTARTS_AFTER: Duration = Duration::from_secs(1);

/// The chart's replicated mode, and what it finds in its cluster.
pub(super) struct Replicated<'a> {
    tools: &'a Tools,
    chart: &'a Chart,
    around: &'a Surroundings<'a>,
    image: &'a [PathBuf],
    values: PathBuf,
}

impl<'a> Replicated<'a> {
    pub(super) fn of(
        tools: &'a Tools,
        chart: &'a Chart,
        around: &'a Surroundings<'a>,
        image: &'a [PathBuf],
    ) -> Result<Self, String> {
        Ok(Self { tools, chart, around, image, values: around.values()? })
    }

    fn rendered(&self, set: &[&str], upgrade: bool) -> Result<Vec<Value>, String> {
        let how = How { values: std::slice::from_ref(&self.values), set, upgrade };
        self.tools.parse(&self.chart.render(self.tools, &self.chart.folder.join("ci/replicated.yaml"), how)?)
    }

    /// Everything.
    pub(super) fn check(&self) -> Result<String, String> {
        let (machine, manifests) = self.prepared()?;
        let mut pods = Pods::start(self, &machine, manifests)?;
        let network = pods.network()?;
        for test in ["test-ready", "test-operator"] {
            running::run_test(&pods.manifests, &self.around.given, &machine, test)?;
        }
        let seen = pods.under_load(self)?;
        drop(network);
        let first = pods.running.first().ok_or("the StatefulSet has no pod")?;
        publishing::in_force(&first.pod, first.pod.container(CONTAINER)?, &self.around.given)?;
        first.pod.run(first.pod.container(CONTAINER)?, &[&["ledger", "verify"], &CONFIG[..]].concat(), SOON)?;
        pods.stop()?;
        Ok(format!(
            "three rendered pods ran on PostgreSQL: migrated by a role of its own that granted the gateways' one, rules published through the ledger, peers \
             believed by their certificates, helm tests, {seen}"
        ))
    }

    /// As far as a mistake in the chart can be seen without load: whether pods start, and reach and believe each other.
    pub(super) fn starts(&self) -> Result<String, String> {
        let (machine, manifests) = self.prepared()?;
        Pods::start(self, &machine, manifests)?.stop()?;
        Ok("the rendered pods start, and reach and believe each other".to_owned())
    }

    /// A database of its own, certificates as the chart would have cert-manager make them, names, and the migration, which is a hook before everything else.
    fn prepared(&self) -> Result<(Machine, Vec<Value>), String> {
        let manifests = self.rendered(&[], false)?;
        let stateful_set = find(&manifests, "StatefulSet", "")?;
        let names = network::names(&manifests, stateful_set, replicas(stateful_set)?);
        let folder = self.around.given.site.folder().join(format!("pods-{:x}", clock::nanoseconds()));
        let machine = Machine::new(&folder, self.image.to_vec(), names)?;
        self.around.share_token(&machine.claim("hsm"))?;
        self.around.empty_database()?;
        self.migrate(&machine, &manifests)?;
        Ok((machine, manifests))
    }

    fn migrate(&self, machine: &Machine, manifests: &[Value]) -> Result<(), String> {
        let job = find(manifests, "Job", "-migrate")?;
        if !text(job, "/metadata/annotations/helm.sh~1hook").contains("pre-upgrade") {
            return Err("the migration is no hook before an upgrade".to_owned());
        }
        let spec = job.pointer("/spec/template/spec").cloned().unwrap_or_default();
        let objects = self.around.given.objects(manifests.to_vec(), &spec)?;
        let pod = Pod::create(machine, "migrate", &spec, "127.0.0.1", &objects)?;
        list(&spec, "/containers").iter().try_for_each(|container| pod.run(container, &[], SOON).map(drop))
    }
}

fn replicas(stateful_set: &Value) -> Result<usize, String> {
    let replicas = stateful_set.pointer("/spec/replicas").and_then(Value::as_u64);
    replicas.and_then(|count| usize::try_from(count).ok()).ok_or_else(|| "the StatefulSet has no replicas".to_owned())
}

/// A pod of the StatefulSet with its process.
struct Running<'a> {
    pod: Pod<'a>,
    process: Process,
}

/// All of them, in the order of their ordinals.
struct Pods<'a> {
    machine: &'a Machine,
    given: &'a Given<'a>,
    manifests: Vec<Value>,
    spec: Value,
    name: String,
    running: Vec<Running<'a>>,
    endpoints: Endpoints,
}

impl<'a> Pods<'a> {
    /// All at once, as `podManagementPolicy: Parallel` has it; returns when all are ready, and reach and believe each other.
    fn start(of: &'a Replicated<'a>, machine: &'a Machine, manifests: Vec<Value>) -> Result<Self, String> {
        let stateful_set = find(&manifests, "StatefulSet", "")?;
        let (spec, name) = (pod_of(stateful_set), text(stateful_set, "/metadata/name").to_owned());
        let count = replicas(stateful_set)?;
        let (given, endpoints) = (&of.around.given, Endpoints::of(count));
        let mut pods = Self { machine, given, manifests, spec, name, running: Vec::new(), endpoints };
        for ordinal in 0..count {
            let started = pods.started(ordinal)?;
            pods.running.push(started);
        }
        pods.publish()?;
        for ordinal in 0..count {
            pods.wait_until_ready(ordinal)?;
        }
        pods.all_run()?;
        pods.believe_each_other()?;
        Ok(pods)
    }

    /// A pod of that number, as the rendered manifests have it now.
    fn started(&self, ordinal: usize) -> Result<Running<'a>, String> {
        let objects: Objects = self.given.objects(self.manifests.clone(), &self.spec)?;
        let (name, ip) = (format!("{}-{ordinal}", self.name), network::pod_address(ordinal).to_string());
        let mut pod = Pod::create(self.machine, &name, &self.spec, &ip, &objects)?;
        let container = pod.container(CONTAINER)?.clone();
        // In a cluster everything is the pod's own address.
        for listener in ["atm", "api", "http", "replica"] {
            let port = running::port(&container, listener)?;
            pod.environment.push((format!("CASHGATE_LISTEN__{}", listener.to_uppercase()), format!("{ip}:{port}")));
        }
        pod.initialise()?;
        pod.run(&container, &[&["check-config"], &CONFIG[..]].concat(), SOON)?;
        let process = pod.start(&container, &[])?;
        Ok(Running { pod, process })
    }

    fn wait_until_ready(&mut self, ordinal: usize) -> Result<(), String> {
        let Running { pod, process } = self.at(ordinal)?;
        running::wait_until_ready(pod, &pod.container(CONTAINER)?.clone(), process)?;
        self.endpoints.change(ordinal, |endpoint| (endpoint.is_there, endpoint.leaves) = (true, false));
        Ok(())
    }

    /// What the chart's README has an operator do once after a first installation with `policy.source: ledger`. Until then nobody is ready.
    fn publish(&mut self) -> Result<(), String> {
        let Running { pod, process } = self.running.first_mut().ok_or("the StatefulSet has no pod")?;
        let container = pod.container(CONTAINER)?.clone();
        running::wait_for("/startupProbe", pod, &container, process)?;
        if Probe::of(pod, &container, "/readinessProbe")?.succeeds() {
            return Err("a gateway is ready, and no rules have been published".to_owned());
        }
        publishing::published(pod, &container, self.given)
    }

    fn at(&mut self, ordinal: usize) -> Result<&mut Running<'a>, String> {
        self.running.get_mut(ordinal).ok_or_else(|| format!("there is no pod {ordinal}"))
    }

    fn all_run(&mut self) -> Result<(), String> {
        for one in &mut self.running {
            if !one.process.runs() {
                return Err(format!("a pod has ended by itself: {}", one.process.last_words(12)));
            }
        }
        Ok(())
    }

    /// Each pod's own address for the others is called as another pod would call it: it must answer as the replica of its number.
    fn believe_each_other(&self) -> Result<(), String> {
        for (ordinal, Running { pod, .. }) in self.running.iter().enumerate() {
            let caller = &self.running.get((ordinal + 1) % self.running.len()).ok_or("the StatefulSet has no pod")?.pod;
            let container = pod.container(CONTAINER)?;
            let address = pod.variable(container, "CASHGATE_REPLICA__ADDRESS")?;
            let file = |name: &str| caller.outside(container, &caller.variable(container, name)?);
            let (certificate, key) = (file("CASHGATE_REPLICA__CERTIFICATE")?, file("CASHGATE_REPLICA__KEY")?);
            let address = self.machine.resolved(&address)?;
            let ca = caller.outside(container, "/etc/cashgate/tls/ca.crt")?;
            let name = replica_server_name(&self.manifests)?;
            let shown = shown_by(self.given.site.folder(), address, name, [&certificate, &key, &ca])
                .map_err(|problem| format!("replica {ordinal} at its own address {address}: {problem}"))?;
            let wanted = format!("/replica/{ordinal}");
            if !shown.lines().any(|line| line.trim().ends_with(&wanted)) {
                return Err(format!("replica {ordinal} shows its peers another certificate: {shown}"));
            }
        }
        Ok(())
    }

    fn network(&self) -> Result<Network, String> {
        let container = list(&self.spec, "/containers").iter().find(|one| text(one, "/name") == CONTAINER);
        let container = container.ok_or("the StatefulSet has no gateway")?;
        let probes = self.running.iter().map(|one| Probe::of(&one.pod, container, "/readinessProbe"));
        Network::start(&self.manifests, container, probes.collect::<Result<_, _>>()?, &self.endpoints)
    }

    /// Customers come while every pod is upgraded, and then while one is killed. Before the kill nobody may fail.
    fn under_load(&mut self, of: &Replicated<'_>) -> Result<String, String> {
        let ip = network::load_address().to_string();
        let load = running::load_pod(&self.manifests, self.given, self.machine, &ip)?;
        let mut process = load.start(load.container("loadtest")?, &[])?;
        std::thread::sleep(QUIET);
        let spread = self.counted("cashgate_atms_connected")?;
        self.upgrade(of)?;
        std::thread::sleep(QUIET);
        let forwarded = self.counted("cashgate_replica_forwarded_total{result=\"answered\",rpc=\"Approve\"")?;
        if !process.runs() {
            return Err(format!("the load had ended before a pod was killed: {}", process.last_words(12)));
        }
        let killed_at_ms = clock::unix_ms();
        self.kill(1)?;
        let report = running::passed(&load, process)?;
        if let Some(lonely) = spread.iter().position(|atms| *atms == 0) {
            return Err(format!("no ATM was at replica {lonely}: {spread:?}"));
        }
        if forwarded.iter().sum::<u64>() == 0 {
            return Err("no approval was handed from one replica to another: this run shows nothing".to_owned());
        }
        judged(&report, killed_at_ms)
    }

    /// As a StatefulSet does: the migration first, then one pod after the other from the highest ordinal, each when the one before is ready.
    fn upgrade(&mut self, of: &Replicated<'_>) -> Result<(), String> {
        self.manifests = of.rendered(&[UPGRADE], true)?;
        of.migrate(self.machine, &self.manifests)?;
        self.spec = pod_of(find(&self.manifests, "StatefulSet", "")?);
        for ordinal in (0..self.running.len()).rev() {
            interrupt::check()?;
            let spec = self.spec.clone();
            self.endpoints.change(ordinal, |endpoint| endpoint.leaves = true);
            let slept = pre_stop(&spec);
            std::thread::sleep(slept);
            running::stop(&mut self.at(ordinal)?.process, &spec, slept)?;
            self.endpoints.change(ordinal, |endpoint| endpoint.is_there = false);
            *self.at(ordinal)? = self.started(ordinal)?;
            self.wait_until_ready(ordinal)?;
        }
        self.all_run()
    }

    /// The container dies, and kubelet starts it again in the same pod.
    fn kill(&mut self, ordinal: usize) -> Result<(), String> {
        let Running { pod, process } = self.at(ordinal)?;
        process.kill();
        std::thread::sleep(RESTARTS_AFTER);
        *process = pod.start(&pod.container(CONTAINER)?.clone(), &[])?;
        self.wait_until_ready(ordinal)
    }

    /// A figure of each pod, summed over its labels.
    fn counted(&self, series: &str) -> Result<Vec<u64>, String> {
        let container = list(&self.spec, "/containers").iter().find(|one| text(one, "/name") == CONTAINER);
        let port = running::port(container.unwrap_or(&Value::Null), "http")?;
        let of = |one: &Running<'_>| {
            let page = http::page_at((one.pod.ip(), port).into(), "/metrics").map(|(_, page)| page).unwrap_or_default();
            let lines = page.lines().filter(|line| line.starts_with(series));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
        };
        Ok(self.running.iter().map(of).collect())
    }

    /// All at once, as when the release is deleted.
    fn stop(mut self) -> Result<(), String> {
        self.all_run()?;
        for one in &self.running {
            one.process.terminate()?;
        }
        let spec = self.spec.clone();
        self.running.iter_mut().try_for_each(|one| running::stop_told(&mut one.process, &spec, Duration::ZERO))
    }
}

/// How long the rendered hook sleeps before SIGTERM.
fn pre_stop(spec: &Value) -> Duration {
    let container = list(spec, "/containers").iter().find(|one| text(one, "/name") == CONTAINER);
    let seconds = container.and_then(|one| one.pointer("/lifecycle/preStop/sleep/seconds")).and_then(Value::as_u64);
    Duration::from_secs(seconds.unwrap_or_default())
}

/// Nobody who had scanned left without cash before a pod was killed; after that only who stood at one of its ATMs.
#[allow(clippy::float_arithmetic, reason = "moments of a report; no money")]
fn judged(report: &Value, killed_at_ms: u64) -> Result<String, String> {
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let began_ms = number("/began_unix_ms");
    let killed_at_s = Duration::from_millis(killed_at_ms.saturating_sub(began_ms)).as_secs_f64();
    let left = |visit: &&Value| visit.get("left_s").and_then(Value::as_f64).unwrap_or_default();
    let failed = list(report, "/failed");
    let too_early: Vec<String> =
        failed.iter().filter(|visit| left(visit) < killed_at_s).map(Value::to_string).collect();
    if !too_early.is_empty() {
        return Err(format!("withdrawals failed while pods were upgraded one by one: {}", too_early.join(", ")));
    }
    let after = failed.len();
    if after > usize::try_from(ATMS).unwrap_or_default() {
        return Err(format!("{after} withdrawals failed because one pod was killed: {}", report["failed"]));
    }
    let (paid, again) = (number("/visits/customers/paid"), number("/scanned_again"));
    Ok(format!(
        "{paid} customers paid through all three while each pod was replaced (none failed, {again} had to scan again) and one was killed ({after} failed), \
         books balanced, ledger sound"
    ))
}
