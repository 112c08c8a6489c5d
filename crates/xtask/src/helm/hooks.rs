//! What runs before the chart's own objects are there must not wait for them: helm would wait with it until it gives up.

use serde_json::Value;

use super::chart::{Chart, How, list, text};
use super::tools::Tools;

/// Every case, as a first installation and as an upgrade.
pub(super) fn check(tools: &Tools, chart: &Chart) -> Result<String, String> {
    let (mut findings, mut count) = (Vec::new(), 0);
    for (name, values) in chart.cases()? {
        for upgrade in [false, true] {
            let manifests = tools.parse(&chart.render(tools, &values, How { upgrade, ..How::default() })?)?;
            for hook in manifests.iter().filter(|one| runs_before(one)) {
                count += 1;
                let when = if upgrade { "an upgrade" } else { "a first installation" };
                let waits = waits_for(hook, &manifests, upgrade);
                findings.extend(waits.map(|object| {
                    format!(
                        "{name}: before {when} {} waits for {object}, which comes after it",
                        text(hook, "/metadata/name")
                    )
                }));
            }
        }
    }
    if findings.is_empty() {
        Ok(format!("{count} pods of hooks wait for nothing that comes after them"))
    } else {
        Err(findings.join("\n"))
    }
}

fn runs_before(manifest: &Value) -> bool {
    manifest.pointer("/spec/template/spec").is_some() && is_hook(manifest)
}

fn is_hook(manifest: &Value) -> bool {
    text(manifest, "/metadata/annotations/helm.sh~1hook").contains("pre-")
}

/// What a pod mounts of what this very rendering brings: the chart's own objects, and Secrets that operators make for them. At an upgrade the database is
/// there, but a certificate may be one of those that it adds.
fn waits_for<'a>(hook: &'a Value, manifests: &'a [Value], upgrade: bool) -> impl Iterator<Item = &'a str> {
    let comes_after = move |name: &str| {
        manifests.iter().filter(|one| !is_hook(one)).any(|one| {
            let own = text(one, "/metadata/name");
            match text(one, "/kind") {
                "ConfigMap" | "Secret" => own == name,
                "Certificate" => text(one, "/spec/secretName") == name,
                "Cluster" => !upgrade && name.strip_prefix(own).is_some_and(|rest| ["-app", "-ca"].contains(&rest)),
                _ => false,
            }
        })
    };
    let volumes = list(hook, "/spec/template/spec/volumes").iter();
    let names = volumes.flat_map(|one| [text(one, "/secret/secretName"), text(one, "/configMap/name")]);
    names.filter(move |name| !name.is_empty() && comes_after(name))
}
