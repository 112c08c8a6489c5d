//! Outcome reports as they come in.

use cashgate_wire::outcome::{report_from, report_to};
use cashgate_wire::proto::withdrawal::v1 as pb;
use cashgate_withdrawal::dispense::{EvidenceSource, Outcome};
use cashgate_withdrawal::evidence::PresentFinding;
use cashgate_withdrawal::money::Money;

use crate::given::{
    NOT_UUIDS, WITH_CONTROL_CHARACTERS, money, not_amounts, notes, refused_field, report, withdrawal, yen,
};

fn changed(change: impl FnOnce(&mut pb::OutcomeReport)) -> pb::OutcomeReport {
    let mut report = report();
    change(&mut report);
    report
}

fn refused(field: &str, change: impl FnOnce(&mut pb::OutcomeReport)) {
    let report = changed(change);
    assert_eq!(refused_field(report_from(report.clone())), field, "{report:?}");
}

#[test]
fn the_example_is_read_whole() {
    let (id, read) = report_from(report()).unwrap();
    assert_eq!(id, withdrawal());
    assert_eq!((read.outcome, read.evidence), (Outcome::PartiallyDispensed, EvidenceSource::PresentStatus));
    assert_eq!((read.presented, read.retracted), (yen(20_000), Some(yen(0))));
    assert_eq!(report_to(id, &read), report());
}

#[test]
fn a_present_token_is_kept_as_it_came_and_is_not_verified_yet() {
    for token in ["x", "NONCE=1414,TOKENFORMAT=1", &"~".repeat(1_024)] {
        let message = changed(|report| report.present_token = token.into());
        let (id, read) = report_from(message.clone()).unwrap();
        let present = read.present.clone().unwrap();
        assert_eq!((present.token.as_str(), present.finding), (token, PresentFinding::Unverified));
        assert_eq!(report_to(id, &read), message);
    }
    for token in ["\n", "NONCE=1\u{7f}", "é", &"~".repeat(1_025)] {
        refused("outcome.present_token", |report| report.present_token = token.into());
    }
}

#[test]
fn a_report_names_its_withdrawal() {
    for text in NOT_UUIDS {
        refused("outcome.withdrawal_id", |report| report.withdrawal_id = text.into());
    }
}

#[test]
fn the_numbers_of_words_that_this_version_does_not_know_are_refused() {
    for number in [0, 6, 7, -1, i32::MIN, i32::MAX] {
        refused("outcome.outcome", |report| report.outcome = number);
    }
    for number in [0, 4, 5, -1, i32::MIN, i32::MAX] {
        refused("outcome.evidence", |report| report.evidence = number);
    }
}

#[test]
fn every_word_has_its_number_both_ways() {
    // Numbers are for ever: an ATM in the field has them compiled in.
    for (number, outcome) in (1..).zip(Outcome::ALL) {
        let (id, read) = report_from(changed(|report| report.outcome = number)).unwrap();
        assert_eq!((read.outcome, report_to(id, &read).outcome), (outcome, number));
    }
    let sources = [EvidenceSource::BareWord, EvidenceSource::LastCommandRecord, EvidenceSource::PresentStatus];
    for (number, source) in (1..).zip(sources) {
        let (id, read) = report_from(changed(|report| report.evidence = number)).unwrap();
        assert_eq!((read.evidence, report_to(id, &read).evidence), (source, number));
    }
}

#[test]
fn sixteen_denominations_are_the_most() {
    let many = |count: i64| (1..=count).map(|value| notes(value, 1)).collect::<Vec<_>>();
    let full = changed(|report| (report.presented, report.retracted) = (many(16), many(16)));
    let (_, read) = report_from(full).unwrap();
    assert_eq!((read.presented, read.retracted), (yen(136), Some(yen(136))));
    refused("outcome.presented", |report| report.presented = many(17));
    refused("outcome.retracted", |report| report.retracted = many(17));
    refused("outcome.presented", |report| report.presented = vec![notes(10_000, 0); 100_000]);
}

#[test]
fn a_note_has_a_value() {
    for denomination in not_amounts() {
        let note = pb::NoteCount { denomination, count: 1 };
        refused("outcome.presented", |report| report.presented = vec![notes(10_000, 1), note.clone()]);
        refused("outcome.retracted", |report| report.retracted = vec![note]);
    }
}

#[test]
fn sums_end_at_the_largest_amount_and_do_not_wrap() {
    let max = i64::try_from(Money::MINOR_UNITS_MAX).unwrap();
    let (_, read) = report_from(changed(|report| report.presented = vec![notes(max, 1), notes(1, 0)])).unwrap();
    assert_eq!(read.presented.minor_units(), Money::MINOR_UNITS_MAX);
    let too_much = [
        vec![notes(max, u32::MAX)],
        vec![notes(max, 2)],
        vec![notes(max, 1), notes(1, 1)],
        vec![notes(max / 16 + 1, 1); 16],
        vec![notes(max, u32::MAX); 16],
        // 2^32 times this is 2^64: a product that wrapped would be small.
        vec![notes(1 << 32, u32::MAX), notes(1 << 32, 1)],
    ];
    for list in too_much {
        refused("outcome.presented", |report| report.presented.clone_from(&list));
        refused("outcome.retracted", |report| report.retracted.clone_from(&list));
    }
}

#[test]
fn one_report_has_one_currency() {
    let euro = pb::NoteCount { denomination: money(5_000, "EUR"), count: 1 };
    refused("outcome.presented", |report| report.presented = vec![notes(10_000, 1), euro.clone()]);
    refused("outcome.retracted", |report| report.retracted = vec![euro.clone()]);
    let (_, read) = report_from(changed(|report| {
        report.presented.clear();
        report.retracted = vec![euro];
    }))
    .unwrap();
    assert_eq!((read.presented.to_string(), read.retracted.unwrap().to_string()), ("0 EUR".into(), "5000 EUR".into()));
}

#[test]
fn what_was_not_counted_is_not_taken_for_nothing() {
    let (_, read) = report_from(changed(|report| report.retracted_counted = false)).unwrap();
    assert_eq!(read.retracted, None);
}

#[test]
fn the_detail_is_short_and_printable() {
    for accepted in ["", "装置E31", &"x".repeat(256), &"円".repeat(85)] {
        let (_, read) = report_from(changed(|report| report.detail = accepted.into())).unwrap();
        assert_eq!(read.detail, accepted);
    }
    for too_long in ["x".repeat(257), "円".repeat(86)] {
        refused("outcome.detail", |report| report.detail = too_long);
    }
    for text in WITH_CONTROL_CHARACTERS {
        refused("outcome.detail", |report| report.detail = text.into());
    }
}

#[test]
fn moments_lie_after_1970() {
    for accepted in [0, i64::MAX] {
        let (id, read) = report_from(changed(|report| report.observed_at_unix_ms = accepted)).unwrap();
        assert_eq!(report_to(id, &read).observed_at_unix_ms, accepted);
    }
    for before in [-1, i64::MIN] {
        refused("outcome.observed_at_unix_ms", |report| report.observed_at_unix_ms = before);
    }
}
