use super::*;
use crate::evidence::{PresentStatus, PresentToken, WrongToken};
use crate::money::Currency;
use proptest::prelude::*;

fn yen(amount: u64) -> Money {
    Money::from_minor_units(amount, Currency::JPY).unwrap()
}

fn report(outcome: Outcome, presented: u64, retracted: Option<u64>, evidence: EvidenceSource) -> OutcomeReport {
    OutcomeReport {
        outcome,
        presented: yen(presented),
        retracted: retracted.map(yen),
        presented_notes: vec![],
        retracted_notes: vec![],
        evidence,
        detail: String::new(),
        observed_at: Timestamp::from_unix_ms(0),
        present: None,
    }
}

#[test]
fn what_a_report_about_30_000_yen_proves() {
    use {
        super::Contradiction::*,
        EvidenceSource::*,
        Outcome::*,
        Verdict::{Left, NotKnown, NothingLeft},
    };
    let rows = [
        (report(Dispensed, 30_000, None, BareWord), Left(yen(30_000))),
        (report(Dispensed, 30_000, Some(0), LastCommandRecord), Left(yen(30_000))),
        (report(Dispensed, 20_000, None, LastCommandRecord), Verdict::Contradiction(WordAgainstCount)),
        (report(Dispensed, 30_000, Some(10_000), LastCommandRecord), Verdict::Contradiction(WordAgainstCount)),
        (report(Dispensed, 40_000, None, LastCommandRecord), Verdict::Contradiction(MoreThanCommanded)),
        (report(PartiallyDispensed, 20_000, None, LastCommandRecord), Left(yen(20_000))),
        (report(PartiallyDispensed, 30_000, None, LastCommandRecord), Verdict::Contradiction(WordAgainstCount)),
        (report(PartiallyDispensed, 0, None, LastCommandRecord), Verdict::Contradiction(WordAgainstCount)),
        (report(NotDispensed, 0, None, BareWord), NotKnown),
        (report(NotDispensed, 0, None, LastCommandRecord), NothingLeft),
        (report(NotDispensed, 0, None, PresentStatus), NothingLeft),
        (report(NotDispensed, 10_000, None, PresentStatus), Verdict::Contradiction(WordAgainstCount)),
        (report(Retracted, 30_000, None, PresentStatus), NotKnown),
        (report(Retracted, 30_000, Some(30_000), PresentStatus), NothingLeft),
        (report(Retracted, 30_000, Some(30_000), BareWord), NotKnown),
        (report(Retracted, 30_000, Some(10_000), PresentStatus), Left(yen(20_000))),
        (report(Retracted, 30_000, Some(10_000), BareWord), Left(yen(20_000))),
        (report(Retracted, 20_000, Some(30_000), PresentStatus), Verdict::Contradiction(MoreRetractedThanPresented)),
        (report(Retracted, 0, Some(0), PresentStatus), Verdict::Contradiction(WordAgainstCount)),
        (report(Unknown, 0, None, LastCommandRecord), NotKnown),
        (report(Unknown, 30_000, None, LastCommandRecord), NotKnown),
    ];
    for (report, expected) in rows {
        assert_eq!(report.verdict(yen(30_000), EvidenceGrade::C), expected, "{report:?}");
    }
}

#[test]
fn another_currency_is_a_contradiction() {
    let mut foreign = report(Outcome::Dispensed, 30_000, None, EvidenceSource::PresentStatus);
    foreign.presented = Money::from_minor_units(30_000, "EUR".parse().unwrap()).unwrap();
    assert_eq!(foreign.verdict(yen(30_000), EvidenceGrade::C), Verdict::Contradiction(Contradiction::OtherCurrency));
}

#[test]
fn nothing_is_nothing_in_every_currency() {
    let fifty_euro = Money::from_minor_units(5_000, "EUR".parse().unwrap()).unwrap();
    let nothing = report(Outcome::NotDispensed, 0, None, EvidenceSource::PresentStatus);
    assert_eq!(nothing.verdict(fifty_euro, EvidenceGrade::C), Verdict::NothingLeft);
}

