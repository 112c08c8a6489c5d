-- Rules and limits that were published through the ledger.
--
-- `select number, datetime(at_ms / 1000, 'unixepoch') as at, actor, version, note from publications` lists them.
-- Seals are chained over the whole table, and cover the body by its digest: see src/publications.rs.

CREATE TABLE publications (
    number   INTEGER NOT NULL PRIMARY KEY,                         -- 1, 2, 3 ... without a gap
    sequence INTEGER NOT NULL UNIQUE,                              -- of the notice that tells of it
    at_ms    INTEGER NOT NULL,                                     -- datetime(at_ms / 1000, 'unixepoch')
    actor    TEXT    NOT NULL CHECK (actor <> ''),                 -- an operator's name
    note     TEXT    NOT NULL,                                     -- why
    version  TEXT    NOT NULL CHECK (version <> ''),               -- of its rules, as decisions name it
    digest   BLOB    NOT NULL CHECK (length(digest) = 32),         -- SHA-256 over the body
    seal     BLOB    NOT NULL CHECK (length(seal) = 32),           -- SHA-256 over all before, and the seal before it
    body     BLOB    NOT NULL CHECK (length(body) BETWEEN 1 AND 262144)
) STRICT;

CREATE TRIGGER publications_follow_each_other BEFORE INSERT ON publications
WHEN NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM publications) BEGIN
    SELECT RAISE(ABORT, 'publications are append-only: the number must be the next one');
END;

CREATE TRIGGER publications_do_not_change BEFORE UPDATE ON publications BEGIN
    SELECT RAISE(ABORT, 'publications are append-only');
END;

CREATE TRIGGER publications_stay BEFORE DELETE ON publications BEGIN
    SELECT RAISE(ABORT, 'publications are append-only');
END;
