//! What stands in the alert rules and in the dashboard: names of alerts, metrics and series. Read as text; `promtool` is what knows the grammar.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// How the names of this gateway's metrics begin.
const PREFIXES: [&str; 4] = ["cashgate_", "rpc_server_", "rpc_client_", "process_"];

/// The rules.
pub(crate) fn rules_file(root: &Path) -> PathBuf {
    root.join("helm/cashgate/files/alerts.yaml")
}

/// Their unit tests.
pub(crate) fn tests_file(root: &Path) -> PathBuf {
    root.join("helm/cashgate/tests/alerts_test.yaml")
}

/// The dashboard.
pub(crate) fn dashboard_file(root: &Path) -> PathBuf {
    root.join("helm/cashgate/files/dashboard.json")
}

/// The folder of the pages.
pub(crate) fn runbooks(root: &Path) -> PathBuf {
    root.join("docs/runbooks")
}

/// What stands behind a key, wherever it is.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.trim_start().trim_start_matches("- ").strip_prefix(key)).map(str::trim)
}

/// The names of the alerts, in their order.
pub(crate) fn alerts(rules: &str) -> Vec<&str> {
    values(rules, "alert:").collect()
}

/// The pages that they name, in the same order.
pub(crate) fn pages(rules: &str) -> Vec<&str> {
    values(rules, "runbook_url:").collect()
}

/// Every alert that a test wants to fire, and every one that a test wants quiet.
pub(crate) fn tested(tests: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let of = |ending: &'static str| {
        values(tests, "name:").filter_map(move |name| name.strip_suffix(ending)).collect::<BTreeSet<&str>>()
    };
    (of(" fires"), of(" stays quiet"))
}

/// Every metric that a text names.
pub(crate) fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix) && word.len() > prefix.len())).collect()
}

/// Every series that a text selects with exact labels, as `metric` and `label="value"`. In JSON the quotes are escaped.
pub(crate) fn selections(text: &str) -> Vec<(String, String)> {
    let text = text.replace("\\\"", "\"");
    let mut found = Vec::new();
    for (at, _) in text.match_indices('{') {
        let before = &text[..at];
        let name = before.rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).next().unwrap_or_default();
        if !PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let labels = text[at + 1..].split('}').next().unwrap_or_default();
        for label in labels.split(',').map(str::trim) {
            // Which job and instance it is, Prometheus adds; `=~` and `!=` choose among what there is.
            let is_exact =
                label.split_once('=').is_some_and(|(name, value)| !name.ends_with('!') && value.starts_with('"'));
            if is_exact && !label.starts_with("job=") && !label.starts_with("instance=") {
                found.push((name.to_owned(), label.to_owned()));
            }
        }
    }
    found
}

/// What a gateway exports: the lines of its page without their values.
pub(crate) struct Exported {
    lines: Vec<String>,
    /// The families that the page declares: a histogram's own name is no series, but a way to find them all.
    families: BTreeSet<String>,
}

impl Exported {
    pub(crate) fn of(page: &str) -> Self {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let lines = lines.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series.to_owned()).collect();
        let declared = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        Self { lines, families: declared.map(str::to_owned).collect() }
    }

    pub(crate) fn has_metric(&self, name: &str) -> bool {
        self.lines.iter().any(|line| line.split('{').next() == Some(name))
    }

    pub(crate) fn has_family(&self, name: &str) -> bool {
        self.families.contains(name)
    }

    pub(crate) fn has_series(&self, name: &str, label: &str) -> bool {
        self.lines.iter().any(|line| line.split('{').next() == Some(name) && line.contains(label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "      - alert: Down\n        expr: up == 0\n          runbook_url: docs/runbooks/Down.md\n";

    #[test]
    fn alerts_and_their_pages_are_read() {
        assert_eq!((alerts(RULES), pages(RULES)), (vec!["Down"], vec!["docs/runbooks/Down.md"]));
        let (fire, quiet) = tested("  - name: Down fires\n  - name: Down stays quiet\n");
        assert!(fire.contains("Down") && quiet.contains("Down"));
    }

    #[test]
    fn metrics_and_exact_series_are_found() {
        let text = r#"sum by (rpc_method) (rate(rpc_server_x_count{a=~"b|c"}[5m])) / cashgate_open{state="suspect",job="x"} > 0"#;
        assert_eq!(metrics(text).into_iter().collect::<Vec<_>>(), ["cashgate_open", "rpc_server_x_count"]);
        let suspect = [("cashgate_open".to_owned(), "state=\"suspect\"".to_owned())];
        assert_eq!(selections(text), suspect);
        assert_eq!(selections(&text.replace('"', "\\\"")), suspect, "as it stands in JSON");
    }

    #[test]
    fn what_is_exported_is_told_from_what_only_looks_like_it() {
        let exported =
            Exported::of("# TYPE cashgate_open gauge\ncashgate_open{state=\"held\"} 0\ncashgate_openings 1\n");
        assert!(exported.has_metric("cashgate_open") && !exported.has_metric("cashgate_ope"));
        assert!(exported.has_family("cashgate_open") && !exported.has_family("cashgate_openings"));
        assert!(exported.has_series("cashgate_open", "state=\"held\""));
        assert!(!exported.has_series("cashgate_open", "state=\"suspect\""));
    }
}
