//! Rules 7 and 9 to 12 and liveness, broken on purpose. Rule 8 has a file of its own.

use super::super::postings::AccountBook;
use super::stories::{
    confirmation_retried, confirmed, declined, full_dispense, late_grant, nothing_dispensed, partial_dispense,
    reversed, suspect_confirmed, suspect_reversed,
};
use super::{AMOUNT, Broken, Rule, Story, W, acknowledged, each_is_found, report, resolved, shown};
use crate::boundary::{Book, Standing, What, Word};

fn is_confirm_asked(what: &What) -> bool {
    matches!(what, What::ConfirmAsked { .. })
}

fn is_confirm_posted(what: &What) -> bool {
    matches!(what, What::ConfirmPosted { .. })
}

fn is_reverse_posted(what: &What) -> bool {
    matches!(what, What::ReversePosted { .. })
}

fn is_settlement_answer(what: &What) -> bool {
    matches!(what, What::SettlementAnswerArrived { .. })
}

fn is_resolved(what: &What) -> bool {
    matches!(what, What::SuspectResolved { .. })
}

fn is_acknowledged(what: &What) -> bool {
    matches!(what, What::OutcomeAcknowledged { .. })
}

fn confirm_posted(amount: u64) -> What {
    What::ConfirmPosted { withdrawal: W, amount }
}

/// The gateway's books say so, but showed nothing.
fn booked(story: &mut Story, standing: Standing) {
    story.without(|what| matches!(what, What::Shown { .. }));
    story.closing.books = vec![Book { withdrawal: W, account: 0, amount: AMOUNT, standing }];
}

#[test]
fn rule_7_every_hold_ends_once() {
    each_is_found(HOLDS);
}

const HOLDS: &[Broken] = &[
    ("booked both ways", full_dispense, |story| booked_both_ways(story), Rule::Seven),
    ("confirmed twice", full_dispense, |story| story.after(is_confirm_posted, [confirm_posted(AMOUNT)]), Rule::Seven),
    (
        "confirmed unasked",
        full_dispense,
        |story| story.replace(is_confirm_posted, [confirm_posted(20_000)]),
        Rule::Seven,
    ),
    (
        "reversed unasked",
        full_dispense,
        |story| story.replace(is_confirm_posted, [What::ReversePosted { withdrawal: W }]),
        Rule::Seven,
    ),
    (
        "a hold after its own reversal",
        late_grant,
        |story| {
            let hold = What::HoldPosted { withdrawal: W, account: 0, amount: AMOUNT };
            story.without(|what| matches!(what, What::HoldPosted { .. }));
            story.after(is_reverse_posted, [hold]);
        },
        Rule::Seven,
    ),
    (
        "asked to reverse after it was asked to confirm",
        confirmation_retried,
        |story| story.after(is_confirm_asked, [What::ReverseAsked { withdrawal: W }]),
        Rule::Seven,
    ),
    ("asked to confirm two amounts", full_dispense, two_amounts, Rule::Seven),
    (
        "the confirmation was dropped",
        full_dispense,
        |story| story.without(|what| is_confirm_posted(what) || is_settlement_answer(what)),
        Rule::Seven,
    ),
    (
        "the reversal was dropped",
        late_grant,
        |story| story.without(|what| is_reverse_posted(what) || is_settlement_answer(what)),
        Rule::Seven,
    ),
    ("the hold is still there in the end", full_dispense, |story| story.without(is_confirm_posted), Rule::Seven),
    ("declined, though it was held", nothing_dispensed, |story| booked(story, Standing::Declined), Rule::Seven),
    (
        "the books say reversed, core banking confirmed",
        full_dispense,
        |story| booked(story, Standing::Reversed),
        Rule::Seven,
    ),
    (
        "a person decides what is being settled",
        full_dispense,
        |story| story.after(is_confirm_asked, [resolved(None)]),
        Rule::Seven,
    ),
];

fn booked_both_ways(story: &mut Story) {
    // A person may have asked for the other end after a refusal; core banking must still not book it.
    let refused = What::SettlementAnswerArrived { withdrawal: W, confirm: true, done: false };
    let reverse = What::ReverseAsked { withdrawal: W };
    story.replace(is_settlement_answer, [refused, resolved(None), reverse, What::ReversePosted { withdrawal: W }]);
}

