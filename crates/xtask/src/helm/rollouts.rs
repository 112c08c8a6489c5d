//! What a change of values does to pods that run: some restart them, and what the gateway reads again by itself does not.

use super::chart::{Chart, How, find, text};
use super::tools::Tools;

/// A change of the case `everything`, and whether it restarts the pods.
const CHANGES: &[(&str, bool)] = &[
    ("config.network=\"another\"", true),
    ("config.timing.drain_s=90", true),
    ("config.guard.messages_per_atm_s=60", true),
    ("config.institution[0].core_banking.call_timeout_ms=3000", true),
    ("config.hsm.workers=9", true),
    ("hsm.slots[0].tokenLabel=\"another\"", true),
    ("policy.existingConfigMap=\"other-rules\"", true),
    ("image.digest=\"sha256:9999999999999999999999999999999999999999999999999999999999999999\"", true),
    ("config.institution[0].limits.per_day=200000", false),
    ("config.institution[0].evidence_demanded=\"A\"", false),
    ("config.atm_limits.per_24h=1000000", false),
    ("policy.shadow.files={\"draft.cedar\":\"// another draft\"}", false),
    ("services.atm.annotations={\"a\":\"b\"}", false),
    ("monitoring.serviceMonitor.interval=\"60s\"", false),
    ("networkPolicy.atm.from=[{\"ipBlock\":{\"cidr\":\"10.0.0.0/8\"}}]", false),
];

/// Renders each change and compares the pods.
pub(super) fn check(tools: &Tools, chart: &Chart) -> Result<String, String> {
    let values = chart.folder.join("ci/everything.yaml");
    let pod = |set: &[&str]| -> Result<serde_json::Value, String> {
        let manifests = tools.parse(&chart.render(tools, &values, How { set, ..How::default() })?)?;
        let pod = find(&manifests, "StatefulSet", "")?.pointer("/spec/template");
        pod.cloned().ok_or_else(|| "the StatefulSet has no pod".to_owned())
    };
    let before = pod(&[])?;
    let mut findings = Vec::new();
    for (name, values) in chart.cases()? {
        let manifests = tools.parse(&chart.render(tools, &values, How::default())?)?;
        // With OrderedReady Kubernetes waits for a pod that never becomes ready, whatever the template says by then.
        if text(find(&manifests, "StatefulSet", "")?, "/spec/podManagementPolicy") != "Parallel" {
            findings.push(format!("{name}: a rollback must replace a pod that never became ready"));
        }
    }
    for (change, restarts) in CHANGES {
        if (pod(&[change])? != before) != *restarts {
            let must = if *restarts { "must restart" } else { "must not restart" };
            findings.push(format!("{change} {must} the pods"));
        }
    }
    let count = CHANGES.len();
    if findings.is_empty() {
        Ok(format!(
            "{count} changes restart the pods or do not, as they should; a rollback replaces what never became ready"
        ))
    } else {
        Err(findings.join("\n"))
    }
}
