//! Rules 1 to 6, broken on purpose.

use super::stories::{
    confirmed, crash_and_resend, declined, full_dispense, hold_asked, late_grant, nothing_dispensed, partial_dispense,
    retract_counted, suspect_confirmed, suspect_reversed,
};
use super::{AMOUNT, Broken, DAWN_MS, Rule, W, dispense, each_is_found, outcome_asked, report, restarted};
use crate::boundary::{What, Word};

fn is_scan(what: &What) -> bool {
    matches!(what, What::ScanAccepted { .. })
}

fn is_approval(what: &What) -> bool {
    matches!(what, What::ApprovalAccepted { .. })
}

fn is_code(what: &What) -> bool {
    matches!(what, What::CodeSigned { .. })
}

fn is_dispense(what: &What) -> bool {
    matches!(what, What::DispenseSent { .. })
}

fn is_report(what: &What) -> bool {
    matches!(what, What::ReportArrived { .. })
}

fn is_moved(what: &What) -> bool {
    matches!(what, What::NotesMoved { .. })
}

fn is_shown_open(what: &What) -> bool {
    matches!(what, What::Shown { book } if book.standing == crate::boundary::Standing::Open)
}

fn is_confirm_asked(what: &What) -> bool {
    matches!(what, What::ConfirmAsked { .. })
}

fn is_reverse_asked(what: &What) -> bool {
    matches!(what, What::ReverseAsked { .. })
}

fn approval(withdrawal: u128, nonce: u128, phone: u16) -> What {
    What::ApprovalAccepted { withdrawal, nonce, phone, account: 0, amount: AMOUNT }
}

fn code(nonce: u128, atm: u16, qr_session: u128) -> What {
    What::CodeSigned { nonce, atm, qr_session, expires_at_ms: DAWN_MS + 30_000, command_nonce: None }
}

#[test]
fn rule_1_a_code_is_claimed_once_in_time_and_in_its_place() {
    each_is_found(CODES);
}

const CODES: &[Broken] = &[
    ("a scan of a forged code", full_dispense, |story| story.without(is_code), Rule::One),
    (
        "an approval over a forged code",
        full_dispense,
        |story| story.replace(is_approval, [approval(W, 7, 0)]),
        Rule::One,
    ),
    (
        "a scan at the moment of the expiry",
        full_dispense,
        |story| {
            let expired = What::CodeSigned {
                nonce: 100,
                atm: 0,
                qr_session: 200,
                expires_at_ms: DAWN_MS + 200,
                command_nonce: None,
            };
            story.replace(is_code, [expired]);
        },
        Rule::One,
    ),
    (
        "two withdrawals from one code",
        full_dispense,
        |story| story.after(is_approval, [approval(2, 100, 0)]),
        Rule::One,
    ),
    (
        "a second phone on one code",
        full_dispense,
        |story| story.after(is_scan, [What::ScanAccepted { nonce: 100, phone: 1 }]),
        Rule::One,
    ),
    (
        "a second phone on another code of the QR session",
        full_dispense,
        |story| story.after(is_scan, [code(101, 0, 200), What::ScanAccepted { nonce: 101, phone: 1 }]),
        Rule::One,
    ),
    (
        "two withdrawals from one QR session",
        full_dispense,
        |story| {
            let second = [code(101, 0, 200), What::ScanAccepted { nonce: 101, phone: 0 }, approval(2, 101, 0)];
            story.after(is_approval, second);
        },
        Rule::One,
    ),
    (
        "one withdrawal from two codes",
        full_dispense,
        |story| {
            let second = [code(101, 0, 201), What::ScanAccepted { nonce: 101, phone: 0 }, approval(W, 101, 0)];
            story.after(is_approval, second);
        },
        Rule::One,
    ),
    ("another phone approves", full_dispense, |story| story.replace(is_approval, [approval(W, 100, 1)]), Rule::One),
    ("nobody had scanned", full_dispense, |story| story.without(is_scan), Rule::One),
    ("another machine than the code's", full_dispense, |story| story.replace(is_code, [code(100, 1, 200)]), Rule::One),
    ("a QR session at two machines", full_dispense, |story| story.after(is_code, [code(101, 1, 200)]), Rule::One),
    ("a nonce is signed twice", full_dispense, |story| story.after(is_code, [code(100, 0, 200)]), Rule::One),
    ("a scan of a code from before the crash", full_dispense, |story| story.after(is_code, restarted()), Rule::One),
    (
        "an approval, after the crash, of what was scanned before",
        full_dispense,
        |story| {
            story.after(is_scan, restarted());
            let late = DAWN_MS + 500;
            let asked = What::HoldAsked { withdrawal: W, account: 0, atm: 0, amount: AMOUNT, approved_at_ms: late };
            story.replace(|what| matches!(what, What::HoldAsked { .. }), [asked]);
        },
        Rule::One,
    ),
];

