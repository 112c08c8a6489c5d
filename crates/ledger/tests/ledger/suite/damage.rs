//! Damage of every kind, made by hand: no read passes it on, and the check of the whole ledger names it.

use cashgate_ledger::{
    AppendError, Damage, Fault, Finding, LedgerReader, ReadError, Remark, Sequence, StepRecord, VerifyReport,
    WithdrawalFilter,
};
use rusqlite::Connection;

use super::store::*;
use crate::sample::*;

/// Withdrawals 1 and 2 have ended, 3 is open after two steps: sequences 1 to 10. Two phones with their notices and a stop: 11 to 13.
/// Remarks about 1.
async fn ledger_to_damage() -> Place {
    let (ledger, place) = new_ledger();
    ledger.append(whole_life(1)).await.unwrap();
    ledger.append(whole_life(2)).await.unwrap();
    ledger.append(vec![hold_requested(3), hold_granted(3)]).await.unwrap();
    ledger.put_device(phone("phone-1"), notice_of("aozora", "device_registered", 1)).await.unwrap();
    ledger.put_device(phone("phone-2"), notice_of("aozora", "device_registered", 2)).await.unwrap();
    ledger.record_notice(notice("stopped", 3)).await.unwrap();
    ledger.remark(vec![remark(1, "outcome_repeated", "the same again"); 102]);
    ledger.close().await.unwrap();
    place
}

