//! The bank's books: idempotency by withdrawal id, and money that is neither made nor lost.

use proptest::prelude::*;

use super::*;

const W1: &str = "01981f2e-7c1a-7000-8000-000000000001";

fn bank_of_100_000() -> Bank {
    let bank = Bank::in_memory().unwrap();
    bank.open_account("acct-1", 100_000).unwrap();
    bank
}

fn hold(amount: u64) -> PlaceHold {
    PlaceHold { withdrawal_id: W1.to_owned(), account: "acct-1".to_owned(), amount, currency: "JPY".to_owned() }
}

fn granted(answer: PlaceHoldAnswer) -> String {
    match answer {
        PlaceHoldAnswer::Granted { reference } => reference,
        PlaceHoldAnswer::Declined { code } => panic!("declined: {code}"),
    }
}

fn declined(answer: PlaceHoldAnswer) -> String {
    match answer {
        PlaceHoldAnswer::Declined { code } => code,
        PlaceHoldAnswer::Granted { reference } => panic!("granted: {reference}"),
    }
}

const fn refused(code: &'static str) -> SettlementAnswer {
    SettlementAnswer::Refused { code }
}

fn figures(bank: &Bank) -> (u64, u64, u64, u64) {
    let books = &bank.account_books().unwrap()[0];
    assert_eq!(books.opening, books.balance + books.held + books.confirmed, "{books:?}");
    assert_eq!(books.holds, books.held + books.confirmed + books.reversed, "{books:?}");
    (books.balance, books.held, books.confirmed, books.reversed)
}

#[test]
fn a_hold_is_placed_once_however_often_it_is_asked_for() {
    let bank = bank_of_100_000();
    let reference = granted(bank.place_hold(&hold(30_000), None).unwrap());
    assert_eq!(granted(bank.place_hold(&hold(30_000), None).unwrap()), reference);
    assert_eq!(declined(bank.place_hold(&hold(40_000), None).unwrap()), "request_differs");
    assert_eq!(figures(&bank), (70_000, 30_000, 0, 0));
}

#[test]
fn a_decline_is_repeated_even_when_the_money_has_come() {
    let bank = bank_of_100_000();
    assert_eq!(declined(bank.place_hold(&hold(100_001), None).unwrap()), "insufficient_funds");
    assert_eq!(declined(bank.place_hold(&hold(100_001), None).unwrap()), "insufficient_funds");
    assert_eq!(figures(&bank), (100_000, 0, 0, 0));
    let check = |hold: PlaceHold, forced: Option<&str>, code: &str| {
        assert_eq!(declined(bank_of_100_000().place_hold(&hold, forced).unwrap()), code);
    };
    check(PlaceHold { account: "nobody".to_owned(), ..hold(1) }, None, "unknown_account");
    check(PlaceHold { currency: "EUR".to_owned(), ..hold(1) }, None, "currency_differs");
    check(hold(0), None, "amount_invalid");
    check(hold(1), Some("card_stolen"), "card_stolen");
}

#[test]
fn a_smaller_confirmation_gives_the_rest_back_once() {
    let bank = bank_of_100_000();
    let reference = granted(bank.place_hold(&hold(30_000), None).unwrap());
    for _ in 0..2 {
        assert_eq!(bank.confirm_hold(W1, &reference, 20_000, "JPY").unwrap(), SettlementAnswer::Done);
        assert_eq!(figures(&bank), (80_000, 0, 20_000, 10_000));
    }
    assert_eq!(bank.confirm_hold(W1, &reference, 30_000, "JPY").unwrap(), refused("amount_differs"));
    assert_eq!(bank.reverse_hold(W1).unwrap(), refused("already_confirmed"));
    assert_eq!(granted(bank.place_hold(&hold(30_000), None).unwrap()), reference, "the first answer again");
    assert_eq!(figures(&bank), (80_000, 0, 20_000, 10_000));
}

#[test]
fn what_cannot_be_confirmed_is_refused_with_its_reason() {
    let bank = bank_of_100_000();
    assert_eq!(bank.confirm_hold(W1, "h-1", 1, "JPY").unwrap(), refused("no_such_hold"));
    let reference = granted(bank.place_hold(&hold(30_000), None).unwrap());
    assert_eq!(bank.confirm_hold(W1, "another", 30_000, "JPY").unwrap(), refused("no_such_hold"));
    for (amount, currency) in [(0, "JPY"), (30_001, "JPY"), (30_000, "EUR")] {
        assert_eq!(bank.confirm_hold(W1, &reference, amount, currency).unwrap(), refused("amount_differs"));
    }
    assert_eq!(bank.reverse_hold(W1).unwrap(), SettlementAnswer::Done);
    assert_eq!(bank.confirm_hold(W1, &reference, 30_000, "JPY").unwrap(), refused("already_reversed"));
    assert_eq!(figures(&bank), (100_000, 0, 0, 30_000));
}