#[test]
fn rules_2_and_4_a_command_needs_a_granted_hold_and_is_one() {
    each_is_found(COMMANDS);
}

const COMMANDS: &[Broken] = &[
    (
        "no hold in the books",
        full_dispense,
        |story| story.without(|what| matches!(what, What::HoldPosted { .. })),
        Rule::Two,
    ),
    (
        "no answer to the hold request",
        full_dispense,
        |story| story.without(|what| matches!(what, What::HoldAnswerArrived { .. })),
        Rule::Four,
    ),
    (
        "the grant comes after the command",
        full_dispense,
        |story| {
            story.without(is_dispense);
            story.before(|what| matches!(what, What::HoldAnswerArrived { .. }), [dispense()]);
        },
        Rule::Four,
    ),
    (
        "the hold was declined",
        declined,
        |story| story.before(|what| matches!(what, What::Shown { .. }), [dispense()]),
        Rule::Two,
    ),
    (
        "a late grant is paid out",
        late_grant,
        |story| story.before(|what| matches!(what, What::ReversePosted { .. }), [dispense()]),
        Rule::Four,
    ),
    (
        "a timed-out hold is paid out",
        full_dispense,
        |story| story.before(is_dispense, [What::ReverseAsked { withdrawal: W }]),
        Rule::Four,
    ),
    ("another amount", full_dispense, |story| story.replace(is_dispense, [command(0, 29_000, 0)]), Rule::Two),
    ("another machine", full_dispense, |story| story.replace(is_dispense, [command(1, AMOUNT, 0)]), Rule::Two),
    (
        "a command that differs in its time",
        crash_and_resend,
        |story| story.after(is_dispense, [command(0, AMOUNT, 9)]),
        Rule::Two,
    ),
    (
        "a command that differs in its amount",
        crash_and_resend,
        |story| story.after(is_dispense, [command(0, 10_000, 0)]),
        Rule::Two,
    ),
    (
        "the command again after its outcome",
        full_dispense,
        |story| story.before(is_confirm_asked, [dispense()]),
        Rule::Two,
    ),
    (
        "the command again after the request to confirm",
        full_dispense,
        |story| {
            story.without(|what| matches!(what, What::OutcomeAcknowledged { .. }));
            story.after(is_confirm_asked, [dispense()]);
        },
        Rule::Two,
    ),
    ("notes move twice", full_dispense, |story| story.after(is_moved, [moved(AMOUNT)]), Rule::Two),
    ("more notes than commanded", full_dispense, |story| story.replace(is_moved, [moved(40_000)]), Rule::Two),
    ("notes move without a command", full_dispense, |story| story.before(is_dispense, [moved(AMOUNT)]), Rule::Two),
    (
        "another machine's notes move",
        full_dispense,
        |story| story.replace(is_moved, [What::NotesMoved { atm: 1, withdrawal: W, presented: AMOUNT }]),
        Rule::Two,
    ),
];

fn command(atm: u16, amount: u64, later_ms: u64) -> What {
    What::DispenseSent { atm, withdrawal: W, amount, start_before_ms: DAWN_MS + 60_000 + later_ms, token: None }
}

fn moved(presented: u64) -> What {
    What::NotesMoved { atm: 0, withdrawal: W, presented }
}

#[test]
fn rule_3_what_was_sent_is_not_forgotten() {
    each_is_found(FORGOTTEN);
}

const FORGOTTEN: &[Broken] = &[
    (
        "reversed after a crash, as if nothing had been commanded",
        nothing_dispensed,
        |story| {
            story.without(|what| is_report(what) || matches!(what, What::OutcomeAcknowledged { .. }));
            story.before(is_reverse_asked, restarted());
        },
        Rule::Three,
    ),
    (
        "another hold under the same id",
        full_dispense,
        |story| {
            let other = What::HoldAsked { withdrawal: W, account: 0, atm: 0, amount: AMOUNT, approved_at_ms: DAWN_MS };
            story.after(|what| matches!(what, What::HoldAsked { .. }), [other]);
        },
        Rule::Three,
    ),
    (
        "the books lack what was asked for",
        full_dispense,
        |story| {
            story.without(|what| is_approval(what) || matches!(what, What::OutcomeAcknowledged { .. }));
            story.closing.books.clear();
        },
        Rule::Three,
    ),
];

