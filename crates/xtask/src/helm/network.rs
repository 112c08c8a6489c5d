//! Rendered Services on this machine's loopback interface: names, addresses, and who is sent where.
//!
//! As in a cluster, a connection goes to pods that are ready and not leaving, or, where a Service publishes addresses that are not ready, to every pod that
//! is there. Pods of a headless Service have names of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use super::chart::{list, text};
use super::running::{self, Probe};
use crate::relay::Relay;

/// How long a change takes to reach every machine of a cluster, about.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Pods begin here, Services here; both in 127.0.1.0/24.
const FIRST_POD: u8 = 10;
const FIRST_SERVICE: u8 = 100;

/// The address of a pod of the StatefulSet.
pub(super) fn pod_address(ordinal: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 1, FIRST_POD.saturating_add(u8::try_from(ordinal).unwrap_or(u8::MAX))).into()
}

/// The address of the load test's pod.
pub(super) fn load_address() -> IpAddr {
    Ipv4Addr::new(127, 0, 1, FIRST_POD - 1).into()
}

/// The address of a Service, by its place among those that are rendered.
fn service_address(place: usize) -> IpAddr {
    Ipv4Addr::new(127, 0, 1, FIRST_SERVICE.saturating_add(u8::try_from(place).unwrap_or(u8::MAX))).into()
}

/// What a cluster's DNS would say of the rendered Services.
pub(super) fn names(manifests: &[Value], stateful_set: &Value, pods: usize) -> Vec<(IpAddr, String)> {
    let mut names = Vec::new();
    for (place, service) in services(manifests).enumerate() {
        let (name, namespace) = (text(service, "/metadata/name"), text(service, "/metadata/namespace"));
        let every = |name: &str| [name.to_owned(), format!("{name}.{namespace}"), format!("{name}.{namespace}.svc")];
        if text(service, "/spec/clusterIP") != "None" {
            names.extend(every(name).map(|name| (service_address(place), name)));
        } else if name == text(stateful_set, "/spec/serviceName") {
            let set = text(stateful_set, "/metadata/name");
            let pods =
                (0..pods).flat_map(|at| every(&format!("{set}-{at}.{name}")).map(|name| (pod_address(at), name)));
            names.extend(pods);
        } else {
            names.extend(every(name).map(|name| (load_address(), name)));
        }
    }
    names
}

fn services(manifests: &[Value]) -> impl Iterator<Item = &Value> {
    manifests.iter().filter(|one| text(one, "/kind") == "Service")
}

/// A pod as its Services see it.
#[derive(Clone, Default)]
pub(super) struct Endpoint {
    /// Whether there is a pod, whatever it does.
    pub(super) is_there: bool,
    /// Whether it was told to go.
    pub(super) leaves: bool,
    ready: bool,
}

/// Who is there. Shared with the thread that asks the probes.
#[derive(Clone)]
pub(super) struct Endpoints(Arc<Mutex<Vec<Endpoint>>>);

impl Endpoints {
    pub(super) fn of(pods: usize) -> Self {
        Self(Arc::new(Mutex::new(vec![Endpoint::default(); pods])))
    }

    pub(super) fn change(&self, ordinal: usize, change: impl FnOnce(&mut Endpoint)) {
        if let Some(endpoint) = self.locked().get_mut(ordinal) {
            change(endpoint);
        }
    }

    fn locked(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One port of a Service.
struct Served {
    relay: Relay,
    port: u16,
    everybody: bool,
}

/// The Services while they run; dropped, they send nobody anywhere new.
pub(super) struct Network {
    goes_on: Arc<AtomicBool>,
}

impl Network {
    /// Begins to send connections to the pods of a container.
    pub(super) fn start(
        manifests: &[Value],
        container: &Value,
        probes: Vec<Probe>,
        endpoints: &Endpoints,
    ) -> Result<Self, String> {
        let mut served = Vec::new();
        for (place, service) in services(manifests).enumerate() {
            if text(service, "/spec/clusterIP") == "None" {
                continue;
            }
            let everybody = service.pointer("/spec/publishNotReadyAddresses").and_then(Value::as_bool) == Some(true);
            for port in list(service, "/spec/ports") {
                let outside = port.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
                let outside = outside.ok_or_else(|| format!("a Service without a port: {service}"))?;
                let port = running::port(container, text(port, "/targetPort"))?;
                let relay = Relay::listen_at(SocketAddr::new(service_address(place), outside))?;
                served.push(Served { relay, port, everybody });
            }
        }
        let (goes_on, endpoints) = (Arc::new(AtomicBool::new(true)), endpoints.clone());
        let going_on = Arc::clone(&goes_on);
        std::thread::spawn(move || {
            while going_on.load(Ordering::Relaxed) {
                let ready: Vec<bool> = probes.iter().map(Probe::succeeds).collect();
                let seen = {
                    let mut all = endpoints.locked();
                    all.iter_mut().zip(ready).for_each(|(endpoint, ready)| endpoint.ready = ready);
                    all.clone()
                };
                served.iter().for_each(|one| one.send(&seen));
                std::thread::sleep(LOOK_EVERY);
            }
        });
        Ok(Self { goes_on })
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.goes_on.store(false, Ordering::Relaxed);
    }
}

impl Served {
    fn send(&self, endpoints: &[Endpoint]) {
        let takes = |one: &Endpoint| one.is_there && (self.everybody || one.ready && !one.leaves);
        let pods = endpoints.iter().enumerate().filter(|(_, one)| takes(one));
        self.relay.send_to_addresses(pods.map(|(at, _)| SocketAddr::new(pod_address(at), self.port)).collect());
    }
}