/// A damage: what it is, the statement that makes it, and the beginning of each line that must be found, in their order.
type Case = (&'static str, String, Vec<String>);

fn of_row(n: u64, what: &str) -> String {
    format!("withdrawals, withdrawal {}: {what}", id(n))
}

fn of_step(number: u32, n: u64, sequence: u64, what: &str) -> String {
    format!("steps, step {number} of withdrawal {} (sequence {sequence}): {what}", id(n))
}

fn seal(number: u32, n: u64, sequence: u64) -> String {
    of_step(number, n, sequence, "it does not fit its seal")
}

fn gap(expected: u64) -> String {
    format!("steps and notices, after sequence {}: sequence {expected} should stand there", expected - 1)
}

/// When the last record of all is gone: a database has a row that says where the order ended, a file ends with the last record that is there.
fn gap_at_the_end(sequence: u64) -> Vec<String> {
    if IS_FILE { vec![] } else { vec![gap(sequence)] }
}

/// Two steps of one withdrawal in each other's place: their seals do not tell.
const SWAPPED: &str = "UPDATE steps SET sequence = 99 WHERE sequence = 2; UPDATE steps SET sequence = 2 WHERE sequence = 3; UPDATE steps SET sequence = 3 WHERE sequence = 99";

fn changed_steps() -> Vec<Case> {
    let (one, two) = (id(1), id(2));
    vec![
        ("a body", "UPDATE steps SET body = x'00' WHERE sequence = 2".into(), vec![seal(2, 1, 2)]),
        (
            "one bit of a body: d and e",
            "UPDATE steps SET body = CAST('hold_grantee 1' AS BLOB) WHERE sequence = 2".into(),
            vec![seal(2, 1, 2)],
        ),
        ("a kind", "UPDATE steps SET kind = 'hold_declined' WHERE sequence = 6".into(), vec![seal(2, 2, 6)]),
        ("a time", "UPDATE steps SET at_ms = at_ms + 1 WHERE sequence = 1".into(), vec![seal(1, 1, 1)]),
        ("an institution", "UPDATE steps SET institution = 'hinode' WHERE sequence = 1".into(), vec![seal(1, 1, 1)]),
        (
            "a seal",
            "UPDATE steps SET seal = zeroblob(32) WHERE sequence = 9".into(),
            vec![seal(1, 3, 9), seal(2, 3, 10)],
        ),
        (
            "a short seal",
            "UPDATE steps SET seal = x'00' WHERE sequence = 10".into(),
            vec![of_step(2, 3, 10, "the value in column seal")],
        ),
        (
            "the order of two steps",
            "UPDATE steps SET number = number + 10 WHERE sequence IN (2, 3);
             UPDATE steps SET number = 3 WHERE sequence = 2; UPDATE steps SET number = 2 WHERE sequence = 3"
                .into(),
            vec![seal(3, 1, 2), seal(2, 1, 3), seal(4, 1, 4)],
        ),
        ("the places of two steps", SWAPPED.into(), vec![of_step(3, 1, 2, "its sequence does not lie after")]),
        (
            "the owners of two steps",
            format!(
                "UPDATE steps SET number = 9 WHERE sequence IN (1, 5);
                 UPDATE steps SET withdrawal = '{two}', number = 1 WHERE sequence = 1;
                 UPDATE steps SET withdrawal = '{one}', number = 1 WHERE sequence = 5"
            ),
            vec![seal(1, 2, 1), seal(2, 1, 2), seal(1, 1, 5), seal(2, 2, 6)],
        ),
    ]
}

fn missing_steps() -> Vec<Case> {
    vec![
        (
            "a step in the middle",
            "DELETE FROM steps WHERE sequence = 2".into(),
            vec![gap(2), of_step(3, 1, 3, "step 2 should stand there, not step 3")],
        ),
        (
            "the last step of a withdrawal",
            "DELETE FROM steps WHERE sequence = 8".into(),
            vec![gap(8), of_row(2, "the row says that step 4 is the last, and step 3 is")],
        ),
        (
            "the last step of all",
            "DELETE FROM steps WHERE sequence = 10".into(),
            vec![gap(10), of_row(3, "the row says that step 2 is the last, and step 1 is")],
        ),
        (
            "all steps of a withdrawal",
            format!("DELETE FROM steps WHERE withdrawal = '{}'", id(3)),
            vec![gap(9), of_row(3, "the withdrawal has no steps")],
        ),
    ]
}

fn changed_notices() -> Vec<Case> {
    let change = |what: &str| format!("UPDATE notices SET {what} WHERE sequence = 12");
    let change_last = |what: &str| format!("UPDATE notices SET {what} WHERE sequence = 13");
    let notice = |sequence: u64| vec![format!("notices, notice at sequence {sequence}: its columns do not fit")];
    let twice = vec!["steps and notices, sequence 10: it stands twice".to_owned()];
    vec![
        ("what a notice says", change("body = x'00'"), notice(12)),
        ("the kind of a notice", change("kind = 'device_revoked'"), notice(12)),
        ("the time of a notice", change("at_ms = at_ms - 1"), notice(12)),
        ("whose matter it is", change("institution = NULL"), notice(12)),
        ("that it is everyone's", change_last("institution = 'aozora'"), notice(13)),
        ("the check of a notice", change("row_check = zeroblob(16)"), notice(12)),
        ("a notice that is gone", "DELETE FROM notices WHERE sequence = 11".into(), vec![gap(11)]),
        (
            "the order of two notices",
            SWAPPED.replace("steps", "notices").replace("= 2", "= 11").replace("= 3", "= 12"),
            [notice(11), notice(12)].concat(),
        ),
        ("a notice in a step's place", change_last("sequence = 10"), [twice, notice(10), gap_at_the_end(13)].concat()),
        ("the last notice of all", "DELETE FROM notices WHERE sequence = 13".into(), gap_at_the_end(13)),
        ("a notice far behind", change_last("sequence = 1 << 60"), [vec![gap(13)], notice(1 << 60)].concat()),
    ]
}

fn changed_rows() -> Vec<Case> {
    let change = |what: &str, n: u64| format!("UPDATE withdrawals SET {what} WHERE id = '{}'", id(n));
    let row = |n| vec![of_row(n, "its columns do not fit its row_check")];
    let of_phone = |name: &str| vec![format!("devices, phone {name} of aozora: its columns do not fit")];
    vec![
        ("a state", change("state = 'reversed'", 1), row(1)),
        ("an amount", change("amount = amount + 1", 3), row(3)),
        ("what was dispensed", change("dispensed = 20000", 1), row(1)),
        ("that it is open", change("open = 1", 2), row(2)),
        ("a day", change("day = day - 1", 2), row(2)),
        ("a last seal", change("last_seal = zeroblob(32)", 2), row(2)),
        ("a row check", change("row_check = zeroblob(16)", 2), row(2)),
        (
            "a row that is gone",
            format!("DELETE FROM withdrawals WHERE id = '{}'", id(3)),
            vec![of_step(1, 3, 9, "its withdrawal has no row"), of_step(2, 3, 10, "its withdrawal has no row")],
        ),
        ("a phone's key", "UPDATE devices SET public_key = x'05' WHERE device = 'phone-2'".into(), of_phone("phone-2")),
        (
            "since when a key is known",
            "UPDATE devices SET key_since_ms = 1 WHERE device = 'phone-1'".into(),
            of_phone("phone-1"),
        ),
        (
            "an activation channel",
            "UPDATE devices SET channel = '' WHERE device = 'phone-1'".into(),
            of_phone("phone-1"),
        ),
        (
            "an attestation",
            "UPDATE devices SET attestation = NULL WHERE device = 'phone-1'".into(),
            of_phone("phone-1"),
        ),
        (
            "a count of attempts",
            "UPDATE devices SET failed_attempts = 1 WHERE device = 'phone-1'".into(),
            of_phone("phone-1"),
        ),
        ("a revocation", "UPDATE devices SET revoked_at_ms = 5 WHERE device = 'phone-1'".into(), of_phone("phone-1")),
        (
            "a remark",
            "UPDATE remarks SET detail = '' WHERE number = 7".into(),
            vec![format!("remarks, remark 7 about withdrawal {}: its columns do not fit", id(1))],
        ),
        (
            "the count of remarks left out",
            "UPDATE remarks_left_out SET count = 1".into(),
            vec![format!("remarks_left_out, the count of withdrawal {}: its columns do not fit", id(1))],
        ),
    ]
}

#[tokio::test]
async fn an_undamaged_ledger_is_found_whole_and_counted() {
    let place = ledger_to_damage().await;
    let mut histories = Vec::new();
    let report = place.verify(&mut |finding| panic!("{finding}"), &mut |withdrawal, steps| {
        histories.push((number_of(withdrawal.id), steps.len()));
        vec![]
    });
    assert_eq!(histories, [(1, 4), (2, 4), (3, 2)]);
    let step_bytes = [1, 2].into_iter().flat_map(whole_life).chain([hold_requested(3), hold_granted(3)]);
    let expected = VerifyReport {
        withdrawals: 3,
        open: 1,
        steps: 10,
        step_bytes: step_bytes.map(|step| step.body.len() as u64).sum(),
        notices: 3,
        devices: 2,
        remarks: 10,
        last_sequence: Sequence(13),
        ..VerifyReport::default()
    };
    assert_eq!(report, expected);
}

#[tokio::test]
async fn every_damage_is_found_and_named() {
    for (what, sql, expected) in
        [changed_steps(), missing_steps(), changed_notices(), changed_rows()].into_iter().flatten()
    {
        let place = ledger_to_damage().await;
        place.damage(&sql);
        let (_, findings) = place.verified();
        assert_eq!(findings.len(), expected.len(), "{what}: {findings:#?}");
        for (found, expected) in findings.iter().zip(expected) {
            assert!(found.starts_with(&expected), "{what}\nfound:    {found}\nexpected: {expected}");
            assert!(!found.contains('\n'), "{found}");
        }
    }
}

/// Every question that touches withdrawal `n`, and what it says.
fn refusals(reader: &LedgerReader, n: u64) -> Vec<(&'static str, Option<ReadError>)> {
    let filter = WithdrawalFilter::default();
    vec![
        ("withdrawal", reader.withdrawal(id(n)).err()),
        ("open_withdrawals", reader.open_withdrawals().err()),
        ("list", reader.list(&filter, None, 10).err()),
        ("for_each_approved_since", reader.for_each_approved_since(at(0), &mut |_| ()).err()),
        ("for_each_first_step_since", reader.for_each_first_step_since(at(0), &mut |_, _| ()).err()),
        ("withdrawal_of_nonce", reader.withdrawal_of_nonce(approved(n).nonce).err()),
        ("feed_after", reader.feed_after(Sequence(0), None, 100).err()),
        ("notices_of", reader.notices_of(&["stopped"], at(0)).err()),
        ("devices", reader.devices().err()),
        ("remarks", reader.remarks(id(n)).err()),
    ]
}

#[tokio::test]
async fn no_read_passes_damage_on() {
    let of_steps = "UPDATE steps SET body = x'00' WHERE sequence IN (2, 10)";
    let of_rows = "UPDATE withdrawals SET amount = amount + 1";
    let approvals = ["for_each_approved_since", "for_each_first_step_since"];
    for (sql, n, refused) in [
        (of_steps, 1, &["withdrawal", "open_withdrawals", "feed_after"][..]),
        ("UPDATE steps SET body = x'00' WHERE sequence = 9", 1, &["open_withdrawals", approvals[1], "feed_after"][..]),
        (
            of_rows,
            1,
            &["withdrawal", "open_withdrawals", "list", approvals[0], approvals[1], "withdrawal_of_nonce"][..],
        ),
        (SWAPPED, 1, &["withdrawal", "feed_after"][..]),
        ("DELETE FROM steps WHERE sequence = 3", 1, &["withdrawal", "feed_after"][..]),
        ("DELETE FROM steps WHERE sequence = 5", 1, &[approvals[1], "feed_after"][..]),
        ("DELETE FROM steps WHERE sequence = 10", 3, &["withdrawal", "open_withdrawals", "feed_after"][..]),
        ("DELETE FROM notices WHERE sequence = 12", 1, &["feed_after"][..]),
        ("UPDATE notices SET sequence = 10 WHERE sequence = 13", 1, &["feed_after", "notices_of"][..]),
        ("UPDATE notices SET body = x'' WHERE sequence = 13", 1, &["feed_after", "notices_of"][..]),
        ("UPDATE devices SET public_key = x'05'", 1, &["devices"][..]),
        ("UPDATE remarks SET at_ms = 7", 1, &["remarks"][..]),
        ("UPDATE remarks_left_out SET count = 7", 1, &["remarks"][..]),
        ("SELECT 1", 1, &[][..]),
    ] {
        let place = ledger_to_damage().await;
        place.damage(sql);
        let reader = place.reader();
        let mut found = Vec::new();
        for (question, refusal) in refusals(&reader, n) {
            let Some(refusal) = refusal else { continue };
            assert!(matches!(refusal, ReadError::Damaged(_)), "{question}: {refusal}");
            let line = refusal.to_string();
            assert!(line.contains("stop the gateway") && line.contains("`cashgate ledger verify`"), "{line}");
            assert!(line.contains("restore from backup"), "{line}");
            found.push(question);
        }
        assert_eq!(found, refused, "{sql}");
    }
}

/// A row of an earlier moment fits its own check. Only its steps tell that it is old.
#[tokio::test]
async fn a_row_from_the_past_is_found() {
    let (ledger, place) = new_ledger();
    ledger.append(vec![hold_requested(1)]).await.unwrap();
    let Some(path) = place.file() else { return };
    let plain = Connection::open(&path).unwrap();
    plain.execute_batch("CREATE TABLE kept AS SELECT * FROM withdrawals").unwrap();
    ledger.append(vec![hold_granted(1), dispense_commanded(1), ended(1)]).await.unwrap();
    ledger.close().await.unwrap();
    drop(plain);
    place.damage("DELETE FROM withdrawals; INSERT INTO withdrawals SELECT * FROM kept; DROP TABLE kept");
    let reader = place.reader();
    let Err(ReadError::Damaged(Damage { fault, .. })) = reader.withdrawal(id(1)) else { panic!("it was passed on") };
    assert_eq!(fault, Fault::LastStep { expected: 1, found: 4 });
    assert!(matches!(reader.open_withdrawals(), Err(ReadError::Damaged(_))));
}

#[tokio::test]
async fn nothing_is_appended_to_a_damaged_withdrawal() {
    let place = ledger_to_damage().await;
    place.damage(&format!("UPDATE withdrawals SET last_seal = zeroblob(32) WHERE id = '{}'", id(3)));
    let ledger = place.open();
    let Err(AppendError::Fatal(failure)) = ledger.append(vec![dispense_commanded(3)]).await else {
        panic!("a step was chained to a damaged row")
    };
    let line = failure.to_string();
    assert!(line.contains(&id(3).to_string()) && line.contains("row_check") && line.contains("verify"), "{line}");
}

#[tokio::test]
async fn a_nonce_claimed_twice_is_found_although_the_schema_was_changed() {
    if !IS_FILE {
        return; // Elsewhere an index sees to it, which no hand can leave out.
    }
    let place = ledger_to_damage().await;
    let nonce_of_one = format!("(SELECT nonce FROM withdrawals WHERE id = '{}')", id(1));
    place.damage(&format!(
        "CREATE TABLE copy AS SELECT * FROM withdrawals; UPDATE copy SET nonce = {nonce_of_one} WHERE id = '{}';
             DROP TABLE withdrawals; ALTER TABLE copy RENAME TO withdrawals",
        id(2)
    ));
    let (_, findings) = place.verified();
    let expected = "withdrawals, nonce 00000000000000000000000000000001: its nonce was claimed 2 times";
    assert!(findings.iter().any(|line| line == expected), "{findings:#?}");
}

#[tokio::test]
async fn damage_to_the_structure_of_the_file_is_found() {
    let place = ledger_to_damage().await;
    let Some(path) = place.file() else { return };
    let plain = Connection::open(&path).unwrap();
    let page: u32 = plain
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'withdrawals_open'", [], |row| row.get(0))
        .unwrap();
    drop(plain);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(page as usize - 1) * 4096..][..200].fill(0xaa);
    std::fs::write(&path, &bytes).unwrap();
    let (_, findings) = place.verified();
    assert!(findings.iter().any(|line| line.starts_with("file: ")), "{findings:#?}");
    let reader = place.reader();
    let error = reader.open_withdrawals().unwrap_err();
    assert!(error.to_string().contains("the file is malformed") && error.to_string().contains("restore"), "{error}");
}

