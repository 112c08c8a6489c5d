//! Every alert has a page, and every page an alert.

use std::collections::BTreeSet;
use std::path::Path;

use crate::alerts::rules;

/// What a page must have, so that whoever was woken finds it at once.
const SECTIONS: [&str; 4] =
    ["## What it means", "## What customers see", "## First three commands", "## When to stop the fleet"];

pub(super) fn findings(root: &Path) -> Vec<String> {
    let rules = std::fs::read_to_string(rules::rules_file(root)).unwrap_or_default();
    let pages: Vec<(String, String)> = std::fs::read_dir(rules::runbooks(root))
        .into_iter()
        .flatten()
        .filter_map(|page| {
            let path = page.ok()?.path();
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name, std::fs::read_to_string(path).ok()?))
        })
        .collect();
    compared(&rules, &pages)
}

fn compared(rules: &str, pages: &[(String, String)]) -> Vec<String> {
    let (alerts, named) = (rules::alerts(rules), rules::pages(rules));
    let mut findings = Vec::new();
    for (alert, page) in alerts.iter().zip(&named) {
        let file = format!("{alert}.md");
        if *page != format!("docs/runbooks/{file}") {
            findings.push(format!("alerts.yaml: the page of {alert} is docs/runbooks/{file}, not {page}"));
        }
        match pages.iter().find(|(name, _)| *name == file) {
            None => findings.push(format!("docs/runbooks/{file}: is missing: {alert} has no page")),
            Some((_, text)) => {
                let missing = SECTIONS.iter().filter(|section| !text.lines().any(|line| line == **section));
                findings.extend(missing.map(|section| format!("docs/runbooks/{file}: has no section `{section}`")));
            }
        }
    }
    if alerts.len() != named.len() {
        findings.push(format!("alerts.yaml: {} alerts and {} runbook_url", alerts.len(), named.len()));
    }
    let known: BTreeSet<String> = alerts.iter().map(|alert| format!("{alert}.md")).collect();
    let is_lost = |(name, _): &&(String, String)| !known.contains(name) && name != "README.md";
    findings
        .extend(pages.iter().filter(is_lost).map(|(name, _)| format!("docs/runbooks/{name}: there is no such alert")));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "- alert: Down\n  runbook_url: docs/runbooks/Down.md\n";

    fn page(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    #[test]
    fn an_alert_without_a_page_and_a_page_without_an_alert_are_found() {
        let whole = SECTIONS.join("\n");
        assert!(compared(RULES, &[page("Down.md", &whole), page("README.md", "")]).is_empty());
        assert_eq!(compared(RULES, &[]).len(), 1);
        assert_eq!(compared(RULES, &[page("Down.md", &whole), page("Up.md", &whole)]).len(), 1);
        assert_eq!(compared(RULES, &[page("Down.md", "## What it means")]).len(), 3);
        assert_eq!(compared(&RULES.replace("Down.md", "Up.md"), &[page("Down.md", &whole)]).len(), 1);
    }
}
