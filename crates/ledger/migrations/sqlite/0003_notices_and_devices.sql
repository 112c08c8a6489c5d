-- Notices beside steps in one sequence, and phones with all that their age and their trust are judged by.
--
-- A notice is what happened and is no step of a withdrawal: a phone registered, an approval refused, a stop, an alarm. Steps and notices
-- are numbered together, so the event feed is one order without a gap:
-- `select sequence, kind from steps union all select sequence, kind from notices order by 1`

CREATE TABLE notices (
    sequence    INTEGER NOT NULL PRIMARY KEY,             -- over all steps and notices: 1, 2, 3 ... without a gap
    at_ms       INTEGER NOT NULL,                         -- datetime(at_ms / 1000, 'unixepoch')
    kind        TEXT    NOT NULL CHECK (kind <> ''),
    institution TEXT,                                     -- NULL: concerns the whole gateway, and every institution sees it
    body        BLOB    NOT NULL CHECK (length(body) <= 8192),
    row_check   BLOB    NOT NULL CHECK (length(row_check) = 16)
) STRICT;

-- What a start reads: every stop and release there was, the refusals of some weeks. Notices are far fewer than steps.
CREATE INDEX notices_of_kind ON notices (kind, at_ms);

CREATE TRIGGER notices_follow_each_other BEFORE INSERT ON notices
WHEN NEW.sequence IS NOT 1 + max((SELECT coalesce(max(sequence), 0) FROM steps), (SELECT coalesce(max(sequence), 0) FROM notices)) BEGIN
    SELECT RAISE(ABORT, 'notices are append-only: the sequence must be the next one over steps and notices');
END;

CREATE TRIGGER notices_do_not_change BEFORE UPDATE ON notices BEGIN
    SELECT RAISE(ABORT, 'notices are append-only');
END;

CREATE TRIGGER notices_stay BEFORE DELETE ON notices BEGIN
    SELECT RAISE(ABORT, 'notices are append-only');
END;

-- As it was, but a step also follows the last notice.
DROP TRIGGER steps_follow_each_other;
CREATE TRIGGER steps_follow_each_other BEFORE INSERT ON steps BEGIN
    SELECT CASE
        WHEN NEW.sequence IS NOT 1 + max((SELECT coalesce(max(sequence), 0) FROM steps), (SELECT coalesce(max(sequence), 0) FROM notices))
            THEN RAISE(ABORT, 'steps are append-only: the sequence must be the next one over steps and notices')
        WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM steps WHERE withdrawal = NEW.withdrawal)
            THEN RAISE(ABORT, 'steps are append-only: the number must be the next one of its withdrawal')
        WHEN (SELECT open FROM withdrawals WHERE id = NEW.withdrawal) = 0
            THEN RAISE(ABORT, 'the withdrawal has ended')
    END;
END;

-- Limits and patterns reach back over weeks and count what was refused by core banking, too: they are rebuilt from all withdrawals
-- approved since a moment, which the primary key finds.
DROP INDEX withdrawals_spent;

-- Carried over, with new checks, by src/carry_over.rs, which then drops devices_before.
ALTER TABLE devices RENAME TO devices_before;

CREATE TABLE devices (
    institution      TEXT    NOT NULL,
    device           TEXT    NOT NULL,
    public_key       BLOB    NOT NULL,
    key_since_ms     INTEGER NOT NULL,         -- when the gateway first saw this key: a new key starts anew
    registered_at_ms INTEGER NOT NULL,         -- when the gateway first saw the phone
    bound_at_ms      INTEGER NOT NULL,         -- when the institution says that it bound the phone to its customer
    channel          TEXT    NOT NULL,         -- the institution's word for how the app was activated; empty: it gave none
    attestation      INTEGER CHECK (attestation IN (0, 1)), -- of the phone's key: 1 passed, 0 failed, NULL not given
    failed_attempts  INTEGER NOT NULL CHECK (failed_attempts BETWEEN 0 AND 255), -- without a success between them
    locked_at_ms     INTEGER,                  -- after too many of them; NULL: not locked
    revoked_at_ms    INTEGER,                  -- NULL: in force
    row_check        BLOB    NOT NULL CHECK (length(row_check) = 16),
    PRIMARY KEY (institution, device)
) STRICT, WITHOUT ROWID;
