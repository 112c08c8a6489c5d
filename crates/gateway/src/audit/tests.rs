//! Ledgers whose records are whole, and whose content is right or wrong.

use cashgate_ledger::{Ledger, LedgerOptions, StepRecord, WithdrawalRow};
use cashgate_withdrawal::dispense::{DispenseCommand, EvidenceSource, NoteCount, Outcome, OutcomeReport};
use cashgate_withdrawal::event::Event;
use cashgate_withdrawal::evidence::EvidenceGrade;
use cashgate_withdrawal::ids::{KeyId, Nonce, QrSessionId};
use cashgate_withdrawal::lane::Record;
use cashgate_withdrawal::step;
use cashgate_withdrawal::time::{CalendarDay, Timestamp};
use cashgate_withdrawal::withdrawal::{Decision, Terms};

use super::*;
use crate::lanes::step_record;

const ACCOUNT: &str = "acct-7f3a9c41d2e8";

fn id(n: u8) -> WithdrawalId {
    WithdrawalId::from_bytes([1, 0xa2, 4, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, n])
}

fn yen(amount: u64) -> Money {
    Money::from_minor_units(amount, Currency::JPY).unwrap()
}

/// The nth withdrawal: 30,000 yen of one account.
fn terms(n: u8) -> Terms {
    Terms {
        withdrawal: id(n),
        institution: "sakura".parse().unwrap(),
        account: ACCOUNT.parse().unwrap(),
        device: "phone-1".parse().unwrap(),
        atm: "A1".parse().unwrap(),
        qr_session: QrSessionId::from_bytes([n; 16]),
        nonce: Nonce([n; 16]),
        amount: yen(30_000),
        approved_at: Timestamp::from_unix_ms(1_795_000_000_000),
        decision: Decision {
            policy_version: "builtin-1".to_owned(),
            rules: Vec::new(),
            facts: String::new(),
            limit_figures: "day 30000/500000".to_owned(),
            key: KeyId([4; 4]),
            day: CalendarDay(20_775),
            confirm_code: false,
            machine_location: None,
        },
        command_nonce: None,
        evidence_demanded: EvidenceGrade::C,
    }
}

fn granted() -> Event {
    Event::HoldGranted { hold: "h-1".parse().unwrap() }
}

fn commanded(n: u8) -> Event {
    let start_before = Timestamp::from_unix_ms(1_795_000_020_000);
    let command = DispenseCommand { withdrawal: id(n), amount: yen(30_000), start_before, dispense_token: None };
    Event::DispenseCommanded { command }
}

fn reported(outcome: Outcome, notes: u32) -> Event {
    let presented_notes = vec![NoteCount { denomination: yen(10_000), count: notes }];
    let report = OutcomeReport {
        outcome,
        presented: yen(10_000 * u64::from(notes)),
        retracted: None,
        presented_notes: if notes > 0 { presented_notes } else { vec![] },
        retracted_notes: vec![],
        evidence: EvidenceSource::PresentStatus,
        detail: String::new(),
        observed_at: Timestamp::from_unix_ms(1_795_000_010_000),
        present: None,
    };
    Event::OutcomeReported { report }
}

/// The records of a withdrawal that these things happen to.
fn records(n: u8, events: Vec<Event>) -> Vec<StepRecord> {
    let terms = terms(n);
    let at = terms.approved_at;
    let mut after = Withdrawal::open(terms).0;
    let mut records = vec![step_record(&Record { number: 1, at, event: None, after: after.clone() })];
    for (event, number) in events.into_iter().zip(2..) {
        after = step(after, event.clone(), at).unwrap().0;
        records.push(step_record(&Record { number, at, event: Some(event), after: after.clone() }));
    }
    records
}

fn partly_paid(n: u8) -> Vec<StepRecord> {
    records(n, vec![granted(), commanded(n), reported(Outcome::PartiallyDispensed, 2), Event::HoldConfirmed])
}

/// What an audit of a ledger with these records finds.
async fn audited(histories: Vec<Vec<StepRecord>>) -> (Vec<String>, AuditReport) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let options = LedgerOptions { reserve_bytes: 0, ..LedgerOptions::default() };
    let ledger = Ledger::open(&path, options).unwrap();
    for steps in histories {
        ledger.append(steps).await.unwrap();
    }
    ledger.close().await.unwrap();
    let mut found = Vec::new();
    let report = audit(&LedgerSection::File(path.clone()), &mut |finding| found.push(finding.to_string())).unwrap();
    assert_eq!(report.findings, found.len() as u64);
    assert!(found.iter().all(|line| !line.contains(ACCOUNT)), "an account is named: {found:?}");
    (found, report)
}

