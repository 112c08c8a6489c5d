-- Withdrawals, their steps, remarks about them, and the phones that may approve them.
--
-- Written to be read: `sqlite3 -readonly ledger.db 'select state, count(*) from withdrawals group by 1'` is true while the gateway runs.
-- Never without -readonly: whoever closes a stopped ledger last folds its log and deletes it, a damaged one with what it may still tell.
-- Ids are text as every log and screen shows them. A nonce is the one exception: its index is the only one in random order, so it
-- is kept at 16 bytes (write x'00ff...' to look one up, hex(nonce) to see it).
--
-- Seals and row checks find damage (a flipped bit, a lost step, a hand that helped): `cashgate ledger verify` tells where. How they are
-- made stands in src/seal.rs and src/row_check.rs. The row_check is the last column of its table and covers all before it.

CREATE TABLE withdrawals (
    id             TEXT    NOT NULL PRIMARY KEY CHECK (length(id) = 36), -- UUID version 7: in the order of time
    state          TEXT    NOT NULL CHECK (state <> ''),                 -- after the last step
    open           INTEGER NOT NULL CHECK (open IN (0, 1)),              -- 0: ended, and the row never changes again
    institution    TEXT    NOT NULL,
    account        TEXT    NOT NULL,
    device         TEXT    NOT NULL,
    atm            TEXT    NOT NULL,
    qr_session     TEXT    NOT NULL CHECK (length(qr_session) = 36),
    nonce          BLOB    NOT NULL UNIQUE CHECK (length(nonce) = 16),   -- of the QR token: claimed at most once
    currency       TEXT    NOT NULL CHECK (length(currency) = 3),        -- ISO 4217, of both amounts
    amount         INTEGER NOT NULL CHECK (amount >= 0),                 -- approved, in minor units
    dispensed      INTEGER CHECK (dispensed >= 0),                       -- what left the machine, in minor units; NULL: not known
    hold           TEXT,                                                 -- core banking's reference of the hold; NULL: none granted
    day            INTEGER NOT NULL,    -- the institution's calendar day of the approval: date(day * 86400, 'unixepoch')
    approved_at_ms INTEGER NOT NULL,    -- datetime(approved_at_ms / 1000, 'unixepoch')
    policy_version TEXT    NOT NULL,    -- the policy that let it pass
    key_id         TEXT    NOT NULL CHECK (length(key_id) = 8),          -- the HSM key that signed the QR token, in hexadecimal
    last_step      INTEGER NOT NULL CHECK (last_step >= 1),
    changed_at_ms  INTEGER NOT NULL,    -- the time of the last step
    last_seal      BLOB    NOT NULL CHECK (length(last_seal) = 32),      -- of the last step
    row_check      BLOB    NOT NULL CHECK (length(row_check) = 16)
) STRICT;

-- What recovery reads: its size is that of what is open, whatever the history.
CREATE INDEX withdrawals_open ON withdrawals (id) WHERE open = 1;

-- What rebuilds the limits: the days that still count, not the years before them.
CREATE INDEX withdrawals_spent ON withdrawals (day) WHERE open = 0 AND dispensed > 0;

CREATE TABLE steps (
    sequence    INTEGER NOT NULL PRIMARY KEY,  -- over all withdrawals: 1, 2, 3 ... without a gap, in the order of commits
    withdrawal  TEXT    NOT NULL REFERENCES withdrawals (id) DEFERRABLE INITIALLY DEFERRED,
    number      INTEGER NOT NULL,              -- within the withdrawal: 1, 2, 3 ... without a gap
    at_ms       INTEGER NOT NULL,
    kind        TEXT    NOT NULL CHECK (kind <> ''),
    institution TEXT    NOT NULL,
    body        BLOB    NOT NULL,
    seal        BLOB    NOT NULL CHECK (length(seal) = 32),  -- SHA-256 over the step and the seal of the withdrawal's step before it
    UNIQUE (withdrawal, number)
) STRICT;

