//! `cargo xtask test --only alerts`: alert rules and dashboard against `promtool`, and against what a running gateway really exports.

pub(crate) mod rules;

use std::fs;
use std::path::Path;
use std::process::Command;

use rules::Exported;

use crate::command::Build;
use crate::parties::phone::Phone;
use crate::parties::{SOON, atm, core_bank};
use crate::site::{INSTITUTIONS, Site};
use crate::{command, http, interrupt, packages, replicas};

/// Checks everything; the error lists every finding.
pub(crate) fn run() -> Result<(), String> {
    interrupt::watch()?;
    packages::ensure(&[packages::C_COMPILER, packages::SOFTHSM, packages::PROMETHEUS])?;
    let root = command::root();
    command::run(Command::new("promtool").args(["check", "rules"]).arg(rules::rules_file(&root)))?;
    command::run(Command::new("promtool").args(["test", "rules"]).arg(rules::tests_file(&root)))?;
    let mut findings = untested(&root)?;
    let site = Site::new(command::build_programs(Build::Debug)?, "cashgate-alerts")?;
    let pages = [metrics_after_a_withdrawal(&site)?, replicas::metrics()?];
    let exported = Exported::of(&pages.join("\n"));
    site.remove()?;
    findings.extend(not_exported(&root, &exported)?);
    if findings.is_empty() {
        return Ok(());
    }
    Err(findings.join("\n"))
}

/// Alerts without a test that they fire, or without one that they stay quiet.
fn untested(root: &Path) -> Result<Vec<String>, String> {
    let (rules, tests) = (read(&rules::rules_file(root))?, read(&rules::tests_file(root))?);
    let (fire, quiet) = rules::tested(&tests);
    let lacks = |alert: &&str| !fire.contains(*alert) || !quiet.contains(*alert);
    let finding =
        |alert| format!("alerts_test.yaml: {alert} needs a test `{alert} fires` and one `{alert} stays quiet`");
    Ok(rules::alerts(&rules).into_iter().filter(lacks).map(finding).collect())
}

/// Metrics and series that rules, dashboard or pages name and the gateway does not export.
fn not_exported(root: &Path, exported: &Exported) -> Result<Vec<String>, String> {
    let mut files = vec![rules::rules_file(root), rules::tests_file(root), rules::dashboard_file(root)];
    let pages = fs::read_dir(rules::runbooks(root)).map_err(|error| format!("cannot read docs/runbooks: {error}"))?;
    files.extend(pages.filter_map(|page| Some(page.ok()?.path())));
    files.push(root.join("docs/telemetry.md"));
    let mut findings = Vec::new();
    for file in files {
        let text = read(&file)?;
        let name = file.strip_prefix(root).unwrap_or(&file).display();
        let is_page = file.extension().is_some_and(|extension| extension == "md");
        let is_known = |metric: &str| exported.has_metric(metric) || is_page && exported.has_family(metric);
        let unknown = rules::metrics(&text).into_iter().filter(|metric| !is_known(metric));
        findings.extend(unknown.map(|metric| format!("{name}: the gateway exports no {metric}")));
        // The tests invent values; what they are about is in the rules.
        if file != rules::tests_file(root) {
            let selected = rules::selections(&text).into_iter();
            let unknown = selected.filter(|(metric, label)| !exported.has_series(metric, label));
            findings
                .extend(unknown.map(|(metric, label)| format!("{name}: the gateway exports no {metric}{{{label}}}")));
        }
    }
    Ok(findings)
}

/// What a gateway exports after one withdrawal went as it should.
fn metrics_after_a_withdrawal(site: &Site) -> Result<String, String> {
    let [institution, _] = INSTITUTIONS;
    for whose in ["atm/A1", "institution/sakura", "corebank/sakura"] {
        site.issue_certificate(whose)?;
    }
    let _corebank = core_bank::start(site, institution, ["acct-1".to_owned()], 1_000_000)?;
    let _gateway = site.start_gateway()?;
    let mut machine = atm::start(site, "A1", "Shibuya, Tokyo", 100)?;
    atm::wait_until_connected(&mut machine, SOON)?;
    let phone = Phone::register(site, institution, "phone-1", "acct-1", 100)?;
    let id = atm::approve_at(&mut machine, &phone, 10_000)?;
    phone.watch_to_end(&id)?.is("confirmed", 10_000)?;
    http::metrics(site.ports().http)
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))
}
