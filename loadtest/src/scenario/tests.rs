//! Scenarios: those that come along are valid, and what is wrong is refused with words that help.

use super::*;

const SMALL: &str = r#"
name = "small"
about = "for tests"
duration_s = 10
atms = 2
accounts = 10
arrivals = [{ at_s = 0, per_s = 2 }]
[customer]
amounts = [10000]
patience_s = 20
"#;

/// What is said about the small scenario with something added to it.
#[track_caller]
fn refused(added: &str) -> String {
    let text = format!("{SMALL}{added}");
    Scenario::parse("small", &text).unwrap_err().to_string()
}

#[test]
fn every_built_in_scenario_is_valid_and_is_named_as_it_is_called() {
    for name in Scenario::built_in() {
        let scenario = Scenario::load(name).unwrap();
        assert_eq!(scenario.name, name);
        assert!(!scenario.about.is_empty(), "{name}");
        assert!(scenario.thresholds != Thresholds::default(), "{name} judges nothing");
    }
}

#[test]
fn what_is_left_out_has_its_usual_value() {
    let small = Scenario::parse("small", SMALL).unwrap();
    assert_eq!(
        (small.warm_up, small.settle, small.atm_record_on_disk),
        (Duration::ZERO, Duration::from_secs(60), false)
    );
    assert_eq!((small.faults.len(), small.healed_at(), small.hooks().len()), (0, None, 0));
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_keys_that_there_are() {
    let said =
        Scenario::parse("small", &SMALL.replace("seed", "sede").replace("atms", "machines")).unwrap_err().to_string();
    assert!(said.contains("machines") && said.contains("line 5") && said.contains("expected one of"), "{said}");
    let said = refused("[thresholds]\nwhole_p95_ms_max = 5\n");
    assert!(said.contains("whole_p95_ms_max") && said.contains("whole_p99_ms_max"), "{said}");
    let said = refused("[[fault]]\nat_s = 1\nwhat = \"earthquake\"\n");
    assert!(said.contains("earthquake") && said.contains("core-bank-down"), "{said}");
}

#[test]
fn a_wrong_number_is_refused_without_a_programs_words_for_it() {
    for (from, to, part) in [
        ("duration_s = 10", "duration_s = -10", "line 4"),
        ("duration_s = 10", "duration_s = -10", "a whole number from 0"),
        ("duration_s = 10", "duration_s = 99999999999999999999", "too large"),
        ("per_s = 2", "per_s = \"two\"", "expected a number"),
        ("duration_s = 10\n", "", "missing field `duration_s`"),
        ("name = \"small\"", "name = \"../small\"", "name: must be"),
        ("at_s = 0", "at_s = inf", "arrivals[0].at_s: inf must be"),
    ] {
        let said = Scenario::parse("small", &SMALL.replace(from, to)).unwrap_err().to_string();
        assert!(said.contains(part) && !said.contains("u32") && !said.contains("f64"), "{to}: {said}");
    }
}

#[test]
fn all_that_makes_no_sense_is_told_together() {
    let text =
        SMALL.replace("atms = 2", "atms = 0").replace("[10000]", "[10500]").replace("accounts = 10", "accounts = 1");
    let said = Scenario::parse("small", &text).unwrap_err().to_string();
    for part in ["atms: must be", "customer.amounts", "at least 2 are needed"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_fault_has_what_it_needs_and_nothing_else() {
    for (fault, part) in [
        ("what = \"core-bank-slow\"\nfor_s = 2", "delay_ms"),
        ("what = \"core-bank-down\"\nfor_s = 2\ndelay_ms = 5", "delay_ms"),
        ("what = \"core-bank-down\"", "for_s"),
        ("what = \"hook\"", "begin"),
        ("what = \"reconnect-all\"\nbegin = \"x\"", "begin"),
        ("what = \"hook\"\nbegin = \"x\"\nend = \"y\"", "end"),
        ("what = \"core-bank-down\"\nfor_s = 99", "ends after the run"),
    ] {
        let said = refused(&format!("[[fault]]\nat_s = 1\n{fault}\n"));
        assert!(said.contains(part), "{fault}: {said}");
    }
}

#[test]
fn hooks_are_named_once_each() {
    let hook = "[[fault]]\nat_s = 1\nfor_s = 2\nwhat = \"hook\"\nbegin = \"hsm-away\"\nend = \"hsm-back\"\n";
    let later = hook.replace("at_s = 1", "at_s = 5");
    let scenario = Scenario::parse("small", &format!("{SMALL}{later}{hook}")).unwrap();
    assert_eq!(scenario.hooks(), ["hsm-away", "hsm-back"]);
    assert_eq!(scenario.faults[0].at, Duration::from_secs(1), "in the order of their time");
    assert_eq!(scenario.healed_at(), Some(Duration::from_secs(7)));
}

#[test]
fn a_scenario_that_is_not_there_is_said_to_be_so_with_those_that_are() {
    let said = Scenario::load("paynight").unwrap_err().to_string();
    assert!(said.contains("paynight") && said.contains("payday"), "{said}");
}

#[test]
fn more_customers_have_more_accounts_and_fewer_have_as_many() {
    let small = || Scenario::parse("small", SMALL).unwrap();
    assert_eq!((small().with_rate_percent(250).accounts, small().with_rate_percent(50).accounts), (25, 10));
    assert_eq!(small().with_rate_percent(250).arrivals.expected(Duration::from_secs(10)), 50);
    assert_eq!(small().with_atms(0).atms, 1);
}
