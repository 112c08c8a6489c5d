//! What another program sees, and what it cannot do.

use rusqlite::{Connection, OpenFlags};

#[allow(unused_imports)]
use crate::on_file::store::*;
use crate::sample::*;

#[tokio::test]
async fn plain_sql_tells_the_truth_while_the_gateway_runs() {
    let (ledger, place) = new_ledger();
    let path = place.file().unwrap();
    let plain = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let states = || -> Vec<(String, i64)> {
        let mut statement = plain.prepare("select state, count(*) from withdrawals group by 1").unwrap();
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(states(), []);
    for n in 0..5 {
        ledger.append(vec![hold_requested(n)]).await.unwrap();
    }
    assert_eq!(states(), [("hold_requested".to_owned(), 5)]);
    ledger.append(vec![hold_granted(0), dispense_commanded(0), ended(0)]).await.unwrap();
    ledger.append(vec![hold_granted(1)]).await.unwrap();
    let expected = [("closed", 1), ("dispensing", 1), ("hold_requested", 3)];
    assert_eq!(states(), expected.map(|(state, count)| (state.to_owned(), count)));

    let readable: String = plain
        .query_row(
            "select id || ' ' || amount || ' ' || currency || ' ' || date(day * 86400, 'unixepoch') || ' ' || key_id
             from withdrawals where nonce = x'00000000000000000000000000000001'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(readable, format!("{} 30000 JPY 2026-09-21 abcd0001", id(1)));
}

#[tokio::test]
async fn plain_sql_cannot_rewrite_history() {
    let (ledger, place) = new_ledger();
    let path = place.file().unwrap();
    ledger.append(whole_life(1)).await.unwrap();
    ledger.append(vec![hold_requested(2)]).await.unwrap();
    let before = ledger.reader().withdrawal(id(1)).unwrap();
    let plain = Connection::open(&path).unwrap();
    let refusal = |sql: &str| plain.execute_batch(sql).expect_err(sql).to_string();
    let check = |sql: &str, expected: &str| {
        let refusal = refusal(sql);
        assert!(refusal.contains(expected), "{sql}\nwas refused for: {refusal}");
    };
    check("UPDATE steps SET body = x'00' WHERE sequence = 1", "steps are append-only");
    check("UPDATE steps SET at_ms = at_ms + 1", "steps are append-only");
    check("DELETE FROM steps WHERE sequence = 5", "steps are append-only");
    check("DELETE FROM steps", "steps are append-only");
    let columns = "(sequence, withdrawal, number, at_ms, kind, institution, body)";
    let (first, second) = (id(1), id(2));
    for (sequence, withdrawal, number, reason) in [
        (5, second, 2, "the sequence must be the next one"), // replaces the last step
        (1, second, 2, "the sequence must be the next one"),
        (7, second, 2, "the sequence must be the next one"),
        (6, second, 1, "the number must be the next one"),
        (6, second, 3, "the number must be the next one"),
        (6, first, 5, "the withdrawal has ended"),
    ] {
        check(
            &format!(
                "REPLACE INTO steps {columns} VALUES ({sequence}, '{withdrawal}', {number}, 0, 'x', 'aozora', x'')"
            ),
            reason,
        );
    }
    check(&format!("UPDATE withdrawals SET state = 'open' WHERE id = '{first}'"), "the withdrawal has ended");
    check(&format!("UPDATE withdrawals SET dispensed = 0 WHERE id = '{first}'"), "the withdrawal has ended");
    check(&format!("UPDATE withdrawals SET open = 1 WHERE id = '{first}'"), "the withdrawal has ended");
    check(&format!("UPDATE withdrawals SET amount = 1 WHERE id = '{second}'"), "what was approved does not change");
    check(&format!("UPDATE withdrawals SET account = 'x' WHERE id = '{second}'"), "what was approved does not change");
    check(&format!("DELETE FROM withdrawals WHERE id = '{first}'"), "withdrawals are never deleted");
    check(&format!("DELETE FROM withdrawals WHERE id = '{second}'"), "withdrawals are never deleted");
    check(
        &format!("REPLACE INTO withdrawals SELECT * FROM withdrawals WHERE id = '{first}'"),
        "the withdrawal exists, or its nonce was claimed",
    );
    check(&format!("UPDATE withdrawals SET dispensed = 'many' WHERE id = '{second}'"), "cannot store TEXT value");

    assert_eq!(ledger.reader().withdrawal(id(1)).unwrap(), before);
    ledger.append(vec![hold_granted(2)]).await.unwrap();
}