#[tokio::test]
async fn what_the_history_check_says_is_handed_out() {
    let place = ledger_to_damage().await;
    let mut findings = Vec::new();
    place.verify(&mut |finding| findings.push(finding), &mut |withdrawal, _| match withdrawal.row.open {
        true => vec!["no hold".to_owned()],
        false => vec![],
    });
    assert_eq!(findings, [Finding::History { withdrawal: id(3), fault: "no hold".to_owned() }]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_ledger_is_checked_beside_its_writer() {
    let (ledger, place) = new_ledger();
    for n in 0..300 {
        ledger.append(whole_life(n)).await.unwrap();
    }
    let writing = tokio::spawn({
        let ledger = ledger.clone();
        async move {
            for n in 300..1300 {
                ledger.append(whole_life(n)).await.unwrap();
                ledger.remark(vec![remark(n, "asked", "x")]);
            }
        }
    });
    let checked = tokio::task::spawn_blocking(move || place.verified()).await.unwrap();
    writing.await.unwrap();
    let (report, findings) = checked;
    assert_eq!(findings, Vec::<String>::new());
    assert!(
        (report.running || !IS_FILE) && report.steps >= 1200 && report.steps == report.last_sequence.0,
        "{report:?}"
    );
    ledger.append(vec![StepRecord { body: vec![], ..hold_requested(5000) }]).await.unwrap();
}

pub(crate) fn remark(n: u64, kind: &'static str, detail: &str) -> Remark {
    Remark { withdrawal: id(n), at: at(n), kind, detail: detail.to_owned() }
}
