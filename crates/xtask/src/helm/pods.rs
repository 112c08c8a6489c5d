//! Pods without a cluster: the volumes, users, environment and command lines of rendered manifests, as processes of this machine.
//!
//! A container sees what it would see: `/usr` as its image, the pod's volumes where they are mounted, the rest read-only. What is not as in a
//! cluster: the network is this machine's loopback interface, memory and CPU are not limited, seccomp is left out.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::chart::{list, text};
use crate::command;
use crate::process::Process;

const RUN_CONTAINER: &str = include_str!("container.sh");
/// How a mount namespace is to be had: as root, or where users may have namespaces of their own.
const NAMESPACES: [&[&str]; 2] = [&["unshare", "--mount"], &["unshare", "--map-root-user", "--mount"]];
/// What of /etc a C library wants to see.
const ETC: [&str; 6] = ["ld.so.cache", "nsswitch.conf", "passwd", "group", "localtime", "resolv.conf"];

/// The files of a ConfigMap or Secret.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// What a cluster would hold: the chart's own objects, and those that it expects to find.
pub(super) struct Objects {
    pub(super) manifests: Vec<Value>,
    pub(super) given: BTreeMap<String, Files>,
}

impl Objects {
    fn files(&self, kind: &str, name: &str) -> Result<Files, String> {
        if let Some(given) = self.given.get(name) {
            return Ok(given.clone());
        }
        let is_it = |one: &&Value| text(one, "/kind") == kind && text(one, "/metadata/name") == name;
        let data = self.manifests.iter().find(is_it).and_then(|one| one.get("data")).and_then(Value::as_object);
        let data = data.ok_or_else(|| format!("a pod wants the {kind} {name}, and there is none"))?;
        Ok(data.iter().map(|(key, text)| (key.clone(), text.as_str().unwrap_or_default().into())).collect())
    }
}

/// Where pods run.
pub(super) struct Machine {
    folder: PathBuf,
    namespace: &'static [&'static str],
    is_root: bool,
    /// Programs that the image has in /usr/local/bin.
    programs: Vec<PathBuf>,
    /// Addresses of this machine and the names that stand for them, as a cluster's DNS would tell them.
    hosts: Vec<(IpAddr, String)>,
}

impl Machine {
    /// A folder for pods.
    pub(super) fn new(folder: &Path, programs: Vec<PathBuf>, hosts: Vec<(IpAddr, String)>) -> Result<Self, String> {
        let works = |namespace: &&&[&str]| {
            let words = [**namespace, &["mount", "--make-rprivate", "/"]].concat();
            words.split_first().is_some_and(|(program, args)| command::succeeds(program, args))
        };
        let namespace = NAMESPACES.iter().find(works).ok_or(
            "rendered pods cannot be started: run this as root with CAP_SYS_ADMIN, or where `unshare --map-root-user --mount` works",
        )?;
        fs::create_dir_all(folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let is_root = *namespace == NAMESPACES[0];
        Ok(Self { folder: folder.to_owned(), namespace, is_root, programs, hosts })
    }

    /// Where `name:port` is, as a pod would find it.
    pub(super) fn resolved(&self, address: &str) -> Result<SocketAddr, String> {
        let (name, port) = address.rsplit_once(':').ok_or_else(|| format!("{address} has no port"))?;
        let port = port.parse().map_err(|_| format!("{address} has no port"))?;
        let found = self.hosts.iter().find(|(_, host)| host == name);
        found
            .map(|(ip, _)| SocketAddr::new(*ip, port))
            .ok_or_else(|| format!("no rendered Service gives the name {name}"))
    }

    /// The folder of a claim that several pods may mount.
    pub(super) fn claim(&self, name: &str) -> PathBuf {
        self.folder.join("claims").join(name)
    }
}

/// A pod and its volumes.
pub(super) struct Pod<'a> {
    machine: &'a Machine,
    name: String,
    spec: Value,
    folder: PathBuf,
    /// Its address.
    ip: IpAddr,
    /// Further environment of its containers.
    pub(super) environment: Vec<(String, String)>,
}

impl<'a> Pod<'a> {
    /// Makes every volume. One of a claim outlives the pod: of a claim of its own by the pod's name, of a claim that pods share by the claim's.
    pub(super) fn create(
        machine: &'a Machine,
        name: &str,
        spec: &Value,
        ip: &str,
        objects: &Objects,
    ) -> Result<Self, String> {
        let folder = machine.folder.join(name);
        let ip = ip.parse().map_err(|error| format!("{ip} is no address: {error}"))?;
        let pod = Self { machine, name: name.to_owned(), spec: spec.clone(), folder, ip, environment: vec![] };
        pod.fill_volumes(objects)?;
        Ok(pod)
    }

