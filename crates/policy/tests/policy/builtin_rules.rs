//! The built-in rules: their cases pass, no border is without a case, and nothing out of range is decided.
#![allow(clippy::unwrap_used, reason = "a test may stop loudly, in its helper functions too")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use cashgate_policy::{Facts, PolicyError, PolicySet, Verdict, cases};
use cashgate_withdrawal::money::Money;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/policies");

#[test]
fn the_folder_in_the_sources_is_the_built_in_set_and_passes_its_cases() {
    let checked = PolicySet::check_dir(FOLDER).unwrap();
    assert!(checked.unmet.is_empty() && checked.ignored.is_empty(), "{checked:?}");
    let digest = |version: &str| version.split_once('-').unwrap().1.to_owned();
    let builtin = PolicySet::builtin().unwrap();
    assert_eq!(digest(&checked.version), digest(builtin.version()), "a file is missing from sources::builtin");
    assert!(checked.rules >= 20 && checked.cases >= 60, "{checked:?}");
}

/// Every number in a rule, one larger and one smaller: some case must notice.
#[test]
fn every_border_has_a_case_on_each_side() {
    let mut unnoticed = Vec::new();
    for (file, text) in rule_files() {
        for (start, end) in numbers(&text) {
            let number: u64 = text.get(start..end).unwrap().parse().unwrap();
            for changed in [number + 1, number - 1] {
                let mutant = [text.get(..start).unwrap(), &changed.to_string(), text.get(end..).unwrap()].concat();
                if passes_with(&file, &mutant) && !is_the_same(&file, number) {
                    let line = 1 + text.get(..start).unwrap().lines().count();
                    unnoticed.push(format!("{file}:{line}: {number} may be {changed}"));
                }
            }
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

/// Every rule taken away: some case must notice.
#[test]
fn every_rule_has_a_case() {
    for (file, text) in rule_files() {
        let rules: Vec<&str> = text.split_inclusive("};\n").filter(|rule| rule.contains("when {")).collect();
        for rule in rules {
            assert!(!passes_with(&file, &text.replace(rule, "")), "{file}: nothing misses\n{rule}");
        }
    }
}

#[test]
fn facts_out_of_range_are_refused() {
    let set = PolicySet::builtin().unwrap();
    for hour in [24, 25, u8::MAX] {
        let decision = set.decide(&Facts { local_hour: hour, ..ordinary() });
        assert_eq!(decision.verdict, Verdict::Forbid, "{hour}");
        assert_eq!(decision.reasons, ["policy_error".parse().unwrap()], "{hour}");
    }
    assert_eq!(set.decide(&Facts { local_hour: 23, ..ordinary() }).verdict, Verdict::Permit);
}

/// A withdrawal of which nothing is known is no way around the rules.
#[test]
fn what_is_not_known_is_not_trusted() {
    let facts = ordinary();
    let unknown = Facts::unknown(facts.institution, facts.account, facts.device, facts.atm, facts.amount);
    let set = PolicySet::builtin().unwrap();
    assert_eq!(set.decide(&unknown).verdict, Verdict::StepUp);
    let more = Money::from_minor_units(30_001, facts.amount.currency()).unwrap();
    assert_eq!(set.decide(&Facts { amount: more, ..unknown }).verdict, Verdict::Forbid);
}

#[test]
fn an_age_between_hours_is_rounded_down() {
    let set = PolicySet::builtin().unwrap();
    let of_age = |age: Duration| {
        let amount = Money::from_minor_units(30_001, ordinary().amount.currency()).unwrap();
        set.decide(&Facts { amount, device_age: age, ..ordinary() }).verdict
    };
    let border = Duration::from_secs(72 * 3_600);
    assert_eq!(of_age(border - Duration::from_millis(1)), Verdict::StepUp);
    assert_eq!(of_age(border), Verdict::Permit);
    assert_eq!(of_age(Duration::MAX), Verdict::Permit);
}

fn ordinary() -> Facts {
    cases::ordinary_customer().unwrap()
}

/// Numbers beside which a change of one means nothing: factors of units, and speeds.
fn is_the_same(file: &str, number: u64) -> bool {
    matches!((file, number), ("bursts.cedar", 1_000) | ("places.cedar", 60 | 300 | 900))
}

fn rule_files() -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "cedar"));
    files.sort();
    let read = |path: &std::path::PathBuf| {
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap())
    };
    files.iter().map(read).collect()
}

/// Where the numbers stand that are not part of a name or a comment.
fn numbers(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let mut digits = None;
        for (at, character) in line.char_indices() {
            let is_in_name = line.get(..at).unwrap().ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            match (character.is_ascii_digit(), digits) {
                (true, None) if !is_in_name => digits = Some(at),
                (false, Some(start)) => {
                    found.push((line_start + start, line_start + at));
                    digits = None;
                }
                _ => {}
            }
        }
        if line.trim_start().starts_with("//") {
            found.retain(|(start, _)| *start < line_start);
        }
        line_start += line.len();
    }
    found
}

/// Whether all cases still pass with another text in place of one file.
fn passes_with(file: &str, text: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    fs::write(Path::new(folder.path()).join(file), text).unwrap();
    match PolicySet::check_dir(folder.path()) {
        Ok(_) => true,
        Err(PolicyError::Invalid { problems, .. }) => {
            let case_failed = problems.iter().any(|problem| problem.message.starts_with("case "));
            assert!(case_failed, "{problems:#?}");
            false
        }
        Err(other) => unreachable!("{other}"),
    }
}
