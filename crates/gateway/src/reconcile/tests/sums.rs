//! Sums, institutions, windows, and what is printed.

use serde_json::json;

use super::super::ReconcileError;
use super::*;

use BookState::{Confirmed, Held, Reversed, Suspect};

/// One of everything that moves money, by hand: what the sums must come to.
fn a_bad_day() -> Reconciliation {
    let booked = |confirmed| posting(Standing::Confirmed, 30_000, confirmed);
    let books = vec![
        withdrawal(1, Confirmed, 30_000),
        withdrawal(2, Confirmed, 30_000),
        withdrawal(3, Confirmed, 20_000),
        withdrawal(4, Reversed, 0),
        withdrawal(5, Held, 0),
        withdrawal(6, Suspect, 0),
    ];
    let postings = vec![
        (id(1), booked(30_000)),
        (id(1), booked(30_000)),
        (id(3), booked(30_000)),
        (id(4), posting(Standing::Held, 30_000, 0)),
        (id(5), posting(Standing::Held, 30_000, 0)),
        (id(9), booked(7_000)),
    ];
    let counters = vec![
        ("A1", id(1), counter(30_000, 0)),
        ("A1", id(2), counter(30_000, 10_000)),
        ("A2", id(2), counter(5_000, 0)),
        ("A1", id(4), counter(1_000, 0)),
        ("A1", id(6), counter(30_000, None)),
    ];
    compared(&plan(), books, postings, counters)
}

#[test]
fn the_sums_agree_with_the_findings_to_the_yen() {
    let found = a_bad_day();
    let expected = [
        ("duplicate_at_core_banking", Some(30_000)),
        ("missing_at_core_banking", Some(-30_000)),
        ("extra_at_atm", Some(5_000)),
        ("cash_differs", Some(-10_000)),
        ("amount_differs", Some(10_000)),
        ("missing_at_atm", Some(-20_000)),
        ("standing_differs", Some(0)),
        ("cash_differs", Some(1_000)),
        ("extra_at_core_banking", Some(7_000)),
    ];
    assert_eq!(in_short(&found.findings), expected.as_slice());
    assert!(!found.agrees());
    let (ended, open, suspects) = (found.summary.ended, found.summary.open, found.summary.suspects);
    assert_eq!((ended, open, suspects), (4, 2, 1));
    let (_, totals) = found.summary.totals().next().unwrap();
    assert_eq!(totals.gateway_confirmed_minor_units, 80_000);
    assert_eq!(totals.core_banking_confirmed_minor_units, 97_000);
    assert_eq!(totals.core_banking_held_minor_units, 30_000);
    assert_eq!(totals.atms_stayed_out_minor_units, 56_000);
    assert_eq!(totals.open.approved_minor_units, 60_000);
    assert_eq!(totals.open.core_banking_held_minor_units, 30_000);

    let differences = |at_core_banking: bool| -> i128 {
        let kinds =
            found.summary.kinds().filter(|(kind, ..)| kind.name().contains("atm") || kind.name() == "cash_differs");
        let atms: i128 = kinds.map(|(.., total)| total.difference_minor_units).sum();
        let all: i128 = found.summary.kinds().map(|(.., total)| total.difference_minor_units).sum();
        if at_core_banking { all - atms } else { atms }
    };
    let gateway = totals.gateway_confirmed_minor_units;
    assert_eq!(gateway + differences(true), totals.core_banking_confirmed_minor_units);
    assert_eq!(gateway + differences(false), totals.atms_stayed_out_minor_units);
}

