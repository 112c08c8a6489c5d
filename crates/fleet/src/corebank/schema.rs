//! The bank's tables.

/// Amounts are minor units. `held` is what was ever taken aside (zero if declined, or if only a reversal came); what has been given back
/// is `held - confirmed` of a hold that has ended. `posted_at_ms` is when the standing was reached.
pub(super) const SCHEMA: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE IF NOT EXISTS accounts (
        account  TEXT PRIMARY KEY,
        currency TEXT NOT NULL,
        opening  INTEGER NOT NULL CHECK (opening >= 0),
        balance  INTEGER NOT NULL CHECK (balance >= 0)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS holds (
        withdrawal_id TEXT PRIMARY KEY,
        account       TEXT NOT NULL,
        currency      TEXT NOT NULL,
        asked         INTEGER NOT NULL,
        held          INTEGER NOT NULL CHECK (held IN (0, asked)),
        confirmed     INTEGER NOT NULL CHECK (confirmed BETWEEN 0 AND held),
        standing      TEXT NOT NULL CHECK (standing IN ('held', 'confirmed', 'reversed', 'declined')),
        code          TEXT NOT NULL,
        posted_at_ms  INTEGER
    ) STRICT;
    CREATE INDEX IF NOT EXISTS holds_by_account ON holds (account);
";

/// What a database of an earlier version lacks: whether it does, and how it gets it. Its old postings stay without a time.
pub(super) const LACKS_POSTED_AT: &str =
    "SELECT count(*) = 0 FROM pragma_table_info('holds') WHERE name = 'posted_at_ms'";
pub(super) const ADD_POSTED_AT: &str = "ALTER TABLE holds ADD COLUMN posted_at_ms INTEGER";