#[test]
fn a_hold_never_follows_its_own_reversal() {
    let bank = bank_of_100_000();
    assert_eq!(bank.look_up(W1).unwrap(), None);
    for _ in 0..2 {
        assert_eq!(bank.reverse_hold(W1).unwrap(), SettlementAnswer::Done);
        assert_eq!(declined(bank.place_hold(&hold(30_000), None).unwrap()), "already_reversed");
    }
    assert_eq!(bank.look_up(W1).unwrap().unwrap().standing, Standing::Reversed);
    assert_eq!(figures(&bank), (100_000, 0, 0, 0));
}

#[test]
fn the_books_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bank.db");
    let bank = Bank::open(&path).unwrap();
    bank.open_account("acct-1", 100_000).unwrap();
    let reference = granted(bank.place_hold(&hold(30_000), None).unwrap());
    drop(bank);
    let bank = Bank::open(&path).unwrap();
    bank.open_account("acct-1", 5).unwrap();
    assert_eq!(granted(bank.place_hold(&hold(30_000), None).unwrap()), reference);
    assert_eq!(figures(&bank), (70_000, 30_000, 0, 0));
}

#[derive(Clone, Debug)]
enum Call {
    Place(u8, u64),
    Confirm(u8, u64),
    Reverse(u8),
}

fn call() -> impl Strategy<Value = Call> {
    prop_oneof![
        (0..4_u8, 0..60_000_u64).prop_map(|(id, amount)| Call::Place(id, amount)),
        (0..4_u8, 0..60_000_u64).prop_map(|(id, amount)| Call::Confirm(id, amount)),
        (0..4_u8).prop_map(Call::Reverse),
    ]
}

/// The answer as text, so that answers of different calls compare.
fn made(bank: &Bank, call: &Call) -> String {
    let id = |n: &u8| format!("01981f2e-7c1a-7000-8000-00000000000{n}");
    let reference = |n: &u8| bank.look_up(&id(n)).unwrap().map(|known| known.reference).unwrap_or_default();
    match call {
        Call::Place(n, amount) => {
            let request = PlaceHold { withdrawal_id: id(n), ..hold(*amount) };
            format!("{:?}", bank.place_hold(&request, None).unwrap())
        }
        Call::Confirm(n, amount) => {
            format!("{:?}", bank.confirm_hold(&id(n), &reference(n), *amount, "JPY").unwrap())
        }
        Call::Reverse(n) => format!("{:?}", bank.reverse_hold(&id(n)).unwrap()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_calls_in_any_order_each_twice_conserve_money(calls in proptest::collection::vec(call(), 1..30)) {
        let bank = bank_of_100_000();
        for call in &calls {
            let first = made(&bank, call);
            let between = figures(&bank);
            prop_assert_eq!(made(&bank, call), first, "{:?} twice", call);
            prop_assert_eq!(figures(&bank), between, "{:?} twice", call);
        }
    }
}

fn postings(bank: &Bank) -> String {
    let mut csv = Vec::new();
    bank.write_csv(&mut csv).unwrap();
    String::from_utf8(csv).unwrap()
}

#[test]
fn the_postings_are_written_for_reconciliation() {
    let bank = bank_of_100_000();
    let header = "withdrawal_id,account,currency,held_minor_units,confirmed_minor_units,standing,posted_at_unix_ms\n";
    assert_eq!(postings(&bank), header);
    // All but the time, which must be there.
    let row = |bank: &Bank| {
        let text = postings(bank);
        let (row, posted_at) = text.strip_prefix(header).unwrap().trim_end().rsplit_once(',').unwrap();
        assert!(posted_at.parse::<u64>().unwrap() > 1_700_000_000_000, "{posted_at}");
        row.to_owned()
    };
    let reference = granted(bank.place_hold(&hold(30_000), None).unwrap());
    assert_eq!(row(&bank), format!("{W1},acct-1,JPY,30000,0,held"));
    assert_eq!(bank.confirm_hold(W1, &reference, 20_000, "JPY").unwrap(), SettlementAnswer::Done);
    assert_eq!(row(&bank), format!("{W1},acct-1,JPY,30000,20000,confirmed"));

    let bank = Bank::in_memory().unwrap();
    assert_eq!(bank.reverse_hold(W1).unwrap(), SettlementAnswer::Done);
    assert_eq!(row(&bank), format!("{W1},,,0,0,reversed"), "only a reversal ever came");
}

#[test]
fn a_database_of_an_earlier_version_is_opened_and_its_postings_have_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bank.db");
    let earlier = rusqlite::Connection::open(&path).unwrap();
    earlier
        .execute_batch(&format!(
            "CREATE TABLE holds (withdrawal_id TEXT PRIMARY KEY, account TEXT NOT NULL, currency TEXT NOT NULL,
                asked INTEGER NOT NULL, held INTEGER NOT NULL, confirmed INTEGER NOT NULL, standing TEXT NOT NULL,
                code TEXT NOT NULL) STRICT;
             INSERT INTO holds VALUES ('{W1}', 'acct-1', 'JPY', 5, 5, 0, 'held', '')"
        ))
        .unwrap();
    drop(earlier);
    for _ in 0..2 {
        let text = postings(&Bank::open(&path).unwrap());
        assert!(text.ends_with(&format!("{W1},acct-1,JPY,5,0,held,\n")), "{text}");
    }
}
