//! Ledgers of earlier schemas, made by the statements that made them then.

use std::path::Path;

use cashgate_ledger::{DeviceRow, Ledger, LedgerOpenError, LedgerReader, Notice, Sequence};
use rusqlite::Connection;

#[allow(unused_imports)]
use crate::on_file::store::*;
use crate::sample::*;

const OF_SCHEMA_1: &str = include_str!("../../migrations/sqlite/0001_withdrawals.sql");
const OF_SCHEMA_2: &str = include_str!("../../migrations/sqlite/0002_key_events.sql");

/// As a Cashgate of those days left them: one phone in force, one revoked. The checks were computed by a few lines of another language.
const PHONES: &str = "INSERT INTO devices VALUES
    ('aozora', 'phone-1', CAST(replace(hex(zeroblob(65)), '00', char(4)) AS BLOB), 1752885361690, NULL, x'2db7c70ea3fee458c8a6e8c95742b34d'),
    ('aozora', 'phone-2', CAST(replace(hex(zeroblob(65)), '00', char(5)) AS BLOB), 1752885361690, 1752885362690, x'575c86afb7716150ad38aee1d8f8c975')";

/// A ledger of schema `version` with withdrawals 1 (ended) and 2 (open), and the phones.
async fn ledger_of_schema(version: i64, path: &Path) {
    let (today, place) = new_ledger();
    let now = place.file().unwrap();
    today.append(whole_life(1)).await.unwrap();
    today.append(vec![hold_requested(2)]).await.unwrap();
    today.close().await.unwrap();
    let then = Connection::open(path).unwrap();
    then.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    then.execute_batch(OF_SCHEMA_1).unwrap();
    if version == 2 {
        then.execute_batch(OF_SCHEMA_2).unwrap();
    }
    then.pragma_update(None, "application_id", i64::from(u32::from_be_bytes(*b"CASH"))).unwrap();
    then.pragma_update(None, "user_version", version).unwrap();
    // Neither steps nor withdrawals have changed since. Steps first: nothing follows the end of a withdrawal.
    then.execute("ATTACH ?1 AS now", [now.to_str().unwrap()]).unwrap();
    then.execute_batch(
        "BEGIN; INSERT INTO main.steps SELECT * FROM now.steps ORDER BY sequence;
         INSERT INTO main.withdrawals SELECT * FROM now.withdrawals; COMMIT",
    )
    .unwrap();
    then.execute_batch(PHONES).unwrap();
}

fn carried_over(name: &str, key: u8) -> DeviceRow {
    DeviceRow { public_key: vec![key; 65], channel: String::new(), attestation: None, ..phone(name) }
}

#[tokio::test]
async fn a_ledger_of_an_earlier_schema_is_brought_up_to_date_by_the_writer_alone() {
    for version in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        ledger_of_schema(version, &path).await;
        let reader = LedgerReader::open(&path, 1).err().unwrap();
        assert!(matches!(reader, LedgerOpenError::OlderSchema { known: 4, .. }), "{reader}");

        let ledger = Ledger::open(&path, options()).unwrap();
        let revoked = DeviceRow { revoked_at: Some(at(1)), ..carried_over("phone-2", 5) };
        assert_eq!(ledger.reader().devices().unwrap(), [carried_over("phone-1", 4), revoked]);
        assert_eq!(ledger.reader().withdrawal(id(1)).unwrap().unwrap().0.row, closed(1));
        assert_eq!(ledger.reader().key_events().unwrap(), []);
        assert_eq!(ledger.record_notice(notice("stopped", 1)).await, Ok(Sequence(6)));
        assert_eq!(ledger.append(vec![hold_granted(2)]).await, Ok(Sequence(7)));
        let locked = DeviceRow { locked_at: Some(at(2)), ..carried_over("phone-1", 4) };
        assert_eq!(ledger.put_device(locked, notice("device_locked", 2)).await, Ok(Sequence(8)));
        ledger.close().await.unwrap();
        let (report, findings) = verified(&path);
        assert_eq!(findings, Vec::<String>::new());
        assert_eq!((report.withdrawals, report.steps, report.notices, report.devices), (2, 6, 2, 2));

        let left = "SELECT group_concat(name) FROM sqlite_schema WHERE name IN ('devices_before', 'withdrawals_spent')";
        let left: Option<String> = Connection::open(&path).unwrap().query_row(left, [], |row| row.get(0)).unwrap();
        assert_eq!(left, None);
        Ledger::open(&path, options()).unwrap().close().await.unwrap();
    }
}

/// The third schema knew no publications; nothing else has changed since.
#[tokio::test]
async fn a_ledger_from_before_publications_takes_them_and_keeps_the_rest() {
    let (ledger, place) = new_ledger();
    let path = place.file().unwrap();
    ledger.append(whole_life(1)).await.unwrap();
    ledger.close().await.unwrap();
    let then = Connection::open(&path).unwrap();
    then.execute_batch("DROP TABLE publications; PRAGMA user_version = 3").unwrap();
    drop(then);
    let ledger = Ledger::open(&path, options()).unwrap();
    assert_eq!(ledger.reader().withdrawal(id(1)).unwrap().unwrap().0.row, closed(1));
    assert_eq!(ledger.reader().publications().unwrap(), []);
    ledger.close().await.unwrap();
    let (report, findings) = verified(&path);
    assert_eq!((report.withdrawals, findings), (1, Vec::<String>::new()));
}

/// A new check over a damaged row would make it whole.
#[tokio::test]
async fn a_damaged_phone_is_not_carried_over_and_the_ledger_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    ledger_of_schema(2, &path).await;
    let plain = Connection::open(&path).unwrap();
    plain.execute_batch("UPDATE devices SET revoked_at_ms = NULL WHERE device = 'phone-2'").unwrap();
    let error = Ledger::open(&path, options()).err().unwrap();
    assert!(matches!(error, LedgerOpenError::Damaged { .. }), "{error}");
    let line = error.to_string();
    assert!(line.contains("phone phone-2 of aozora") && line.contains("restore from backup"), "{line}");
    let number = |sql: &str| plain.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(number("PRAGMA user_version"), 2);
    assert_eq!(number("SELECT count(registered_at_ms) FROM devices"), 2);
    assert_eq!(number("SELECT count(*) FROM sqlite_schema WHERE name IN ('notices', 'devices_before')"), 0);
    drop(plain);

    let plain = Connection::open(&path).unwrap();
    plain.execute_batch("UPDATE devices SET revoked_at_ms = 1752885362690 WHERE device = 'phone-2'").unwrap();
    let ledger = Ledger::open(&path, options()).unwrap();
    ledger.record_notice(Notice { body: vec![], ..notice("repaired", 1) }).await.unwrap();
}