fn two_amounts(story: &mut Story) {
    story.without(is_acknowledged);
    let second = report(Word::PartiallyDispensed, 20_000, None, true);
    story.after(is_confirm_asked, [second, What::ConfirmAsked { withdrawal: W, amount: 20_000 }]);
}

#[test]
fn rule_9_an_end_is_an_end() {
    each_is_found(ENDS);
}

const ENDS: &[Broken] = &[
    ("open again", full_dispense, |story| story.crossings.push(shown(Standing::Open)), Rule::Nine),
    ("ended otherwise", full_dispense, |story| story.crossings.push(shown(Standing::Reversed)), Rule::Nine),
    (
        "for another amount",
        partial_dispense,
        |story| story.crossings.push(shown(Standing::Confirmed(AMOUNT))),
        Rule::Nine,
    ),
    (
        "of another account",
        full_dispense,
        |story| {
            let standing = Standing::Confirmed(AMOUNT);
            story.crossings.push(What::Shown { book: Book { withdrawal: W, account: 1, amount: AMOUNT, standing } });
        },
        Rule::Nine,
    ),
    ("commanded after the end", full_dispense, |story| story.crossings.push(super::dispense()), Rule::Nine),
    ("decided after the end", full_dispense, |story| story.crossings.push(resolved(None)), Rule::Nine),
    (
        "the books differ from what was shown",
        suspect_confirmed,
        |story| story.closing.books.iter_mut().for_each(|book| book.standing = Standing::Confirmed(AMOUNT)),
        Rule::Nine,
    ),
];

#[test]
fn rule_10_what_was_acknowledged_is_in_the_books() {
    each_is_found(ACKNOWLEDGED);
}

const ACKNOWLEDGED: &[Broken] = &[
    ("the books lack an approval", full_dispense, |story| story.closing.books.clear(), Rule::Ten),
    (
        "an acknowledged approval was never acted upon, nor kept",
        full_dispense,
        |story| {
            story.crossings.truncate(4);
            story.closing.books.clear();
        },
        Rule::Ten,
    ),
    ("another amount than approved", full_dispense, another_amount_than_approved, Rule::Ten),
    ("acknowledged before it was reported", full_dispense, acknowledged_before_reported, Rule::Ten),
    (
        "acknowledged as dispensed, then reversed",
        full_dispense,
        |story| {
            let [asked, posted, answered] = reversed();
            story.replace(is_confirm_asked, [asked]);
            story.replace(is_confirm_posted, [posted]);
            story.replace(is_settlement_answer, [answered]);
            booked(story, Standing::Reversed);
        },
        Rule::Ten,
    ),
    (
        "a contradiction overrides what was acknowledged",
        full_dispense,
        |story| {
            let other = [report(Word::NotDispensed, 0, None, true), What::ReverseAsked { withdrawal: W }];
            story.after(is_acknowledged, other);
        },
        Rule::Ten,
    ),
    (
        "another end than the person's",
        suspect_reversed,
        |story| story.after(is_resolved, [What::ConfirmAsked { withdrawal: W, amount: AMOUNT }]),
        Rule::Ten,
    ),
    (
        "a person's decision is changed",
        suspect_reversed,
        |story| story.after(is_resolved, [resolved(Some(10_000))]),
        Rule::Ten,
    ),
    (
        "shown for another amount",
        full_dispense,
        |story| {
            let book = Book { withdrawal: W, account: 0, amount: 10_000, standing: Standing::Open };
            story.replace(|what| matches!(what, What::Shown { .. }), [What::Shown { book }]);
        },
        Rule::Ten,
    ),
];

fn another_amount_than_approved(story: &mut Story) {
    let approval = What::ApprovalAccepted { withdrawal: W, nonce: 100, phone: 0, account: 0, amount: 20_000 };
    story.replace(|what| matches!(what, What::ApprovalAccepted { .. }), [approval]);
}

fn acknowledged_before_reported(story: &mut Story) {
    story.without(is_acknowledged);
    story.before(|what| matches!(what, What::ReportArrived { .. }), [acknowledged()]);
}

