//! Dispensers with end-to-end security, and institutions that demand their proof.

use super::stories::{confirmed, held, reversed};
use super::{AMOUNT, Broken, DAWN_MS, Rule, Story, W, acknowledged, each_is_found, report, shown};
use crate::boundary::{Standing, Status, TokenSeen, What, Word};

const NONCE: u128 = 0xA1;
const ASKED_WITH: u128 = 0xB2;
pub(super) const TOKEN: TokenSeen = TokenSeen { nonce: NONCE, amount: AMOUNT, mac: 77 };

fn is_command(what: &What) -> bool {
    matches!(what, What::DispenseSent { .. })
}

fn is_status(what: &What) -> bool {
    matches!(what, What::StatusVerified { .. })
}

fn is_question(what: &What) -> bool {
    matches!(what, What::OutcomeAsked { .. })
}

pub(super) fn command(token: Option<TokenSeen>) -> What {
    What::DispenseSent { atm: 0, withdrawal: W, amount: AMOUNT, start_before_ms: DAWN_MS + 60_000, token }
}

pub(super) fn nothing_left() -> Status {
    Status {
        nonce: ASKED_WITH,
        dispense: Some(TOKEN.mac),
        dispensed: 0,
        presented: (false, None),
        retracted: (false, None),
        genuine: true,
    }
}

fn verified(status: Status) -> What {
    What::StatusVerified { atm: 0, withdrawal: W, status }
}

/// The money is held for a customer at a dispenser that gave a nonce.
pub(super) fn secured() -> Story {
    let mut story = held();
    story.setup.end_to_end_atms.push(0);
    let with_nonce = What::CodeSigned {
        nonce: 100,
        atm: 0,
        qr_session: 200,
        expires_at_ms: DAWN_MS + 30_000,
        command_nonce: Some(NONCE),
    };
    story.replace(|what| matches!(what, What::CodeSigned { .. }), [with_nonce]);
    story
}

/// It jammed, was asked, and its dispenser proved that nothing left.
fn proven() -> Story {
    secured()
        .then([
            command(Some(TOKEN)),
            report(Word::NotDispensed, 0, None, true),
            acknowledged(),
            What::OutcomeAsked { atm: 0, withdrawal: W, nonce: Some(ASKED_WITH) },
            report(Word::NotDispensed, 0, None, true),
            verified(nothing_left()),
            acknowledged(),
        ])
        .then(reversed())
        .ended(Standing::Reversed)
}

fn paid_against_token() -> Story {
    secured()
        .then([
            command(Some(TOKEN)),
            What::NotesMoved { atm: 0, withdrawal: W, presented: AMOUNT },
            What::CashTaken { atm: 0, withdrawal: W, amount: AMOUNT },
            report(Word::Dispensed, AMOUNT, None, true),
            acknowledged(),
        ])
        .then(confirmed(AMOUNT))
        .ended(Standing::Confirmed(AMOUNT))
}

#[test]
fn what_goes_well_passes() {
    proven().passes();
    paid_against_token().passes();
    let mut twice = paid_against_token();
    twice.after(is_command, [command(Some(TOKEN)), shown(Standing::Open)]);
    twice.passes();
    // A part, by presented and counted notes.
    let part = Status {
        dispensed: AMOUNT,
        presented: (true, Some(AMOUNT)),
        retracted: (true, Some(20_000)),
        ..nothing_left()
    };
    secured()
        .then([
            command(Some(TOKEN)),
            What::NotesMoved { atm: 0, withdrawal: W, presented: AMOUNT },
            What::CashTaken { atm: 0, withdrawal: W, amount: 10_000 },
            What::OutcomeAsked { atm: 0, withdrawal: W, nonce: Some(ASKED_WITH) },
            report(Word::Retracted, AMOUNT, Some(20_000), true),
            verified(part),
            acknowledged(),
        ])
        .then(confirmed(10_000))
        .ended(Standing::Confirmed(10_000))
        .passes();
}

#[test]
fn rule_2_a_secured_dispenser_pays_out_against_its_own_token() {
    const TABLE: &[Broken] = &[
        ("no token", paid_against_token, |story| story.replace(is_command, [command(None)]), Rule::Two),
        (
            "another nonce",
            paid_against_token,
            |story| story.replace(is_command, [command(Some(TokenSeen { nonce: 1, ..TOKEN }))]),
            Rule::Two,
        ),
        (
            "more than the command",
            paid_against_token,
            |story| story.replace(is_command, [command(Some(TokenSeen { amount: 40_000, ..TOKEN }))]),
            Rule::Two,
        ),
        (
            "another token when it is sent again",
            paid_against_token,
            |story| story.after(is_command, [command(Some(TokenSeen { mac: 78, ..TOKEN }))]),
            Rule::Two,
        ),
    ];
    each_is_found(TABLE);
}

#[test]
fn rule_2_a_dispenser_without_a_nonce_gets_no_token() {
    let mut story = held().then([command(Some(TOKEN))]);
    story.breaks("a token for nobody", Rule::Two);
    // The machine took its declaration back: its dispenser must not pay out.
    story = held().then([command(None), What::NotesMoved { atm: 0, withdrawal: W, presented: AMOUNT }]);
    story.passes_until_the_end();
    story.setup.end_to_end_atms.push(0);
    story.breaks("paid without a token", Rule::Two);
}

#[test]
fn rule_6_less_than_everything_needs_a_fresh_status_of_this_very_dispense() {
    fn instead(story: &mut Story, status: Status) {
        story.replace(is_status, [verified(status)]);
    }
    const TABLE: &[Broken] = &[
        ("no status", proven, |story| story.without(is_status), Rule::Six),
        ("not asked", proven, |story| story.without(is_question), Rule::Six),
        ("an older nonce", proven, |story| instead(story, Status { nonce: 1, ..nothing_left() }), Rule::Six),
        ("forged", proven, |story| instead(story, Status { genuine: false, ..nothing_left() }), Rule::Six),
        ("another dispense", proven, |story| instead(story, Status { dispense: Some(1), ..nothing_left() }), Rule::Six),
        ("of no dispense", proven, |story| instead(story, Status { dispense: None, ..nothing_left() }), Rule::Six),
        ("on the stacker", proven, |story| instead(story, Status { dispensed: AMOUNT, ..nothing_left() }), Rule::Six),
        (
            "not counted",
            proven,
            |story| {
                let (presented, retracted) = ((true, Some(AMOUNT)), (true, None));
                instead(story, Status { dispensed: AMOUNT, presented, retracted, ..nothing_left() });
            },
            Rule::Six,
        ),
    ];
    each_is_found(TABLE);
}

#[test]
fn rule_6_an_institution_that_demands_proof_believes_no_record() {
    let mut story = held()
        .then([command(None), report(Word::NotDispensed, 0, None, true), acknowledged()])
        .then(reversed())
        .ended(Standing::Reversed);
    story.passes();
    story.setup.demands_proof = true;
    story.breaks("a record alone", Rule::Six);
}
