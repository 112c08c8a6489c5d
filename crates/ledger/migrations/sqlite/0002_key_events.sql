-- What happened to the keys that sign QR tokens, and who did it: the audit trail of key rotation.
--
-- `select datetime(at_ms / 1000, 'unixepoch') as at, actor, action, key_id, label, reason from key_events` tells the story.
-- Seals are made as those of steps, chained over the whole table: see src/key_events.rs.

CREATE TABLE key_events (
    sequence    INTEGER NOT NULL PRIMARY KEY,                          -- 1, 2, 3 ... without a gap
    at_ms       INTEGER NOT NULL,                                      -- datetime(at_ms / 1000, 'unixepoch')
    actor       TEXT    NOT NULL CHECK (actor <> ''),                  -- an operator's name, or gateway
    action      TEXT    NOT NULL CHECK (action IN ('published', 'signing', 'retired', 'retired_at_once')),
    key_id      TEXT    NOT NULL CHECK (length(key_id) = 8),           -- in hexadecimal: the thumbprint's beginning
    label       TEXT    NOT NULL CHECK (label <> ''),                  -- what the HSM knows the key by (CKA_LABEL)
    token_label TEXT    NOT NULL,                                      -- the HSM token that holds it; several: with ', ' between
    public_key  BLOB    NOT NULL CHECK (length(public_key) = 65),      -- 04 || x || y
    use_from_ms INTEGER,                                               -- of a published key: it signs no earlier; NULL otherwise
    reason      TEXT    NOT NULL,
    seal        BLOB    NOT NULL CHECK (length(seal) = 32),            -- SHA-256 over the event and the seal before it
    CHECK ((action = 'published') = (use_from_ms IS NOT NULL))
) STRICT;

CREATE TRIGGER key_events_follow_each_other BEFORE INSERT ON key_events
WHEN NEW.sequence IS NOT (SELECT coalesce(max(sequence), 0) + 1 FROM key_events) BEGIN
    SELECT RAISE(ABORT, 'key events are append-only: the sequence must be the next one');
END;

CREATE TRIGGER key_events_do_not_change BEFORE UPDATE ON key_events BEGIN
    SELECT RAISE(ABORT, 'key events are append-only');
END;

CREATE TRIGGER key_events_stay BEFORE DELETE ON key_events BEGIN
    SELECT RAISE(ABORT, 'key events are append-only');
END;