#[test]
fn rules_5_and_10_bind_a_person_too() {
    each_is_found(PERSONS);
}

const PERSONS: &[Broken] = &[(
    "a person confirms more than was approved",
    suspect_confirmed,
    |story| story.replace(is_resolved, [resolved(Some(AMOUNT + 1))]),
    Rule::Five,
)];

#[test]
fn rules_11_and_12_and_liveness_in_the_end() {
    each_is_found(CLOSING);
}

const CLOSING: &[Broken] = &[
    (
        "a PIN block on disk",
        full_dispense,
        |story| story.closing.secrets_found.push("ledger.db".to_owned()),
        Rule::Eleven,
    ),
    (
        "a hold that nobody asked for",
        full_dispense,
        |story| {
            let hold = What::HoldPosted { withdrawal: W, account: 1, amount: AMOUNT };
            story.replace(|what| matches!(what, What::HoldPosted { .. }), [hold]);
        },
        Rule::Twelve,
    ),
    (
        "a hold posted twice",
        full_dispense,
        |story| {
            let hold = What::HoldPosted { withdrawal: W, account: 0, amount: AMOUNT };
            story.after(|what| matches!(what, What::HoldPosted { .. }), [hold]);
        },
        Rule::Twelve,
    ),
    (
        "a hold posted and then refused",
        full_dispense,
        |story| {
            let refused = What::HoldRefusedInBooks { withdrawal: W };
            story.after(|what| matches!(what, What::HoldPosted { .. }), [refused]);
        },
        Rule::Twelve,
    ),
    ("an honest machine's customer has less", full_dispense, |story| taken(story, 20_000), Rule::Twelve),
    ("the customer has what was reversed", suspect_reversed, |story| taken(story, AMOUNT), Rule::Twelve),
    ("the customer has more than was presented", partial_dispense, |story| taken(story, 21_000), Rule::Twelve),
    ("the books have another amount", partial_dispense, books_have_another_amount, Rule::Seven),
    (
        "in the books twice",
        full_dispense,
        |story| {
            let again = story.closing.books.clone();
            story.closing.books.extend(again);
        },
        Rule::Twelve,
    ),
    ("still open in the end", late_grant, |story| booked(story, Standing::Open), Rule::Liveness),
    ("still a suspect in the end", declined, |story| booked(story, Standing::Suspect), Rule::Liveness),
];

#[test]
fn an_account_whose_sums_do_not_fit_is_found() {
    let fits = AccountBook { posted: 60_000, confirmed: 20_000, released: 10_000, still_held: 30_000 };
    assert!(fits.judge(0).is_ok());
    let loses = AccountBook { released: 9_999, ..fits };
    assert_eq!(loses.judge(0).expect_err("a yen is missing").rule, Rule::Twelve);
    let mut book = fits;
    assert!(!book.end(30_000, 30_001), "more than was held");
    assert!(!book.end(30_001, 30_001), "more than the account holds");
    assert!(book.end(30_000, 30_000) && book.judge(0).is_ok());
}

fn taken(story: &mut Story, amount: u64) {
    let taken = What::CashTaken { atm: 0, withdrawal: W, amount };
    story.replace(|what| matches!(what, What::CashTaken { .. }), [taken]);
}

fn books_have_another_amount(story: &mut Story) {
    booked(story, Standing::Confirmed(AMOUNT));
}

/// A lying machine's cash is compared once a person, who counted, has decided.
#[test]
fn a_person_s_decision_must_fit_the_cash_even_at_a_lying_machine() {
    let mut story = suspect_confirmed().lying();
    story.passes();
    taken(&mut story, 10_000);
    story.breaks("the person confirmed 20,000", Rule::Twelve);
}

#[test]
fn a_request_that_nothing_justifies_is_found_even_if_it_is_the_last_crossing() {
    let mut story = Story::new();
    story.crossings = suspect_reversed().crossings;
    let place = story.place(is_resolved);
    story.crossings.truncate(place);
    story.crossings.extend(confirmed(AMOUNT).into_iter().take(1));
    story.breaks("unknown confirms", Rule::Six);
}
