-- Withdrawals, their steps, and the phones that may approve them.
--
-- Written to be read: `sqlite3 ledger.db 'select state, count(*) from withdrawals group by 1'` is true while the gateway runs.
-- Ids are text as every log and screen shows them. A nonce is the one exception: its index is the only one in random order, so it
-- is kept at 16 bytes (write x'00ff...' to look one up, hex(nonce) to see it).

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
    changed_at_ms  INTEGER NOT NULL     -- the time of the last step
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
    UNIQUE (withdrawal, number)
) STRICT;

CREATE TABLE devices (
    institution      TEXT    NOT NULL,
    device           TEXT    NOT NULL,
    public_key       BLOB    NOT NULL,
    registered_at_ms INTEGER NOT NULL,
    revoked_at_ms    INTEGER,                  -- NULL: in force
    PRIMARY KEY (institution, device)
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
