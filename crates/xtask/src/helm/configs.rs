//! The rendered configuration of every file of values, read by the real `cashgate check-config` in the rendered pod.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::chart::{Chart, How, configuration, find, list, replica_server_name, settings, text};
use super::pods::{Files, Machine, Objects, Pod};
use super::surroundings::issued;
use super::tools::Tools;
use crate::command;
use crate::site::Site;

const PATIENCE: Duration = Duration::from_secs(30);
/// Where `openssl ca` keeps what it needs for a list of revoked certificates.
const CRL_SETTINGS: &str =
    "[ca]\ndefault_ca = ours\n[ours]\ndatabase = index.txt\ncrlnumber = crlnumber\ndefault_md = sha256\n";

/// What the pods of a site want to find in a cluster.
pub(super) struct Given<'a> {
    pub(super) site: &'a Site,
    crl: Vec<u8>,
    /// What is there under a name; the rest is made up from what its keys are for.
    pub(super) named: BTreeMap<String, Files>,
}

impl<'a> Given<'a> {
    /// Of a folder that `cashgate init` made.
    pub(super) fn of(site: &'a Site) -> Result<Self, String> {
        Ok(Self { site, crl: empty_crl(site)?, named: BTreeMap::new() })
    }

    fn file(&self, name: &str) -> Result<Vec<u8>, String> {
        let path = self.site.dir().join(name);
        fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    }

    /// The Secrets and ConfigMaps that values name, by what their keys are for.
    pub(super) fn objects(&self, manifests: Vec<Value>, spec: &Value) -> Result<Objects, String> {
        let mut objects = Objects { manifests, given: [].into() };
        for volume in list(spec, "/volumes") {
            let name = [text(volume, "/secret/secretName"), text(volume, "/configMap/name")].concat();
            let is_rendered = objects.manifests.iter().any(|one| {
                ["Secret", "ConfigMap"].contains(&text(one, "/kind")) && text(one, "/metadata/name") == name
            });
            if !name.is_empty() && !is_rendered {
                let of = text(volume, "/name");
                let files = match (self.named.get(&name), of.strip_prefix("replica-")) {
                    (Some(files), _) => files.clone(),
                    (None, Some(number)) => self.of_replica(number, &objects.manifests)?,
                    (None, None) => self.files(of, volume)?,
                };
                objects.given.entry(name).or_default().extend(files);
            }
        }
        Ok(objects)
    }

    /// What a replica shows to the others, who look for its number and for the name that the configuration tells them.
    fn of_replica(&self, number: &str, manifests: &[Value]) -> Result<Files, String> {
        let name = replica_server_name(manifests)?;
        let domain = settings(configuration(manifests), "trust_domain").next().ok_or("no trust_domain")?;
        let asked = json!({"spec": {
            "secretName": format!("checked-{number}-{name}"),
            "uris": [format!("spiffe://{domain}/replica/{number}")],
            "dnsNames": [name],
            "usages": ["client auth", "server auth"],
        }});
        issued(self.site, &asked)
    }

    fn files(&self, volume: &str, spec: &Value) -> Result<Files, String> {
        let key =
            list(spec, "/secret/items").iter().chain(list(spec, "/configMap/items")).map(|item| text(item, "/key"));
        let all = |bytes: &[u8]| key.clone().map(|key| (key.to_owned(), bytes.to_vec())).collect::<Files>();
        let named = |files: &[(&str, &str)]| -> Result<Files, String> {
            files.iter().map(|(name, file)| Ok(((*name).to_owned(), self.file(file)?))).collect()
        };
        Ok(match volume {
            "tls" => named(&[("tls.crt", "gateway.pem"), ("tls.key", "gateway-key.pem"), ("ca.crt", "ca.pem")])?,
            "operator" => named(&[("tls.crt", "certs/operator-dev.pem"), ("tls.key", "certs/operator-dev-key.pem")])?,
            "authority" => named(&[("ca.pem", "ca.pem"), ("ca-key.pem", "ca-key.pem")])?,
            "peer-authorities" => all(&self.file("ca.pem")?),
            "crl" => all(&self.crl),
            "policies" | "shadow-policies" => named(&[("trial.cedar", "policies/trial.cedar")])?,
            "database" => all(b"postgresql://cashgate@localhost/cashgate"),
            "database-ca" => all(&self.file("ca.pem")?),
            _ => all(b"04711815"),
        })
    }
}