#[test]
fn a_report_reads_like_a_sentence() {
    let mut taken_back = report(Outcome::Retracted, 30_000, Some(10_000), EvidenceSource::PresentStatus);
    taken_back.detail = "shutter jam".into();
    let line = "Retracted: presented 30000 JPY, taken back 10000 JPY, PresentStatus, shutter jam";
    assert_eq!(taken_back.to_string(), line);
    let notes = |value, count| NoteCount { denomination: yen(value), count };
    taken_back.presented_notes = vec![notes(10_000, 2), notes(5_000, 2)];
    taken_back.retracted_notes = vec![notes(5_000, 2)];
    let line = "Retracted: presented 30000 JPY (2 x 10000 JPY) (2 x 5000 JPY), taken back 10000 JPY (2 x 5000 JPY), \
                PresentStatus, shutter jam";
    assert_eq!(taken_back.to_string(), line);
    taken_back.retracted = None;
    assert!(taken_back.to_string().contains(", taken back not counted"), "{taken_back}");
}

proptest! {
    #[test]
    fn never_more_left_than_was_commanded(
        word in 0..5_usize, presented in 0..100_u64, retracted in proptest::option::of(0..100_u64), commanded in 1..100_u64,
    ) {
        let report = report(Outcome::ALL[word], presented, retracted, EvidenceSource::PresentStatus);
        if let Verdict::Left(left) = report.verdict(yen(commanded), EvidenceGrade::C) {
            prop_assert!(left.minor_units() >= 1 && left.minor_units() <= commanded);
            prop_assert_eq!(left.minor_units() + retracted.unwrap_or(0), presented);
        }
    }
}

fn token() -> PresentToken {
    "NONCE=1".parse().unwrap()
}

fn with(mut report: OutcomeReport, finding: PresentFinding) -> OutcomeReport {
    report.present = Some(PresentEvidence { token: token(), finding });
    report
}

fn genuine(presented: Option<u64>, retracted: Option<u64>, fresh: bool) -> PresentFinding {
    PresentFinding::Genuine(PresentStatus { presented: presented.map(yen), retracted: retracted.map(yen), fresh })
}

#[test]
fn less_than_everything_is_believed_from_the_demanded_grade_on() {
    use {EvidenceSource::*, Outcome::*, Verdict::*};
    let rows = [
        // The report, and what it proves where C, B and A are demanded.
        (report(Dispensed, 30_000, None, BareWord), [Left(yen(30_000)); 3]),
        (report(Dispensed, 30_000, None, LastCommandRecord), [Left(yen(30_000)); 3]),
        (report(NotDispensed, 0, None, BareWord), [NotKnown; 3]),
        (report(NotDispensed, 0, None, LastCommandRecord), [NothingLeft, NothingLeft, NotKnown]),
        (report(NotDispensed, 0, None, PresentStatus), [NothingLeft, NothingLeft, NotKnown]),
        (report(PartiallyDispensed, 20_000, None, BareWord), [Left(yen(20_000)), NotKnown, NotKnown]),
        (report(PartiallyDispensed, 20_000, None, PresentStatus), [Left(yen(20_000)), Left(yen(20_000)), NotKnown]),
        (report(Retracted, 30_000, Some(30_000), PresentStatus), [NothingLeft, NothingLeft, NotKnown]),
        (report(Retracted, 30_000, Some(10_000), BareWord), [Left(yen(20_000)), NotKnown, NotKnown]),
        (with(report(NotDispensed, 0, None, BareWord), genuine(Some(0), Some(0), true)), [NothingLeft; 3]),
    ];
    for (report, expected) in rows {
        for (demanded, expected) in EvidenceGrade::ALL.into_iter().zip(expected) {
            assert_eq!(report.verdict(yen(30_000), demanded), expected, "{demanded:?}: {report:?}");
        }
    }
}

#[test]
fn a_fresh_present_token_decides_where_grade_a_is_demanded() {
    use {
        EvidenceSource::LastCommandRecord,
        Outcome::*,
        Verdict::{Left, NotKnown, NothingLeft},
    };
    let nothing = || report(NotDispensed, 0, None, LastCommandRecord);
    let all = || report(Dispensed, 30_000, None, LastCommandRecord);
    let part = || report(PartiallyDispensed, 20_000, None, LastCommandRecord);
    let back = |counted| report(Retracted, 30_000, counted, LastCommandRecord);
    let unknown = || report(Unknown, 0, None, LastCommandRecord);
    let rows = [
        // Fresh: it decides.
        (with(nothing(), genuine(Some(0), Some(0), true)), NothingLeft),
        (with(part(), genuine(Some(20_000), Some(0), true)), Left(yen(20_000))),
        (with(all(), genuine(Some(30_000), Some(0), true)), Left(yen(30_000))),
        (with(unknown(), genuine(Some(30_000), Some(0), true)), Left(yen(30_000))),
        (with(unknown(), genuine(Some(0), Some(0), true)), NothingLeft),
        (with(back(None), genuine(Some(30_000), Some(30_000), true)), NothingLeft),
        (with(back(Some(30_000)), genuine(Some(30_000), Some(30_000), true)), NothingLeft),
        (with(back(Some(10_000)), genuine(Some(30_000), Some(10_000), true)), Left(yen(20_000))),
        // Fresh, but not final, or not counted: nothing less than everything.
        (with(nothing(), genuine(None, Some(0), true)), NotKnown),
        (with(part(), genuine(None, Some(0), true)), NotKnown),
        (with(all(), genuine(None, Some(0), true)), Left(yen(30_000))),
        (with(back(Some(30_000)), genuine(Some(30_000), None, true)), NotKnown),
        (with(unknown(), genuine(Some(30_000), None, true)), NotKnown),
    ];
    for (report, expected) in rows {
        assert_eq!(report.verdict(yen(30_000), EvidenceGrade::A), expected, "{report:?}");
    }
}

