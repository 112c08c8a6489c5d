//! Values that cannot work, and the words that whoever gave them must read.

use std::path::Path;

use super::chart::{Chart, How};
use super::tools::Tools;

/// What is changed of values that work, the case it starts from, and what helm's refusal must say.
type Refusal = (&'static str, &'static [&'static str], &'static [&'static str]);

const REFUSED: &[Refusal] = &[
    ("embedded", &["mode=\"clustered\""], &["/mode", "'embedded', 'replicated'"]),
    ("embedded", &["replicaz=3"], &["'replicaz' not allowed"]),
    ("embedded", &["config.trust_domain=null"], &["/config", "trust_domain"]),
    ("embedded", &["config.institution=[]"], &["/config/institution", "got 0, want 1"]),
    ("embedded", &["config.ledger={\"path\":\"/tmp/x\"}"], &["/config", "'ledger' not allowed"]),
    ("embedded", &["config.timing={\"drain_s\":601}"], &["/config/timing/drain_s", "want 600"]),
    ("embedded", &["config.timing={\"drainage_s\":60}"], &["/config/timing", "'drainage_s' not allowed"]),
    ("everything", &["config.institution[0].core_banking.endpoint=\"http://core\""], &["endpoint", "^https://"]),
    ("everything", &["config.institution[1].id=\"sakura\""], &["\"sakura\" is there twice"]),
    ("everything", &["config.institution[0].evidence_demanded=\"D\""], &["evidence_demanded", "'A', 'B', 'C'"]),
    ("everything", &["config.institution[0].limits.per_daj=1"], &["limits", "'per_daj' not allowed"]),
    ("embedded", &["image.repository=\"registry/cashgate:1\""], &["/image/repository"]),
    ("embedded", &["image.digest=\"sha256:12\""], &["/image/digest", "sha256"]),
    ("embedded", &["ports.atm=443"], &["/ports/atm", "want 1,024"]),
    ("embedded", &["ports.atm=7444"], &["ports.", "7444 is another port's too"]),
    ("embedded", &["persistence.size=\"much\""], &["/persistence/size"]),
    ("embedded", &["persistence.accessMode=\"ReadWriteMany\""], &["/persistence/accessMode", "'ReadWriteOncePod'"]),
    ("embedded", &["updateStrategy.type=\"Recreate\""], &["/updateStrategy/type", "'OnDelete'"]),
    (
        "embedded",
        &["terminationGracePeriodSeconds=30"],
        &["terminationGracePeriodSeconds: 30", "84 s", "customers would be cut off"],
    ),
    ("embedded", &["autoscaling.enabled=true"], &["autoscaling.enabled", "one writer"]),
    ("embedded", &["tls.existingSecret=\"\""], &["name tls.existingSecret, or set tls.certManager.enabled"]),
    ("embedded", &["tls.certManager.enabled=true"], &["both given", "issuerRef"]),
    ("everything", &["tls.crl.existingConfigMap=\"crl\""], &["tls.crl", "both given"]),
    ("everything", &["policy.files={\"a.cedar\":\"\"}"], &["policy: files and existingConfigMap are both given"]),
    (
        "everything",
        &["policy.source=\"ledger\""],
        &["remove policy.files", "of institution sakura come from what was published"],
    ),
    ("embedded", &["policy.source=\"git\""], &["/policy/source", "'files', 'ledger'"]),
    ("embedded", &["hsm.from=\"usb\""], &["/hsm/from", "'softhsm'"]),
    ("embedded", &["hsm.module=\"\""], &["hsm.module: the path of the PKCS#11 module"]),
    ("embedded", &["hsm.slots=[]"], &["hsm.slots: at least one slot"]),
    ("embedded", &["hsm.slots[0].pin.value=\"1234\""], &["pin", "'value' not allowed"]),
    ("embedded", &["hsm.from=\"softhsm\""], &["whoever reads it can make codes", "iKnowThatThisProtectsNoKey=true"]),
    ("trial", &["mode=\"replicated\""], &["replicas need keys that all of them reach"]),
    ("embedded", &["hsm.from=\"initImage\""], &["hsm.initImage.image.repository and hsm.initImage.command"]),
    ("embedded", &["hsm.from=\"volume\""], &["hsm.volume.source is needed"]),
    ("sidecar", &["config.hsm.workers=4"], &["set config.hsm.workers to 1", "hang for ever"]),
    ("embedded", &["networkPolicy.atm.from=[]"], &["networkPolicy.atm.from: is empty, and no ATM could connect"]),
    ("embedded", &["networkPolicy.api.from=[]"], &["networkPolicy.api.from: is empty"]),
    ("embedded", &["networkPolicy.egress.coreBanking=[]"], &["no hold could be placed"]),
    ("embedded", &["services.http.type=\"LoadBalancer\""], &["the HTTP port has no certificates and stays inside"]),
    ("embedded", &["services.atm.loadBalancerSourceRanges=[\"10.0.0.0/8\"]"], &["needs type LoadBalancer"]),
    ("embedded", &["keysIngress.enabled=true"], &["keysIngress: host and tlsSecret are needed"]),
    (
        "everything",
        &["monitoring.rules.disabled=[\"CashgateDwon\"]"],
        &["there is no alert \"CashgateDwon\"", "CashgateDown"],
    ),
    (
        "embedded",
        &["mode=\"replicated\""],
        &["there is no database", "replicas show each other certificates of their own"],
    ),
    (
        "replicated",
        &["mode=\"embedded\""],
        &["keeps its ledger in SQLite", "tls.replicaSecretPrefix: is for mode=replicated"],
    ),
    ("embedded", &["replicas=5"], &["replicas: 5 are asked for, and mode is embedded", "mode=replicated"]),
    ("embedded", &["replica={\"dead_after_s\":5}"], &["replica: is for mode=replicated"]),
    ("replicated", &["replica.dead_after=5"], &["/replica", "'dead_after' not allowed"]),
    ("replicated", &["database.settings.reader=8"], &["/database/settings", "'reader' not allowed"]),
    ("replicated", &["persistence.existingClaim=\"ledger\""], &["persistence: is for mode=embedded"]),
    (
        "replicated",
        &["database.migrationDsn.existingSecret=\"\""],
        &["database.role: the migration would connect as that role"],
    ),
    (
        "replicated-operators",
        &["database.dsn.existingSecret=\"\""],
        &["database.role", "the role's own database.dsn.existingSecret"],
    ),
    ("replicated-operators", &["networkPolicy.http.from=[]"], &["networkPolicy.http.from: is empty", "Prometheus"]),
    (
        "everything",
        &["networkPolicy.egress.telemetry=[]", "networkPolicy.egress.extra=[]"],
        &["the collector of config.telemetry could not be reached"],
    ),
    (
        "everything",
        &["commonLabels={\"app.kubernetes.io/name\":\"x\"}"],
        &["commonLabels: app.kubernetes.io/name is the chart's own label"],
    ),
    ("replicated", &["replica={\"heartbeat_ms\":4000}"], &["replica.heartbeat_ms: 4000 must fit into dead_after_s"]),
    (
        "embedded",
        &["networkPolicy.atm.from=[{\"ipBlock\":{\"cidr\":\"10.20.0.0\"}}]"],
        &["/networkPolicy/atm/from/0/ipBlock/cidr"],
    ),
    (
        "embedded",
        &["networkPolicy.egress.hsm=[{\"cidr\":\"10.0.0.0/8\"}]"],
        &["/networkPolicy/egress/hsm/0", "'cidr' not allowed"],
    ),
    ("embedded", &["services.atm.nodePort=30443"], &["services.atm.nodePort: needs type NodePort"]),
    ("embedded", &["fullnameOverride=\"Gate_1\""], &["/fullnameOverride"]),
    ("replicated", &["podDisruptionBudget.maxUnavailable=-1"], &["/podDisruptionBudget/maxUnavailable", "want 0"]),
    ("embedded", &["config.timing={\"drain_s\":-1}"], &["/config/timing/drain_s", "got -1, want 0"]),
    ("replicated", &["replicas=1"], &["/replicas", "want 2"]),
    ("replicated", &["tls.replicaSecretPrefix=\"\""], &["replicas show each other certificates of their own"]),
    (
        "replicated",
        &["database.cnpg.create=true", "database.role=\"\""],
        &["dsn.existingSecret and cnpg.create are both given", "name that role in database.role"],
    ),
    ("replicated", &["networkPolicy.egress.database=[]"], &["PostgreSQL could not be reached"]),
    ("replicated-operators", &["database.cnpg.instances=1"], &["1 synchronous standbys need more than 1 instances"]),
    ("replicated-operators", &["autoscaling.minReplicas=7"], &["minReplicas is more than maxReplicas"]),
    ("trial", &["loadtest.thisGatewayServesNoCustomers=false"], &["registers phones and plays core banking"]),
    ("trial", &["loadtest.authority.existingSecret=\"\""], &["loadtest.authority.existingSecret (a test authority)"]),
    ("trial", &["loadtest.scenario=\"steady; rm -rf /\""], &["/loadtest/scenario"]),
];

/// Tries every line of the table; the error names those that are taken, or refused in other words.
pub(super) fn check(tools: &Tools, chart: &Chart) -> Result<String, String> {
    let findings: Vec<String> = REFUSED.iter().filter_map(|refusal| finding(tools, chart, refusal)).collect();
    if findings.is_empty() {
        return Ok(format!("{} wrong values are refused in the words that they should be", REFUSED.len()));
    }
    Err(findings.join("\n"))
}

fn finding(tools: &Tools, chart: &Chart, (case, set, words): &Refusal) -> Option<String> {
    let values = chart.folder.join("ci").join(Path::new(case).with_extension("yaml"));
    match chart.render(tools, &values, How { set, ..How::default() }) {
        Ok(_) => Some(format!("{case} with {} is taken, and cannot work", set.join(" "))),
        Err(said) => {
            let missing: Vec<&&str> = words.iter().filter(|words| !said.contains(**words)).collect();
            (!missing.is_empty())
                .then(|| format!("{case} with {}: the refusal does not say {missing:?}, but: {said}", set.join(" ")))
        }
    }
}