/// A pod of a StatefulSet, with its claims as volumes.
pub(super) fn pod_of(stateful_set: &Value) -> Value {
    let mut spec = stateful_set.pointer("/spec/template/spec").cloned().unwrap_or_default();
    if let Some(volumes) = spec.pointer_mut("/volumes").and_then(Value::as_array_mut) {
        let claims = list(stateful_set, "/spec/volumeClaimTemplates").iter();
        volumes.extend(claims.map(|claim| json!({"name": text(claim, "/metadata/name"), "persistentVolumeClaim": {}})));
    }
    spec
}

/// Checks every case that `only` allows.
pub(super) fn check(
    tools: &Tools,
    chart: &Chart,
    given: &Given<'_>,
    machine: &Machine,
    only: Option<&str>,
) -> Result<String, String> {
    let mut findings = Vec::new();
    let mut count = 0;
    for (name, values) in chart.cases()? {
        if only.is_some_and(|only| only != name) {
            continue;
        }
        count += 1;
        let manifests = tools.parse(&chart.render(tools, &values, How::default())?)?;
        if let Err(problem) = check_one(&name, manifests, given, machine) {
            findings.push(format!("the configuration of {name}: {problem}"));
        }
    }
    if findings.is_empty() {
        return Ok(format!(
            "{count} rendered configurations are taken by `cashgate check-config`, read where pods have them"
        ));
    }
    Err(findings.join("\n"))
}

fn check_one(name: &str, manifests: Vec<Value>, given: &Given<'_>, machine: &Machine) -> Result<(), String> {
    let spec = pod_of(find(&manifests, "StatefulSet", "")?);
    let objects = given.objects(manifests, &spec)?;
    let pod = Pod::create(
        machine,
        &format!("config-{name}-{:x}-0", crate::clock::nanoseconds()),
        &spec,
        "127.0.0.1",
        &objects,
    )?;
    let container = pod.container("cashgate")?;
    let configuration = configuration(&objects.manifests);
    // The vendors' modules are not on this machine; that they are there is all that the configuration asks.
    let mut with_modules = container.clone();
    for (at, module) in settings(configuration, "module").enumerate() {
        let folder = Path::new(module).parent().unwrap_or(Path::new("/"));
        if folder.starts_with("/usr") {
            continue;
        }
        let inside =
            list(container, "/volumeMounts").iter().find(|mount| module.starts_with(text(mount, "/mountPath")));
        let place = match inside {
            Some(mount) => {
                let within = module.trim_start_matches(text(mount, "/mountPath")).trim_start_matches('/');
                pod.volume(text(mount, "/name")).join(within)
            }
            None => {
                let name = format!("module-{at}");
                if let Some(mounts) = with_modules.pointer_mut("/volumeMounts").and_then(Value::as_array_mut) {
                    mounts.push(json!({"name": name, "mountPath": folder}));
                }
                pod.volume(&name).join(Path::new(module).file_name().unwrap_or_default())
            }
        };
        let cannot = |error: std::io::Error| format!("{}: {error}", place.display());
        fs::create_dir_all(place.parent().unwrap_or(&place)).map_err(cannot)?;
        fs::write(&place, "").map_err(cannot)?;
    }
    let arguments = ["check-config", "--config", "/etc/cashgate/config/cashgate.toml"];
    pod.run(&with_modules, &arguments, PATIENCE).map(drop)
}

/// A list of the site's authority in which no certificate stands.
fn empty_crl(site: &Site) -> Result<Vec<u8>, String> {
    let folder = site.folder().join("crl");
    let cannot = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(cannot)?;
    for (name, text) in [("settings", CRL_SETTINGS), ("index.txt", ""), ("crlnumber", "01\n")] {
        fs::write(folder.join(name), text).map_err(cannot)?;
    }
    let mut openssl = Command::new("openssl");
    openssl.args(["ca", "-gencrl", "-config", "settings", "-crldays", "30", "-out", "crl.pem"]).current_dir(&folder);
    openssl.arg("-keyfile").arg(site.dir().join("ca-key.pem")).arg("-cert").arg(site.dir().join("ca.pem"));
    command::output(&mut openssl)?;
    fs::read(folder.join("crl.pem")).map_err(cannot)
}
