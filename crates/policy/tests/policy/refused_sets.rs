//! Rule sets that are refused as a whole, with the place of every mistake, and versions that tell sets apart.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may stop loudly, in its helper functions too"
)]

use std::fs;
use std::path::Path;

use cashgate_policy::{PolicyError, PolicySet, Problem};

const PERMIT: &str = "permit (principal, action, resource);\n";

#[test]
fn each_mistake_is_named_with_file_line_and_rule() {
    let scope = "forbid (principal, action, resource)";
    let with = |annotations: &str, condition: &str| format!("{annotations}\n{scope}\nwhen {{\n  {condition} }};\n");
    let reason = r#"@reason("why")"#;

    refused(&with(reason, "context.device_colour == 1"), 6, Some(2), "`device_colour`");
    refused(&with(reason, "context.device.age_minutes == \"young\""), 6, Some(2), "not compatible");
    refused(&with(reason, "context.local_hour"), 6, Some(2), "unexpected type");
    refused(&with(reason, "principal == Customer::\"x\""), 6, Some(2), "unrecognized entity type");
    refused(&with(reason, "context.local_hour <"), 6, None, "unexpected token");
    refused(&with(reason, "1 == 2"), 3, Some(2), "policy is impossible");
    refused(&with("// no reason", "true"), 4, Some(2), "add @reason");
    refused(&with("@reason", "true"), 3, Some(2), "a reason code");
    refused(&with("@reason(\"two words\")", "true"), 3, Some(2), "a reason code");
    refused(&with("@reason(\"no_permit\")", "true"), 3, Some(2), "gateway's own");
    refused(&with("@reason(\"policy_error\")", "true"), 3, Some(2), "gateway's own");
    refused(&with("@reason(\"why\") @stepup(\"confirm_code\")", "true"), 3, Some(2), "@stepup means nothing");
    refused(&with("@reason(\"why\") @step_up(\"sms\")", "true"), 3, Some(2), "is not known");
    refused("@step_up(\"confirm_code\")\npermit (principal, action, resource);", 3, Some(2), "a permit cannot");
}

#[test]
fn a_template_is_no_rule() {
    let problems = problems(&[("a.cedar", "@reason(\"why\") forbid (principal == ?principal, action, resource);")]);
    assert!(problems[0].message.contains("template"), "{problems:?}");
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once() {
    let error = load(&[
        ("c.cedar", "forbid (principal, action, resource);\nforbid (principal, action, resource);"),
        ("a.cedar", "permit (principal, action, resource"),
        ("b.cedar", PERMIT),
        ("d.cedar", "@reason(\"x y\") forbid (principal, action, resource) when { context.nothing };"),
    ])
    .unwrap_err();
    let places: Vec<(&str, Option<usize>, Option<usize>)> =
        problems_of(&error).iter().map(|problem| (problem.file.as_str(), problem.line, problem.rule)).collect();
    assert_eq!(
        places,
        [
            ("a.cedar", Some(1), None),
            ("c.cedar", Some(1), Some(1)),
            ("c.cedar", Some(2), Some(2)),
            ("d.cedar", Some(1), Some(1)),
            ("d.cedar", Some(1), Some(1)),
        ]
    );
    let text = error.to_string();
    assert!(text.contains("the custom policies are refused as a whole:\n  a.cedar:1: "), "{text}");
    assert!(text.contains("\n  c.cedar:2: rule 2: a forbid must say why"), "{text}");
}

#[test]
fn a_file_that_is_not_text_and_a_folder_named_like_a_rule_are_refused() {
    let folder = folder(&[("a.cedar", PERMIT)]);
    fs::write(folder.path().join("b.cedar"), [0xff, 0xfe]).unwrap();
    fs::create_dir(folder.path().join("c.cedar")).unwrap();
    let error = PolicySet::from_dir(folder.path()).unwrap_err();
    let files: Vec<&str> = problems_of(&error).iter().map(|problem| problem.file.as_str()).collect();
    assert_eq!(files, ["b.cedar", "c.cedar"]);
}

#[test]
fn a_set_without_rules_is_refused() {
    for files in [&[][..], &[("a.cedar", "// nothing yet\n")], &[("README.md", PERMIT)]] {
        let error = load(files).unwrap_err();
        assert!(matches!(error, PolicyError::Empty { .. }), "{error}");
    }
    let error = PolicySet::from_dir(Path::new("/no/such/folder")).unwrap_err();
    assert!(matches!(error, PolicyError::Folder { .. }), "{error}");
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
}

#[test]
fn the_version_tells_sets_apart_by_every_byte() {
    let version = |files: &[(&str, &str)]| load(files).unwrap().version().to_owned();
    let rules = format!("{PERMIT}// a comment\n");
    let original = version(&[("a.cedar", &rules)]);
    assert_eq!(original, version(&[("a.cedar", &rules)]));
    assert_eq!(original.len(), "custom-".len() + 16);
    assert!(original.starts_with("custom-"));
    assert!(PolicySet::builtin().unwrap().version().starts_with("builtin-"));

    let mut seen = vec![original];
    // One byte flipped, at every place where the rules stay valid.
    for place in 0..rules.len() {
        let mut bytes = rules.clone().into_bytes();
        bytes[place] ^= 1;
        let changed = String::from_utf8(bytes).unwrap();
        seen.extend(load(&[("a.cedar", &changed)]).ok().map(|set| set.version().to_owned()));
    }
    assert!(seen.len() > 5, "too few places stay valid: {}", seen.len());
    seen.push(version(&[("b.cedar", &rules)]));
    seen.push(version(&[("a.cedar", &rules), ("b.cedar", "")]));
    seen.push(version(&[("a.cedar", PERMIT), ("b.cedar", "// a comment\n")]));
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), count);
}

/// The bad rule stands from line 3 on, after a good one.
fn refused(bad_rule: &str, line: usize, rule: Option<usize>, message: &str) {
    let problems = problems(&[("good.cedar", PERMIT), ("x.cedar", &format!("{PERMIT}\n{bad_rule}"))]);
    let [problem] = problems.as_slice() else { panic!("one problem in {bad_rule}, not {problems:#?}") };
    assert_eq!((problem.file.as_str(), problem.line, problem.rule), ("x.cedar", Some(line), rule), "{problem}");
    assert!(problem.message.contains(message), "{problem}");
}

fn problems(files: &[(&str, &str)]) -> Vec<Problem> {
    problems_of(&load(files).unwrap_err()).to_vec()
}

fn problems_of(error: &PolicyError) -> &[Problem] {
    match error {
        PolicyError::Invalid { problems, .. } => problems,
        other => panic!("{other}"),
    }
}

fn load(files: &[(&str, &str)]) -> Result<PolicySet, PolicyError> {
    PolicySet::from_dir(folder(files).path())
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}
