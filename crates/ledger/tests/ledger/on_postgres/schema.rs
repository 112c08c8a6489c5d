//! A schema that this program did not make.

use cashgate_ledger::{Ledger, LedgerReader, migrate};

use super::store::*;

#[tokio::test]
async fn a_schema_that_another_build_made_is_refused_before_anything_is_written() {
    for change in [
        "UPDATE ledger_schema SET sha256 = repeat('0', 64) WHERE version = 2",
        // Of the time before it was kept.
        "ALTER TABLE ledger_schema DROP COLUMN sha256",
    ] {
        let (ledger, place) = new_ledger();
        ledger.close().await.unwrap();
        let _ = place.sql(change);
        let options = place.options();
        let said = [
            Ledger::connect(&options).err().map(|error| error.to_string()),
            LedgerReader::connect(&options).err().map(|error| error.to_string()),
            migrate(&options).err().map(|error| error.to_string()),
        ];
        for said in said {
            let said = said.unwrap_or_default();
            assert!(
                said.contains("that is not this program's") && said.contains("use the build that made it"),
                "{change}: {said}"
            );
        }
        assert_eq!(place.sql("SELECT count(*) FROM replicas WHERE incarnation > 1"), "0", "{change}");
    }
}

#[tokio::test]
async fn a_later_schema_is_taken_if_it_says_that_this_program_may() {
    let (ledger, place) = new_ledger();
    ledger.close().await.unwrap();
    let next = "INSERT INTO ledger_schema SELECT max(version) + 1, max(oldest_program), 'of a later program' FROM ledger_schema";
    let _ = place.sql(next);
    Ledger::connect(&place.options()).unwrap().close().await.unwrap();
    let _ = place.sql(
        "UPDATE ledger_schema SET oldest_program = version WHERE version = (SELECT max(version) FROM ledger_schema)",
    );
    for error in [Ledger::connect(&place.options()).err(), migrate(&place.options()).err()] {
        let said = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(said.contains("has schema version"), "{said}");
    }
}