CREATE TABLE devices (
    institution      TEXT    NOT NULL,
    device           TEXT    NOT NULL,
    public_key       BLOB    NOT NULL,
    registered_at_ms INTEGER NOT NULL,
    revoked_at_ms    INTEGER,                  -- NULL: in force
    row_check        BLOB    NOT NULL CHECK (length(row_check) = 16),
    PRIMARY KEY (institution, device)
) STRICT, WITHOUT ROWID;

-- Messages about a withdrawal that changed nothing: repeated commands, questions, late answers. Evidence for whoever resolves a suspect.
-- A remark may come after the end. The first hundred of a withdrawal are kept, ten of a kind at most.
CREATE TABLE remarks (
    withdrawal TEXT    NOT NULL REFERENCES withdrawals (id),
    number     INTEGER NOT NULL,               -- within the withdrawal: 1, 2, 3 ...
    at_ms      INTEGER NOT NULL,
    kind       TEXT    NOT NULL CHECK (kind <> ''),
    detail     TEXT    NOT NULL,
    row_check  BLOB    NOT NULL CHECK (length(row_check) = 16),
    PRIMARY KEY (withdrawal, number)
) STRICT, WITHOUT ROWID;

-- How many remarks were not kept, at least, for the withdrawals that had more: written when the count reaches a power of two.
CREATE TABLE remarks_left_out (
    withdrawal TEXT    NOT NULL PRIMARY KEY REFERENCES withdrawals (id),
    count      INTEGER NOT NULL CHECK (count >= 1),
    row_check  BLOB    NOT NULL CHECK (length(row_check) = 16)
) STRICT, WITHOUT ROWID;

-- The writer checks all of the following before it writes. The triggers hold whoever comes with another program,
-- `INSERT OR REPLACE` included, which deletes without asking a delete trigger.

CREATE TRIGGER steps_follow_each_other BEFORE INSERT ON steps BEGIN
    SELECT CASE
        WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM steps)
            THEN RAISE(ABORT, 'steps are append-only: the sequence must be the next one')
        WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM steps WHERE withdrawal = NEW.withdrawal)
            THEN RAISE(ABORT, 'steps are append-only: the number must be the next one of its withdrawal')
        WHEN (SELECT open FROM withdrawals WHERE id = NEW.withdrawal) = 0
            THEN RAISE(ABORT, 'the withdrawal has ended')
    END;
END;

CREATE TRIGGER steps_do_not_change BEFORE UPDATE ON steps BEGIN
    SELECT RAISE(ABORT, 'steps are append-only');
END;

CREATE TRIGGER steps_stay BEFORE DELETE ON steps BEGIN
    SELECT RAISE(ABORT, 'steps are append-only');
END;

CREATE TRIGGER withdrawals_begin_once BEFORE INSERT ON withdrawals
WHEN EXISTS (SELECT 1 FROM withdrawals WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM withdrawals WHERE nonce = NEW.nonce) BEGIN
    SELECT RAISE(ABORT, 'the withdrawal exists, or its nonce was claimed');
END;

CREATE TRIGGER withdrawals_end_once BEFORE UPDATE ON withdrawals WHEN OLD.open = 0 BEGIN
    SELECT RAISE(ABORT, 'the withdrawal has ended');
END;

CREATE TRIGGER withdrawals_keep_their_approval BEFORE UPDATE OF id, institution, account, device, atm, qr_session, nonce, currency,
    amount, day, approved_at_ms, policy_version, key_id ON withdrawals BEGIN
    SELECT RAISE(ABORT, 'what was approved does not change');
END;

CREATE TRIGGER withdrawals_stay BEFORE DELETE ON withdrawals BEGIN
    SELECT RAISE(ABORT, 'withdrawals are never deleted');
END;

CREATE TRIGGER remarks_do_not_change BEFORE UPDATE ON remarks BEGIN
    SELECT RAISE(ABORT, 'remarks are append-only');
END;

CREATE TRIGGER remarks_stay BEFORE DELETE ON remarks BEGIN
    SELECT RAISE(ABORT, 'remarks are append-only');
END;

CREATE TRIGGER remarks_follow_each_other BEFORE INSERT ON remarks
WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM remarks WHERE withdrawal = NEW.withdrawal) BEGIN
    SELECT RAISE(ABORT, 'remarks are append-only: the number must be the next one of its withdrawal');
END;