#[test]
fn rules_5_and_6_only_evidence_or_a_person_ends_what_was_commanded() {
    each_is_found(EVIDENCE);
}

const EVIDENCE: &[Broken] = &[
    (
        "a timer reverses",
        nothing_dispensed,
        |story| story.without(|what| is_report(what) || matches!(what, What::OutcomeAcknowledged { .. })),
        Rule::Five,
    ),
    ("confirmed before any command", full_dispense, |story| story.before(is_shown_open, confirmed(AMOUNT)), Rule::Five),
    (
        "confirmed for more than was proved",
        partial_dispense,
        |story| story.replace(is_confirm_asked, [asked(AMOUNT)]),
        Rule::Ten,
    ),
    ("confirmed for more than was proved, unacknowledged", partial_dispense, unacknowledged_and_more, Rule::Five),
    (
        "confirmed for more than was approved",
        full_dispense,
        |story| story.replace(is_confirm_asked, [asked(30_001)]),
        Rule::Five,
    ),
    ("confirmed for nothing", full_dispense, |story| story.replace(is_confirm_asked, [asked(0)]), Rule::Five),
    (
        "a bare word reverses",
        nothing_dispensed,
        |story| story.replace(is_report, [report(Word::NotDispensed, 0, None, false)]),
        Rule::Six,
    ),
    (
        "a bare word confirms",
        full_dispense,
        |story| story.replace(is_report, [report(Word::Dispensed, AMOUNT, None, false)]),
        Rule::Six,
    ),
    (
        "an uncounted retract reverses",
        nothing_dispensed,
        |story| story.replace(is_report, [report(Word::Retracted, AMOUNT, None, true)]),
        Rule::Six,
    ),
    (
        "an uncounted retract confirms",
        retract_counted,
        |story| story.replace(is_report, [report(Word::Retracted, AMOUNT, None, true)]),
        Rule::Six,
    ),
    (
        "unknown reverses",
        suspect_reversed,
        |story| story.without(|what| matches!(what, What::SuspectResolved { .. })),
        Rule::Six,
    ),
    (
        "unknown confirms",
        suspect_confirmed,
        |story| story.without(|what| matches!(what, What::SuspectResolved { .. })),
        Rule::Six,
    ),
    (
        "a word that its notes contradict",
        nothing_dispensed,
        |story| story.replace(is_report, [report(Word::NotDispensed, 10_000, None, true)]),
        Rule::Six,
    ),
    (
        "more notes than were commanded",
        full_dispense,
        |story| story.replace(is_report, [report(Word::Dispensed, 40_000, None, true)]),
        Rule::Six,
    ),
    ("another machine's report", nothing_dispensed, another_machine_reports, Rule::Five),
    ("a report from before the command", nothing_dispensed, reported_before_the_command, Rule::Five),
    (
        "what was acknowledged is asked again",
        full_dispense,
        |story| story.after(is_confirm_asked, [outcome_asked()]),
        Rule::Six,
    ),
    (
        "what was acknowledged is asked again after a crash",
        nothing_dispensed,
        |story| {
            let mut later = restarted().to_vec();
            later.push(outcome_asked());
            story.after(is_reverse_asked, later);
        },
        Rule::Six,
    ),
];

fn asked(amount: u64) -> What {
    What::ConfirmAsked { withdrawal: W, amount }
}

fn unacknowledged_and_more(story: &mut super::Story) {
    story.without(|what| matches!(what, What::OutcomeAcknowledged { .. }));
    story.replace(is_confirm_asked, [asked(AMOUNT)]);
}

fn another_machine_reports(story: &mut super::Story) {
    let What::ReportArrived { report, .. } = report(Word::NotDispensed, 0, None, true) else { return };
    story.replace(is_report, [What::ReportArrived { atm: 1, withdrawal: W, report }]);
}

fn reported_before_the_command(story: &mut super::Story) {
    story.without(|what| is_report(what) || matches!(what, What::OutcomeAcknowledged { .. }));
    story.before(is_dispense, [report(Word::NotDispensed, 0, None, true)]);
}

#[test]
fn a_hold_request_is_not_enough_for_a_command() {
    hold_asked().then([dispense()]).breaks("nothing but a request", Rule::Two);
}
