//! Cases beside the rules: a set whose cases fail is refused, with everything that its author needs to know.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may stop loudly, in its helper functions too")]

use std::fs;

use cashgate_policy::{PolicyError, PolicySet, Problem};

const RULES: &str = r#"permit (principal, action, resource);
@reason("large") @step_up("confirm_code") forbid (principal, action, resource) when { context.amount > 50000 };
"#;

#[test]
fn a_folder_in_order_says_what_it_holds() {
    let checked = PolicySet::check_dir(folder(
        "[[case]]\nname = \"small\"\nexpect = \"permit\"\n[[case]]\nname = \"large\"\nfacts.context.amount = 50001\nexpect = \"step_up\"\nreasons = [\"large\"]\n",
    ).path()).unwrap();
    assert_eq!((checked.rules, checked.cases), (2, 2));
    assert!(checked.unmet.is_empty() && checked.ignored.is_empty(), "{checked:?}");
    assert_eq!(checked.version, PolicySet::from_dir(folder("").path()).unwrap().version(), "cases decide nothing");
}

#[test]
fn what_no_case_meets_and_what_is_not_read_is_told() {
    let folder = folder("[[case]]\nname = \"small\"\nexpect = \"permit\"\n");
    for name in ["night.cedar.txt", "Night.CEDAR", "cases.toml", "README.md", ".swp"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    let checked = PolicySet::check_dir(folder.path()).unwrap();
    assert_eq!(checked.unmet, ["rules.cedar#2"]);
    assert_eq!(checked.ignored, ["Night.CEDAR", "cases.toml", "night.cedar.txt"]);
}

#[test]
fn a_case_that_comes_out_differently_is_told_with_what_came() {
    let wrong = "# a comment\n\n[[case]]\nname = \"too much\"\nfacts.context.amount = 50001\nexpect = \"forbid\"\nreasons = [\"large\"]\n";
    check(wrong, 3, "case \"too much\": expected forbid [large], found step_up [large] by rules.cedar#2");
    let no_reasons = "[[case]]\nname = \"too much\"\nfacts.context.amount = 50001\nexpect = \"step_up\"\n";
    check(no_reasons, 1, "case \"too much\": expected step_up [], found step_up [large] by rules.cedar#2");
    let more_reasons = "[[case]]\nname = \"small\"\nexpect = \"permit\"\nreasons = [\"large\"]\n";
    check(more_reasons, 1, "case \"small\": expected permit [large], found permit [] by rules.cedar#1");
}

#[test]
fn a_case_that_cannot_be_read_is_told() {
    let case = |facts: &str| format!("[[case]]\nname = \"it\"\nexpect = \"permit\"\n{facts}\n");
    check(&case("facts.context.colour = 1"), 4, "unknown field `colour`");
    check(&case("facts.amount = 1"), 4, "unknown field `amount`");
    check(&case("facts.context.amount = -1"), 4, "invalid value");
    check(&case("facts.context.amount = \"much\""), 4, "invalid type");
    check(&case("facts.context.amount = 1000000000001"), 1, "case \"it\": the amount is above");
    check(&case("facts.context.device = { age_days = 1, age_hours = 24 }"), 1, "the device has one age");
    check(&case("facts.context.device.channel = \"Branch\""), 1, "\"Branch\" never comes");
    check(&case("facts.context.device.attestation = \"good\""), 1, "\"good\": an attestation is");
    check(&case("facts.resource.evidence_grade = \"D\""), 1, "\"D\": a grade");
    check(&case("facts.context.travel = { km = 1 }"), 4, "missing field `minutes`");
    check(&case("expected = 1"), 4, "unknown field `expected`");
    check("[[case]]\nname = \"it\"\nexpect = \"allow\"\n", 1, "expect = \"allow\" is not known");
    check("[[case]]\nname = \"it\"\nexpect = \"permit\"\nreasons = [\"two words\"]\n", 1, "a reason code");
    check("[[case]]\nexpect = \"permit\"\n", 1, "missing field `name`");
    check("[[cases]]\n", 1, "unknown field `cases`");
    check("[[case]\n", 1, "");
}

#[test]
fn broken_rules_and_broken_cases_are_told_together() {
    let folder = folder("[[case]]\nname = \"it\"\nexpect = \"allow\"\n");
    fs::write(folder.path().join("more.cedar"), "forbid (principal, action, resource);").unwrap();
    fs::write(folder.path().join("more.cases.toml"), "nothing").unwrap();
    let files: Vec<String> = problems(&folder).into_iter().map(|problem| problem.file).collect();
    assert_eq!(files, ["more.cases.toml", "more.cedar", "set.cases.toml"]);
}

fn check(cases: &str, line: usize, message: &str) {
    let problems = problems(&folder(cases));
    let [problem] = problems.as_slice() else { panic!("one problem in {cases}, not {problems:#?}") };
    assert_eq!((problem.file.as_str(), problem.line), ("set.cases.toml", Some(line)), "{problem}");
    assert!(problem.message.contains(message), "{problem}");
}

fn problems(folder: &tempfile::TempDir) -> Vec<Problem> {
    match PolicySet::from_dir(folder.path()).unwrap_err() {
        PolicyError::Invalid { problems, .. } => problems,
        other => panic!("{other}"),
    }
}

fn folder(cases: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.cedar"), RULES).unwrap();
    fs::write(folder.path().join("set.cases.toml"), cases).unwrap();
    folder
}