    /// What kubelet does when a ConfigMap or Secret has changed: a new folder, and a link to it that is replaced in one moment.
    pub(super) fn fill_volumes(&self, objects: &Objects) -> Result<(), String> {
        for volume in list(&self.spec, "/volumes") {
            let folder = self.volume(text(volume, "/name"));
            fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            let source = ["/configMap", "/secret"].into_iter().find_map(|kind| volume.pointer(kind));
            let Some(source) = source else {
                self.give_to_group(&folder, "2770")?;
                continue;
            };
            let (kind, name) = match text(source, "/secretName") {
                "" => ("ConfigMap", text(source, "/name")),
                secret => ("Secret", secret),
            };
            let mut files = objects.files(kind, name)?;
            let items = list(source, "/items");
            if !items.is_empty() {
                let all = std::mem::take(&mut files);
                for item in items {
                    let key = text(item, "/key");
                    let file = all.get(key).ok_or_else(|| format!("{kind} {name} has no key {key}"))?;
                    files.insert(text(item, "/path").to_owned(), file.clone());
                }
            }
            let mode = source.get("defaultMode").and_then(Value::as_u64).unwrap_or(0o644);
            self.project(&folder, &files, u32::try_from(mode).unwrap_or(0o644))
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        Ok(())
    }

    /// A folder whose files are links into one that is replaced as a whole.
    fn project(&self, folder: &Path, files: &Files, mode: u32) -> std::io::Result<()> {
        let version = format!("..{:x}", crate::clock::nanoseconds());
        fs::create_dir(folder.join(&version))?;
        for (name, bytes) in files {
            let file = folder.join(&version).join(name);
            fs::write(&file, bytes)?;
            fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
            if !folder.join(name).is_symlink() {
                symlink(Path::new("..data").join(name), folder.join(name))?;
            }
        }
        self.give_to_group(&folder.join(&version), "2755").map_err(std::io::Error::other)?;
        symlink(&version, folder.join("..new"))?;
        fs::rename(folder.join("..new"), folder.join("..data"))
    }

    /// fsGroup, where this program may give files away.
    fn give_to_group(&self, folder: &Path, mode: &str) -> Result<(), String> {
        let group = self.security("fsGroup");
        if self.machine.is_root && !group.is_empty() {
            command::run(Command::new("chgrp").args(["-R", &group]).arg(folder))?;
        }
        command::run(Command::new("chmod").arg(mode).arg(folder))
    }

    /// The folder of a volume on this machine.
    pub(super) fn volume(&self, name: &str) -> PathBuf {
        let volume = list(&self.spec, "/volumes").iter().find(|volume| text(volume, "/name") == name);
        match volume.map(|volume| text(volume, "/persistentVolumeClaim/claimName")) {
            Some(claim) if !claim.is_empty() => self.machine.claim(claim),
            _ => self.folder.join("volumes").join(name),
        }
    }

    /// Its address.
    pub(super) const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// What a container's environment says; the cluster's own words filled in.
    pub(super) fn variable(&self, container: &Value, name: &str) -> Result<String, String> {
        let environment = self.environment_of(container);
        let value = environment.iter().rev().find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
        value.map(str::to_owned).ok_or_else(|| format!("{}: the environment has no {name}", self.name))
    }

    /// Where a path in a container lies on this machine.
    pub(super) fn outside(&self, container: &Value, path: &str) -> Result<PathBuf, String> {
        let mounts = list(container, "/volumeMounts").iter();
        let inside = mounts.filter_map(|mount| {
            let within = Path::new(path).strip_prefix(text(mount, "/mountPath")).ok()?;
            Some(self.volume(text(mount, "/name")).join(within))
        });
        inside.last().ok_or_else(|| format!("{}: nothing is mounted at {path}", self.name))
    }

    /// Runs the containers that come before the others, each to its end.
    pub(super) fn initialise(&self) -> Result<(), String> {
        for container in list(&self.spec, "/initContainers") {
            self.run(container, &[], Duration::from_secs(60))?;
        }
        Ok(())
    }

    /// The container of that name.
    pub(super) fn container(&self, name: &str) -> Result<&Value, String> {
        let found = list(&self.spec, "/containers").iter().find(|one| text(one, "/name") == name);
        found.ok_or_else(|| format!("the pod {} has no container {name}", self.name))
    }

    /// Runs a container to its end; an error, with what it said, if it fails. Other arguments than its own, if any are given.
    pub(super) fn run(&self, container: &Value, arguments: &[&str], patience: Duration) -> Result<String, String> {
        let mut process = self.start(container, arguments)?;
        let (status, said) = process.wait_for_end(patience)?;
        let said: Vec<String> = said.iter().map(|line| line.get("not_json").unwrap_or(line).to_string()).collect();
        let said = said.join("\n");
        if status.success() {
            return Ok(said);
        }
        let name = text(container, "/name");
        Err(format!("{}: the container {name} failed ({status}): {said}\n{}", self.name, process.last_words(12)))
    }

    /// Starts a container.
    pub(super) fn start(&self, container: &Value, arguments: &[&str]) -> Result<Process, String> {
        let name = text(container, "/name");
        let root = self.folder.join("roots").join(format!("{name}-{:x}", crate::clock::nanoseconds()));
        self.make_root(&root, container).map_err(|error| format!("{}: {error}", root.display()))?;
        let (unshare, flags) = self.machine.namespace.split_first().ok_or("no namespace")?;
        let script = self.folder.join("container.sh");
        fs::write(&script, RUN_CONTAINER).map_err(|error| format!("{}: {error}", script.display()))?;
        let mut started = Command::new(unshare);
        started.args(flags).arg("sh").arg(&script).arg(&root);
        started.args([self.security("runAsUser"), self.security("runAsGroup")]);
        started.args(["PATH=/usr/local/bin:/usr/bin:/bin".to_owned(), format!("HOME={}", "/tmp")]);
        started.args(self.environment_of(container));
        started.args(self.words(container, "/command"));
        if arguments.is_empty() {
            started.args(self.words(container, "/args"));
        } else {
            started.args(arguments);
        }
        Process::start(name, &mut started, &self.folder.join(format!("{name}.log")))
    }

    /// Words of a command line. Where a container listens everywhere, here it listens on the pod's own address.
    fn words(&self, container: &Value, pointer: &str) -> Vec<String> {
        let words = list(container, pointer).iter().filter_map(Value::as_str);
        words.map(|word| word.replace("=0.0.0.0:", &format!("={}:", self.ip))).collect()
    }

    /// As Kubernetes makes it: `$(NAME)` in a value is a variable that was named before.
    fn environment_of(&self, container: &Value) -> Vec<String> {
        let number = self.name.rsplit_once('-').map_or("", |(_, number)| number);
        let value = |one: &Value| match text(one, "/valueFrom/fieldRef/fieldPath") {
            "metadata.name" => self.name.clone(),
            "metadata.labels['apps.kubernetes.io/pod-index']" => number.to_owned(),
            "status.podIP" => self.ip.to_string(),
            _ => text(one, "/value").to_owned(),
        };
        let mut known: Vec<(String, String)> = Vec::new();
        for one in list(container, "/env") {
            let with_others =
                known.iter().fold(value(one), |text, (name, value)| text.replace(&format!("$({name})"), value));
            known.push((text(one, "/name").to_owned(), with_others));
        }
        known.extend(self.environment.iter().cloned());
        known.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    fn security(&self, key: &str) -> String {
        let value = self.spec.pointer(&format!("/securityContext/{key}")).and_then(Value::as_u64);
        value.map(|number| number.to_string()).unwrap_or_default()
    }

    fn make_root(&self, root: &Path, container: &Value) -> std::io::Result<()> {
        for folder in ["usr/local/bin", "etc", "proc", "dev", "tmp", "run", "var/lib"] {
            fs::create_dir_all(root.join(folder))?;
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            if let Ok(target) = fs::read_link(Path::new("/").join(name)) {
                symlink(target, root.join(name))?;
            }
        }
        for name in ETC {
            // Not every machine has all of them.
            let _ = fs::copy(Path::new("/etc").join(name), root.join("etc").join(name));
        }
        // Debian's awk is a link into this folder.
        if let Ok(links) = fs::read_dir("/etc/alternatives") {
            fs::create_dir_all(root.join("etc/alternatives"))?;
            for link in links.flatten() {
                if let Ok(target) = fs::read_link(link.path()) {
                    symlink(target, root.join("etc/alternatives").join(link.file_name()))?;
                }
            }
        }
        let hosts = self.machine.hosts.iter().map(|(ip, name)| format!("{ip} {name}\n")).collect::<String>();
        fs::write(root.join("etc/hosts"), format!("127.0.0.1 localhost\n{hosts}"))?;
        for program in &self.machine.programs {
            let name = program.file_name().unwrap_or_default();
            let inside = root.join("usr/local/bin").join(name);
            // A link costs nothing; another file system wants a copy.
            fs::hard_link(program, &inside).or_else(|_| fs::copy(program, &inside).map(drop))?;
        }
        let mut mounts = String::new();
        for mount in list(container, "/volumeMounts") {
            let target = text(mount, "/mountPath");
            fs::create_dir_all(root.join(target.trim_start_matches('/')))?;
            let volume = text(mount, "/name");
            let how = if self.may_write(mount, volume) { "rw" } else { "ro" };
            mounts.push_str(&format!("{how} {} {target}\n", self.volume(volume).display()));
        }
        fs::write(root.with_added_extension("mounts"), mounts)
    }

    /// ConfigMaps and Secrets are never written, whatever the mount says.
    fn may_write(&self, mount: &Value, volume: &str) -> bool {
        let is_it = |one: &&Value| text(one, "/name") == volume;
        let projected = list(&self.spec, "/volumes")
            .iter()
            .find(is_it)
            .is_some_and(|volume| ["/configMap", "/secret"].iter().any(|kind| volume.pointer(kind).is_some()));
        !projected && mount.get("readOnly").and_then(Value::as_bool) != Some(true)
    }
}
