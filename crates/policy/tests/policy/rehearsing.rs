//! A draft over recorded withdrawals.
#![allow(clippy::unwrap_used, reason = "a test may stop loudly, in its helper functions too")]

use std::fs;

use cashgate_policy::{Difference, Facts, PolicySet, Recorded, Rehearsal, Verdict, cases, rehearse};
use cashgate_withdrawal::money::{Currency, Money};
use cashgate_withdrawal::time::Timestamp;

const PERMIT: &str = "permit (principal, action, resource);";

#[test]
fn a_stricter_draft_says_whom_it_would_have_stopped() {
    let draft = set(&[PERMIT, &forbid("large", "context.amount > 50000"), &ask("medium", "context.amount > 20000")]);
    let rehearsal = rehearse(None, &draft, [10_000, 30_000, 50_000, 60_000, 90_000].into_iter().map(permitted));
    assert_eq!((rehearsal.compared, rehearsal.unchanged, rehearsal.draft.as_str()), (5, 1, draft.version()));
    // Both reasons stand behind a refusal, so it counts under each.
    assert_eq!(
        rows(&rehearsal),
        [
            (Difference::Refused, "large", 2, 150_000),
            (Difference::Refused, "medium", 2, 150_000),
            (Difference::SteppedUp, "medium", 2, 80_000),
        ]
    );
}

#[test]
fn a_milder_draft_is_compared_with_the_reasons_of_the_current_set() {
    let current = set(&[PERMIT, &forbid("large", "context.amount > 50000")]);
    let draft = set(&[PERMIT, &forbid("large", "context.amount > 80000"), &ask("large", "context.amount > 70000")]);
    let records = || [40_000, 60_000, 75_000, 90_000].into_iter().map(permitted);
    let rehearsal = rehearse(Some(&current), &draft, records());
    assert_eq!(
        rows(&rehearsal),
        [(Difference::SteppedUp, "large", 1, 75_000), (Difference::LetThrough, "large", 1, 60_000),]
    );
    assert_eq!(rehearsal.unchanged, 2);
    // Without the current set only the recorded verdict is known.
    let refused = records().map(|recorded| Recorded { verdict: Verdict::Forbid, ..recorded });
    let rehearsal = rehearse(None, &draft, refused);
    assert_eq!(rows(&rehearsal)[1], (Difference::LetThrough, "(as recorded)", 2, 100_000));
}

#[test]
fn examples_are_the_first_five_and_sums_keep_their_currency() {
    let draft = set(&[PERMIT, &forbid("all", "true")]);
    let euros = |recorded: Recorded| {
        let amount = Money::from_minor_units(7, "EUR".parse().unwrap()).unwrap();
        Recorded { facts: Facts { amount, ..recorded.facts }, dispensed: false, ..recorded }
    };
    let records = (1..=7).map(|number| permitted(number * 1_000)).chain([euros(permitted(0))]);
    let rehearsal = rehearse(None, &draft, records);
    let change = &rehearsal.changes[&(Difference::Refused, "all".to_owned())];
    assert_eq!((change.withdrawals, change.dispensed), (8, 7));
    let sums: Vec<_> = change.sums.iter().map(|(currency, sum)| (currency.as_str(), *sum)).collect();
    assert_eq!(sums, [("EUR", 7), ("JPY", 28_000)]);
    let amounts: Vec<u64> = change.examples.iter().map(|example| example.facts.amount.minor_units()).collect();
    assert_eq!(amounts, [1_000, 2_000, 3_000, 4_000, 5_000]);
}

#[test]
fn it_prints_a_table() {
    let draft = set(&[PERMIT, &forbid("large", "context.amount > 50000")]);
    let table = rehearse(None, &draft, [10_000, 60_000, 30_000].into_iter().map(permitted)).to_string();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], format!("{}: 3 approvals, 1 would come out differently", draft.version()));
    assert_eq!(lines[2], "instead      reason                             withdrawals per 10,000  paid out  sum");
    assert_eq!(lines[3], "refused      large                                        1     3333.3         1  60000 JPY");
    assert_eq!(
        lines[4],
        "    1590969600000 ms: bank-a/4711 60000 JPY at tokyo-0001, hour 12, device 8760 h (branch), usual 40000, permit -> forbid (rules.cedar#2)"
    );
    let nothing = rehearse(None, &draft, [10_000].into_iter().map(permitted)).to_string();
    assert_eq!(nothing, format!("{}: 1 approvals, 0 would come out differently\n", draft.version()));
}

fn rows(rehearsal: &Rehearsal) -> Vec<(Difference, &str, u64, u64)> {
    let rows = rehearsal.changes.iter().map(|((difference, reason), change)| {
        let sum = change.sums.get(&Currency::JPY).copied().unwrap_or_default();
        (*difference, reason.as_str(), change.withdrawals, sum)
    });
    rows.collect()
}

fn permitted(yen: u64) -> Recorded {
    let amount = Money::from_minor_units(yen, Currency::JPY).unwrap();
    let facts = Facts { amount, ..cases::ordinary_customer().unwrap() };
    let at = Timestamp::from_unix_ms(1_590_969_600_000);
    Recorded { facts, verdict: Verdict::Permit, at, dispensed: true }
}

fn forbid(reason: &str, condition: &str) -> String {
    format!("@reason(\"{reason}\") forbid (principal, action, resource) when {{ {condition} }};")
}

fn ask(reason: &str, condition: &str) -> String {
    format!("@step_up(\"confirm_code\") {}", forbid(reason, condition))
}

fn set(rules: &[&str]) -> PolicySet {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules.cedar"), rules.join("\n")).unwrap();
    PolicySet::from_dir(folder.path()).unwrap()
}
