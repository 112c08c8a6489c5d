//! The analyst's guide tells the truth: its example is a valid rule whose cases pass, and no fact is missing.
#![allow(clippy::unwrap_used, reason = "a test may stop loudly, in its helper functions too")]

use std::fs;

use cashgate_policy::PolicySet;

const GUIDE: &str = include_str!("../../policies/README.md");
const SCHEMA: &str = include_str!("../../policies/schema.cedarschema");

#[test]
fn the_example_passes_its_cases_beside_the_built_in_rules() {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/policies")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let before = PolicySet::check_dir(folder.path()).unwrap();
    fs::write(folder.path().join("autumn.cedar"), block("// Accounts without")).unwrap();
    fs::write(folder.path().join("autumn.cases.toml"), block("[[case]]")).unwrap();
    let after = PolicySet::check_dir(folder.path()).unwrap();
    assert_eq!((after.rules, after.cases), (before.rules + 1, before.cases + 2));

    // And without the rule its case says so, in the words of the guide.
    fs::write(folder.path().join("autumn.cedar"), "").unwrap();
    let missed = PolicySet::check_dir(folder.path()).unwrap_err().to_string();
    let told = "expected step_up [online_without_history], found permit [] by base.cedar#1";
    assert!(missed.contains(told) && GUIDE.contains(told), "{missed}");
    fs::write(folder.path().join("autumn.cedar"), block("// Accounts without").replace("channel", "chanel")).unwrap();
    let mistaken = PolicySet::check_dir(folder.path()).unwrap_err().to_string();
    let line = GUIDE.lines().find(|line| line.contains("chanel")).unwrap().trim();
    assert!(mistaken.contains(line), "{line}\n{mistaken}");
}

#[test]
fn every_fact_is_in_the_table() {
    let facts = SCHEMA.lines().filter_map(|line| {
        let (name, kind) = line.trim().split_once(':')?;
        let is_fact = !name.contains(['/', ' ']) && kind.trim_end().ends_with([',', ';']);
        is_fact.then(|| name.trim_end_matches('?'))
    });
    let facts: Vec<&str> = facts.filter(|name| *name != "institution").collect();
    assert!(facts.len() >= 24, "{facts:?}");
    for fact in facts {
        assert!(GUIDE.contains(fact), "the guide says nothing of {fact}");
    }
}

/// The indented block that begins so, without its indentation.
fn block(begins: &str) -> String {
    let mut lines = GUIDE.lines().skip_while(|line| !line.trim_start().starts_with(begins)).peekable();
    let first = lines.peek().unwrap();
    let indentation = first.len() - first.trim_start().len();
    assert!(indentation >= 4, "{first}");
    let inside = lines.take_while(|line| line.is_empty() || line.starts_with(&" ".repeat(indentation)));
    inside.map(|line| format!("{}\n", line.get(indentation..).unwrap_or_default())).collect()
}
