//! Rules and limits published through the ledger, as the chart's README says to do it: an operator's files in the pod's /tmp, and `cashgate policy`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::configs::Given;
use super::pods::Pod;
use super::replicated::CONFIG;
use super::running::SOON;

const RULES: &str = "permit (principal, action == Action::\"withdraw\", resource);\n";
/// The load test's phones are new, and must be paid.
const LIMITS: &str = "[[institution]]\nid = \"sakura\"\n[institution.limits]\nnew_device = []\n";
const OPERATOR: [&str; 4] = ["--certificate", "/tmp/me.pem", "--key", "/tmp/me-key.pem"];

/// Checks a folder of rules, and publishes it.
pub(super) fn published(pod: &Pod<'_>, container: &Value, given: &Given<'_>) -> Result<(), String> {
    copied(pod, given)?;
    pod.run(container, &[&["policy", "check", "/tmp/rules"], &CONFIG[..]].concat(), SOON)?;
    let publish = ["policy", "publish", "/tmp/rules", "--note", "the first", "--after", "0"];
    pod.run(container, &[&publish, &CONFIG[..], &OPERATOR].concat(), SOON).map(drop)
}

/// Whether a gateway that was started again since has what was published.
pub(super) fn in_force(pod: &Pod<'_>, container: &Value, given: &Given<'_>) -> Result<(), String> {
    copied(pod, given)?;
    let listed = pod.run(container, &[&["policy", "published"], &CONFIG[..], &OPERATOR].concat(), SOON)?;
    if listed.contains('*') && listed.contains("the first") {
        Ok(())
    } else {
        Err(format!("what was published is not in force: {listed}"))
    }
}

/// What `kubectl cp` brings into the pod's /tmp. There the container's user writes it.
fn copied(pod: &Pod<'_>, given: &Given<'_>) -> Result<(), String> {
    let folder = pod.volume("tmp");
    let cannot = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder.join("rules")).map_err(cannot)?;
    let operator = |name: &str| {
        let file = given.site.dir().join("certs").join(name);
        fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))
    };
    let files = [
        ("rules/rules.cedar", RULES.into()),
        ("rules/limits.toml", LIMITS.into()),
        ("me.pem", operator("operator-dev.pem")?),
        ("me-key.pem", operator("operator-dev-key.pem")?),
    ];
    for (name, bytes) in files {
        fs::write(folder.join(name), bytes).map_err(cannot)?;
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o640)).map_err(cannot)?;
    }
    Ok(())
}