#[tokio::test]
async fn money_is_conserved_in_every_state() {
    let declined = Event::HoldDeclined { code: "insufficient_funds".parse().unwrap() };
    let doubtful = vec![granted(), commanded(5), reported(Outcome::Unknown, 0), Event::OutcomeDeadlinePassed];
    let (found, report) = audited(vec![
        partly_paid(1),
        records(2, vec![granted(), Event::CustomerCancelled, Event::HoldReversed]),
        records(3, vec![declined]),
        records(4, vec![granted()]),
        records(5, doubtful),
    ])
    .await;
    assert_eq!(found, Vec::<String>::new());
    let parts = Parts { confirmed: 20_000, given_back: 40_000, declined: 30_000, open: 30_000, suspect: 30_000 };
    assert_eq!(report.totals, BTreeMap::from([(Currency::JPY, (150_000, parts))]));
    assert_eq!((report.accounts, report.ledger.withdrawals, report.ledger.open), (1, 5, 2));
}

#[tokio::test]
async fn a_row_that_differs_from_its_steps_is_found_column_by_column() {
    type Change = fn(&mut WithdrawalRow);
    let changes: [(&str, Change); 13] = [
        ("state", |row| row.state = "reversed".into()),
        ("institution", |row| row.institution = "fuji".parse().unwrap()),
        ("account", |row| row.account = "acct-other".parse().unwrap()),
        ("device", |row| row.device = "phone-2".parse().unwrap()),
        ("atm", |row| row.atm = "A2".parse().unwrap()),
        ("qr_session", |row| row.qr_session = QrSessionId::from_bytes([9; 16])),
        ("nonce", |row| row.nonce = Nonce([9; 16])),
        ("dispensed", |row| row.dispensed = Some(yen(30_000))),
        ("hold", |row| row.hold = Some("h-2".parse().unwrap())),
        ("day", |row| row.day = CalendarDay(1)),
        ("approved_at_ms", |row| row.approved_at = Timestamp::from_unix_ms(1)),
        ("policy_version", |row| row.policy_version = "draft".to_owned()),
        ("key_id", |row| row.key_id = KeyId([9; 4])),
    ];
    for (column, change) in changes {
        let mut steps = partly_paid(1);
        let all_but_what_moves = !["state", "dispensed", "hold"].contains(&column);
        let last = steps.len() - 1;
        let changed = if all_but_what_moves { &mut steps[..] } else { &mut steps[last..] };
        changed.iter_mut().for_each(|step| change(&mut step.row));
        let (found, _) = audited(vec![steps]).await;
        let expected = format!("history, withdrawal {}: the row's {column} is not what its steps tell", id(1));
        assert_eq!(found, [expected]);
    }
    let mut steps = records(1, vec![granted()]);
    steps.last_mut().unwrap().row.open = false;
    let (found, _) = audited(vec![steps]).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("the row's open is not what its steps tell"), "{found:?}");
}

#[tokio::test]
async fn an_amount_that_nobody_approved_is_found_twice() {
    let mut steps = partly_paid(2);
    steps.iter_mut().for_each(|step| step.row.amount = yen(40_000));
    let (found, _) = audited(vec![partly_paid(1), steps]).await;
    let expected = [
        format!("history, withdrawal {}: the row's amount is not what its steps tell", id(2)),
        format!(
            "account of sakura with withdrawal {}: 70000 JPY were approved, and 60000 are accounted for: \
             40000 confirmed, 20000 given back, 0 declined, 0 open, 0 suspect",
            id(1)
        ),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_step_that_cannot_follow_is_found_with_its_number() {
    let mut steps = partly_paid(1);
    // The bodies of a withdrawal that was never commanded: the hold is granted, and then confirmed.
    let confirmed = steps[4].body.clone();
    steps[2].body = confirmed;
    let (found, report) = audited(vec![steps]).await;
    assert_eq!(found.len(), 2, "{found:?}");
    let place = format!("history, withdrawal {0}: step 3 of withdrawal {0} cannot follow", id(1));
    assert!(found[0].starts_with(&place), "{}", found[0]);
    assert!(found[1].contains("30000 JPY were approved, and 0 are accounted for"), "{}", found[1]);
    assert_eq!(report.ledger.withdrawals, 1);
}
