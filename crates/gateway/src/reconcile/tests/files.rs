//! What the files may look like, and what is said of one that does not.

use std::path::PathBuf;

use super::super::{
    ATM_COUNTERS_HEADER, CORE_BANKING_HEADER, ReconcileError, counter as counters, posting as postings,
};
use super::*;

const W1: &str = "01981f2e-7c1a-7000-8000-000000000001";

fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.csv");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn read_postings(bytes: &[u8]) -> Result<Vec<(WithdrawalId, Posting)>, ReconcileError> {
    let (_folder, path) = file(bytes);
    let mut rows = Vec::new();
    postings::read(&path, |row| rows.push(row)).map(|()| rows)
}

fn read_counters(bytes: &[u8]) -> Result<usize, ReconcileError> {
    let (_folder, path) = file(bytes);
    let mut rows = 0;
    counters::read(&path, |_| rows += 1).map(|()| rows)
}

/// What is said, less the name of the file.
fn said<T: std::fmt::Debug>(result: Result<T, ReconcileError>) -> String {
    result.unwrap_err().to_string().split_once("file.csv, ").unwrap().1.to_owned()
}

#[test]
fn marks_line_ends_quotes_order_and_further_columns_make_no_difference() {
    let header = CORE_BANKING_HEADER.join(",");
    let row = format!("{W1},acct-1,JPY,30000,20000,confirmed,1795000000000");
    let expected = Posting {
        confirmed: 20_000,
        posted_at_unix_ms: Some(1_795_000_000_000),
        ..posting(Standing::Confirmed, 30_000, 0)
    };
    let quoted = format!("\"{W1}\",\"acct-1\",\"JPY\",\"30000\",\"20000\",\"confirmed\",\"1795000000000\"");
    let mixed = format!(
        "branch,standing,posted_at_unix_ms,currency,confirmed_minor_units,account,withdrawal_id,held_minor_units\n\
        \"Shibuya, \"\"1\"\"\",confirmed,1795000000000,JPY,20000,acct-1,{W1},30000"
    );
    for text in [
        format!("{header}\n{row}\n"),
        format!("{header}\n{row}"),
        format!("\u{feff}{header}\r\n{row}\r\n"),
        format!("\u{feff}\"{}\"\r\n{quoted}\r\n", CORE_BANKING_HEADER.join("\",\"")),
        mixed,
    ] {
        let rows = read_postings(text.as_bytes()).unwrap();
        assert_eq!(rows, [(W1.parse().unwrap(), expected)], "{text:?}");
    }
    assert_eq!(read_postings(format!("{header}\n").as_bytes()).unwrap(), []);
}

#[test]
fn a_header_that_lacks_a_column_is_refused_with_what_it_must_be() {
    let all = CORE_BANKING_HEADER.join(",");
    let lacking = "withdrawal_id,account,currency,held_minor_units,posted_at_unix_ms";
    let expected = format!(
        "line 1: the header lacks confirmed_minor_units, standing; it must name these columns, separated by commas: {all}"
    );
    assert_eq!(said(read_postings(format!("{lacking}\n").as_bytes())), expected);
    for wrong in [String::new(), all.replace(',', ";"), format!("{W1},acct-1,JPY,1,1,held,\n")] {
        assert!(said(read_postings(wrong.as_bytes())).starts_with("line 1: the header lacks"), "{wrong:?}");
    }
    let twice = said(read_postings(format!("{all},currency\n").as_bytes()));
    assert_eq!(twice, "line 1: the column currency is there twice; leave one");
    let utf_16: Vec<u8> = all.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(said(read_postings(&utf_16)).starts_with("line 1: the header lacks"));
}

#[test]
fn a_bad_value_is_refused_with_its_place_and_without_repeating_it() {
    let good = [W1, "acct-1", "JPY", "30000", "0", "held", ""];
    let check = |column: &str, value: &str, expected: &str| {
        let mut row = good;
        row[CORE_BANKING_HEADER.iter().position(|name| *name == column).unwrap()] = value;
        let text = format!("{}\r\n{}\r\n{}\r\n", CORE_BANKING_HEADER.join(","), good.join(","), row.join(","));
        let said = said(read_postings(text.as_bytes()));
        assert!(said.starts_with(&format!("line 3, column {column}: {expected}")), "{value:?}: {said}");
        assert!(value.len() < 3 || !said.contains(value), "{said}");
    };
    check("withdrawal_id", "acct-secret", "must be a UUID");
    check("withdrawal_id", "", "must be a UUID");
    check("account", "", "is empty, but the row has an amount");
    check("currency", "yen", "must be an ISO 4217 code");
    check("currency", "", "is empty, but the row has an amount");
    for amount in ["", "-1", "+1", "1.5", "1e3", " 1", "1,000\"", "1000000000001", "99999999999999999999", "１"] {
        if amount.contains(',') {
            continue;
        }
        check("held_minor_units", amount, "must be a whole number of minor units");
        check("confirmed_minor_units", amount, "must be a whole number of minor units");
    }
    check("standing", "HELD", "must be held, confirmed, reversed or declined");
    check("posted_at_unix_ms", "2026-11-22", "must be milliseconds since");
}

#[test]
fn a_line_that_is_no_row_is_refused() {
    let header = ATM_COUNTERS_HEADER.join(",");
    let good = format!("A1,{W1},JPY,30000,0");
    assert_eq!(read_counters(format!("{header}\n{good}\n\nA2,{W1},,0,\n").as_bytes()).unwrap(), 2);
    let check = |line: &[u8], expected: &str| {
        let text = [format!("{header}\n{good}\n").as_bytes(), line, b"\n"].concat();
        let said = said(read_counters(&text));
        assert!(said.starts_with(expected), "{said}");
    };
    check(b"A1", "line 3: has 1 fields and the header has 5; a field that holds a comma");
    check(format!("{good},more").as_bytes(), "line 3: has 6 fields and the header has 5");
    check(b"\xff,x,JPY,0,0", "line 3: is not UTF-8");
    check(format!("A 1,{W1},JPY,30000,0").as_bytes(), "line 3, column atm_id: must have 1 to 64");
    check(format!("A1,{W1},,30000,0").as_bytes(), "line 3, column currency: is empty");
    check(format!("A1,{W1},JPY,30000,30001").as_bytes(), "line 3, column retracted_minor_units: is more than");
    check(format!("A1,{W1},JPY,,0").as_bytes(), "line 3, column presented_minor_units: must be a whole");
    check(format!("\r\n\r\n\"A\r\n1\",{W1},JPY,0,0\r\nA1").as_bytes(), "line 5, column atm_id");
    // Never closed: the rest of the file is one field.
    check(format!("\"A1,{W1},JPY,1,0").as_bytes(), "line 3: has 1 fields");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let missing = postings::read(&PathBuf::from("no/such/file.csv"), |_| {}).unwrap_err().to_string();
    assert!(missing.starts_with("no/such/file.csv: No such file"), "{missing}");
}