#[test]
fn an_older_or_wrong_present_token_proves_nothing_and_a_genuine_one_contradicts() {
    use super::Contradiction::*;
    use {
        EvidenceSource::LastCommandRecord,
        Outcome::*,
        Verdict::{Left, NotKnown, NothingLeft},
    };
    let nothing = || report(NotDispensed, 0, None, LastCommandRecord);
    let all = || report(Dispensed, 30_000, None, LastCommandRecord);
    let part = || report(PartiallyDispensed, 20_000, None, LastCommandRecord);
    let back = |counted| report(Retracted, 30_000, counted, LastCommandRecord);
    let unknown = || report(Unknown, 0, None, LastCommandRecord);
    let contradicted = Verdict::Contradiction(WordAgainstPresentStatus);
    let rows = [
        // Older: it proves nothing less than everything.
        (with(nothing(), genuine(Some(0), Some(0), false)), NotKnown),
        (with(part(), genuine(Some(20_000), Some(0), false)), NotKnown),
        (with(unknown(), genuine(Some(30_000), Some(0), false)), NotKnown),
        (with(all(), genuine(Some(0), Some(0), false)), Left(yen(30_000))),
        (with(back(Some(30_000)), genuine(Some(30_000), Some(0), false)), NotKnown),
        // Words against a genuine status.
        (with(nothing(), genuine(Some(30_000), Some(0), true)), contradicted),
        (with(nothing(), genuine(Some(30_000), Some(0), false)), contradicted),
        (with(nothing(), genuine(Some(30_000), Some(30_000), true)), NothingLeft),
        (with(nothing(), genuine(Some(30_000), Some(30_000), false)), contradicted),
        (with(part(), genuine(Some(30_000), Some(0), true)), contradicted),
        (with(part(), genuine(Some(30_000), Some(0), false)), contradicted),
        (with(all(), genuine(Some(0), Some(0), true)), contradicted),
        (with(all(), genuine(Some(20_000), Some(0), true)), contradicted),
        (with(all(), genuine(Some(30_000), None, true)), contradicted),
        // The status against the command.
        (with(all(), genuine(Some(40_000), Some(0), true)), Verdict::Contradiction(MoreThanCommanded)),
        (
            with(unknown(), genuine(Some(10_000), Some(20_000), true)),
            Verdict::Contradiction(MoreRetractedThanPresented),
        ),
        // Wrong or unverified: as if there were none.
        (with(nothing(), PresentFinding::Wrong(WrongToken::Forged)), NotKnown),
        (with(all(), PresentFinding::Wrong(WrongToken::OtherDispense)), Left(yen(30_000))),
        (with(nothing(), PresentFinding::Unverified), NotKnown),
        (with(all(), PresentFinding::Unverified), Left(yen(30_000))),
    ];
    for (report, expected) in rows {
        assert_eq!(report.verdict(yen(30_000), EvidenceGrade::A), expected, "{report:?}");
    }
}

#[test]
fn what_was_found_of_a_present_token_stands_in_the_sentence() {
    let line = |finding| with(report(Outcome::NotDispensed, 0, Some(0), EvidenceSource::BareWord), finding).to_string();
    let words = "NotDispensed: presented 0 JPY, taken back 0 JPY, BareWord, ; ";
    let status = "older present status: presented 30000 JPY, taken back not known";
    assert_eq!(line(genuine(Some(30_000), None, false)), format!("{words}{status}"));
    assert_eq!(line(PresentFinding::Wrong(WrongToken::Forged)), format!("{words}present token is wrong: forged"));
    assert_eq!(line(PresentFinding::Unverified), format!("{words}present token not verified"));
}
