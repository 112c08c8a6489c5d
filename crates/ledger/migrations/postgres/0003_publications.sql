-- Rules and limits that were published through the ledger: `select number, to_timestamp(at_ms / 1000.0), actor, version, note from
-- cashgate.publications order by number`. A gateway of the version before neither reads nor writes the table.

CREATE TABLE publications (
    number   bigint NOT NULL PRIMARY KEY,                                    -- 1, 2, 3 ... without a gap
    sequence bigint NOT NULL UNIQUE,                                         -- of the notice that tells of it
    at_ms    bigint NOT NULL,
    actor    text   NOT NULL COLLATE "C" CHECK (actor <> ''),
    note     text   NOT NULL COLLATE "C",
    version  text   NOT NULL COLLATE "C" CHECK (version <> ''),              -- of its rules, as decisions name it
    digest   bytea  NOT NULL CHECK (length(digest) = 32),                    -- SHA-256 over the body
    seal     bytea  NOT NULL CHECK (length(seal) = 32),                      -- SHA-256 over all before, and the seal before it
    body     bytea  NOT NULL CHECK (length(body) BETWEEN 1 AND 262144)
);
CREATE TRIGGER publications_do_not_change BEFORE UPDATE OR DELETE ON publications FOR EACH ROW
    EXECUTE FUNCTION cashgate_refuse('publications are append-only');

-- What is sealed of a publication behind its number and sequence: the same bytes as in src/publications.rs.
CREATE FUNCTION cashgate_sealed_of(p publications) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT int8send(p.at_ms) || substr(cashgate_text(p.actor), 2) || substr(cashgate_text(p.note), 2) || substr(cashgate_text(p.version), 2)
        || p.digest
$$;

-- Publishes under a number, together with the notice about it. `state`: 'done', also if this very publication stands there already, because
-- the answer was lost; 'taken': another has the number, and `latest` is the latest; 'damaged': publication `latest` does not fit its seal;
-- 'put_out'. Takes the ledger's head first, as every commit does, so the notice has its place in the one order.
CREATE FUNCTION cashgate_publish(
    p_replica smallint, p_incarnation bigint, p_number bigint, p_at bigint, p_actor text, p_note text, p_version text, p_digest bytea,
    p_body bytea, p_notice_at bigint, p_notice_kind text, p_notice_body bytea, p_notice_tail bytea,
    OUT state text, OUT latest bigint, OUT placed bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = cashgate, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    seal_domain CONSTANT bytea := convert_to('cashgate ledger publication seal 1', 'UTF8') || '\x00'::bytea;
    notice_domain CONSTANT bytea := convert_to('cashgate ledger notice row 1', 'UTF8') || '\x00'::bytea;
    before record;
    written publications;
BEGIN
    SELECT h.last_sequence + 1 INTO placed FROM ledger_head h WHERE h.one FOR UPDATE;
    PERFORM 1 FROM replicas x WHERE x.id = p_replica AND x.incarnation = p_incarnation;
    IF NOT FOUND THEN
        state := 'put_out';
        RETURN;
    END IF;
    SELECT min(chain.number) INTO latest FROM (
        SELECT x.number, x.seal, cashgate_chain(seal_domain, NULL, int8send(x.number) || int8send(x.sequence) || cashgate_sealed_of(x))
            OVER (ORDER BY x.number) AS expected
        FROM publications x
    ) chain WHERE chain.seal <> chain.expected;
    IF latest IS NOT NULL THEN
        state := 'damaged';
        RETURN;
    END IF;
    SELECT x.sequence INTO before FROM publications x
    WHERE x.number = p_number AND x.at_ms = p_at AND x.actor = p_actor AND x.note = p_note AND x.digest = p_digest;
    IF FOUND THEN
        state := 'done';
        latest := p_number;
        placed := before.sequence;
        RETURN;
    END IF;
    SELECT x.number, x.seal INTO before FROM publications x ORDER BY x.number DESC LIMIT 1;
    latest := coalesce(before.number, 0);
    IF p_number <> latest + 1 THEN
        state := 'taken';
        RETURN;
    END IF;
    written := ROW(p_number, placed, p_at, p_actor, p_note, p_version, p_digest, ''::bytea, p_body);
    written.seal := cashgate_next_seal(before.seal, seal_domain, NULL, int8send(p_number) || int8send(placed) || cashgate_sealed_of(written));
    INSERT INTO publications SELECT written.*;
    INSERT INTO notices (sequence, at_ms, kind, institution, body, row_check)
    VALUES (placed, p_notice_at, p_notice_kind, NULL, p_notice_body,
        substr(sha256(notice_domain || '\x01'::bytea || int8send(placed) || p_notice_tail), 1, 16));
    UPDATE ledger_head h SET last_sequence = placed WHERE h.one;
    PERFORM pg_notify('cashgate_ledger', placed::text);
    state := 'done';
    latest := p_number;
END $$;