#[test]
fn a_finding_is_one_line_for_people_and_one_of_json() {
    let found = compared(
        &plan(),
        vec![withdrawal(1, Confirmed, 30_000)],
        vec![(id(1), posting(Standing::Confirmed, 30_000, 20_000))],
        vec![],
    );
    let id = id(1);
    let text = format!(
        "amount_differs            {id}  sakura/A1  gateway: confirmed, approved 30000 JPY, dispensed 30000 JPY; \
         core banking: confirmed, held 30000 JPY, confirmed 20000 JPY (line 2); ATM: -; difference -10000 JPY"
    );
    assert_eq!(found.findings[0].to_string(), text);
    let gateway = json!({"state": "confirmed", "approved_minor_units": 30_000, "dispensed_minor_units": 30_000});
    let expected = json!({"finding": {
        "kind": "amount_differs", "withdrawal_id": id.to_string(), "institution_id": "sakura", "atm_id": "A1",
        "currency": "JPY", "gateway": gateway,
        "core_banking": {"standing": "confirmed", "held_minor_units": 30_000, "confirmed_minor_units": 20_000,
            "posted_at_unix_ms": null, "line": 2},
        "atm_counter": null, "difference_minor_units": -10_000,
    }});
    assert_eq!(serde_json::from_str::<serde_json::Value>(&found.findings[0].json()).unwrap(), expected);
    let summary: serde_json::Value = serde_json::from_str(&found.summary.json()).unwrap();
    let kinds = &summary["summary"]["findings"];
    assert_eq!(
        kinds[0],
        json!({"kind": "amount_differs", "currency": "JPY", "count": 1,
        "approved_minor_units": 30_000, "difference_minor_units": -10_000})
    );
    assert_eq!(summary["summary"]["totals"][0]["core_banking_confirmed_minor_units"], 20_000);
    assert_eq!(summary["summary"]["agrees"], false);
    assert!(found.summary.to_string().ends_with("the books differ: 2 findings"), "{}", found.summary);
}

#[test]
fn a_core_banking_file_is_one_institutions_and_the_atms_serve_all() {
    let books = || {
        let fuji = Entry { institution: "fuji".parse().unwrap(), ..withdrawal(2, Confirmed, 30_000) };
        vec![withdrawal(1, Confirmed, 30_000), fuji]
    };
    let refused = Comparison::new(Book::of(books()), &plan()).map(|_| ());
    assert!(matches!(refused, Err(ReconcileError::WhoseFile { institutions }) if institutions == "fuji and sakura"));

    let plan = Plan { institution: Some("sakura".parse().unwrap()), ..plan() };
    let booked = posting(Standing::Confirmed, 30_000, 30_000);
    let counters = || vec![("A1", id(1), counter(30_000, 0)), ("A1", id(2), counter(30_000, 0))];
    let found = compared(&plan, books(), vec![(id(1), booked)], counters());
    assert!(found.agrees(), "{:?}", found.findings);
    assert_eq!(found.summary.rows.of_other_institutions, 1);
    let found = compared(&plan, books(), vec![(id(1), booked), (id(2), booked)], counters());
    assert_eq!(in_short(&found.findings), [("extra_at_core_banking", Some(30_000))]);
    assert_eq!(found.findings[0].gateway, None, "what the other institution's customer did is not shown");
}

#[test]
fn rows_of_other_days_are_passed_over_and_counted() {
    let window = |since, until| Window {
        since: Some(Timestamp::from_unix_ms(since)),
        until: Some(Timestamp::from_unix_ms(until)),
    };
    let rows =
        || (vec![(id(1), posting(Standing::Confirmed, 30_000, 30_000))], vec![("A1", id(1), counter(30_000, 0))]);
    let check = |window, outside, extra| {
        let (postings, counters) = rows();
        let found = compared(&Plan { window, ..plan() }, vec![], postings, counters);
        assert_eq!((found.summary.rows.outside_the_window, found.findings.len()), (outside, extra), "{window:?}");
    };
    check(window(APPROVED_AT, APPROVED_AT + 1), 0, 2);
    check(window(APPROVED_AT + 1, APPROVED_AT + 2), 2, 0);
    check(window(APPROVED_AT - 1, APPROVED_AT), 2, 0);
}
