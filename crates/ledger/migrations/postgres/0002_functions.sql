-- What the gateway writes through. Seals and checks are the same bytes as in src/seal.rs and src/row_check.rs; what of them does not depend
-- on the seal before comes ready from the gateway.

-- The next seal of a chain: SHA-256 over a domain, the seal before (a byte 0 if there is none, else a byte 1 and the seal), and what is sealed.
CREATE FUNCTION cashgate_seal(domain bytea, before bytea, contents bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sha256(domain || coalesce('\x01'::bytea || before, '\x00'::bytea) || contents)
$$;

-- The seal of a step.
CREATE FUNCTION cashgate_step_seal(before bytea, contents bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT cashgate_seal('cashgate ledger step seal 2\000'::bytea, before, contents)
$$;

-- The check of a withdrawal's row, whose other columns come ready.
CREATE FUNCTION cashgate_row_check(before_last_seal bytea, last_seal bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT substr(sha256(before_last_seal || '\x0300000020'::bytea || last_seal), 1, 16)
$$;

-- All seals of a chain, the first after one that is there already.
CREATE FUNCTION cashgate_next_seal(before bytea, domain bytea, first_before bytea, contents bytea) RETURNS bytea
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT cashgate_seal(domain, coalesce(before, first_before), contents)
$$;
CREATE AGGREGATE cashgate_chain(bytea, bytea, bytea) (SFUNC = cashgate_next_seal, STYPE = bytea);

CREATE FUNCTION cashgate_text(value text) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN value IS NULL THEN '\x00'::bytea
        ELSE '\x02'::bytea || int4send(octet_length(value)) || convert_to(value, 'UTF8') END
$$;
CREATE FUNCTION cashgate_integer(value bigint) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN value IS NULL THEN '\x00'::bytea ELSE '\x01'::bytea || int8send(value) END
$$;
CREATE FUNCTION cashgate_blob(value bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT '\x03'::bytea || int4send(length(value)) || value
$$;

-- Whether a row fits its check: a step must not be chained to a damaged one.
CREATE FUNCTION cashgate_is_whole(w withdrawals) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT w.row_check = substr(sha256(convert_to('cashgate ledger withdrawal row 1', 'UTF8') || '\x00'::bytea
        || cashgate_text(w.id::text) || cashgate_text(w.state) || cashgate_integer(w.open) || cashgate_text(w.institution)
        || cashgate_text(w.account) || cashgate_text(w.device) || cashgate_text(w.atm) || cashgate_text(w.qr_session::text)
        || cashgate_blob(w.nonce) || cashgate_text(w.currency) || cashgate_integer(w.amount) || cashgate_integer(w.dispensed)
        || cashgate_text(w.hold) || cashgate_integer(w.day) || cashgate_integer(w.approved_at_ms)
        || cashgate_text(w.policy_version) || cashgate_text(w.key_id) || cashgate_integer(w.last_step)
        || cashgate_integer(w.changed_at_ms) || cashgate_blob(w.last_seal)), 1, 16)
$$;

-- What is sealed of a key event behind its sequence.
CREATE FUNCTION cashgate_sealed_of(e key_events) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT int8send(e.at_ms) || substr(cashgate_text(e.actor), 2) || substr(cashgate_text(e.action), 2) || substr(cashgate_text(e.key_id), 2)
        || substr(cashgate_text(e.label), 2) || substr(cashgate_text(e.token_label), 2) || substr(cashgate_blob(e.public_key), 2)
        || cashgate_integer(e.use_from_ms) || substr(cashgate_text(e.reason), 2)
$$;

-- A writer's turn: takes its row, so that a commit whose answer was lost and that comes again waits for itself. `state`: NULL, go on;
-- 'again', this batch was committed before, with this answer; 'put_out', a later start has written; 'lost', the database does not have
-- commits of this writer that were acknowledged, or less than the replica has seen of any.
CREATE FUNCTION cashgate_turn(
    p_replica smallint, p_incarnation bigint, p_writer smallint, p_batch bigint, p_seen bigint, OUT state text, OUT answer text
)
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    mine writers;
BEGIN
    SELECT * INTO mine FROM writers x WHERE x.replica = p_replica AND x.writer = p_writer FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO writers (replica, writer, incarnation, last_batch) VALUES (p_replica, p_writer, p_incarnation, 0) ON CONFLICT DO NOTHING;
        SELECT * INTO mine FROM writers x WHERE x.replica = p_replica AND x.writer = p_writer FOR UPDATE;
    END IF;
    IF (SELECT h.last_sequence FROM ledger_head h WHERE h.one) < p_seen THEN
        state := 'lost';
        RETURN;
    ELSIF mine.incarnation > p_incarnation THEN
        state := 'put_out';
        RETURN;
    ELSIF mine.incarnation < p_incarnation THEN
        mine.last_batch := 0;
    END IF;
    IF mine.last_batch = p_batch THEN
        state := 'again';
        answer := mine.answer;
    ELSIF mine.last_batch <> p_batch - 1 THEN
        state := 'lost';
    END IF;
END $$;

-- Raises entries, each if its version is the one that was computed from, or if nobody looked. `versions`: those before it. `raised`: which
-- were raised; NULL: all. Whoever calls it has them locked to the end, in the order of their names, and must not have the head yet: so nobody
-- who waits for an entry holds what its holder waits for.
CREATE FUNCTION cashgate_raise(p_kind smallint[], p_key text[], p_from bigint[], p_raises integer[], OUT versions bigint[], OUT raised boolean[])
LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    ords bigint[];
BEGIN
    IF cardinality(p_key) = 0 THEN
        RETURN;
    END IF;
    -- What nobody has raised yet may not be there: it begins at 0.
    IF array_position(p_from, 0) IS NOT NULL OR array_position(p_from, NULL) IS NOT NULL THEN
        INSERT INTO limit_versions (kind, key, version)
        SELECT x.kind, x.key, 0 FROM unnest(p_kind, p_key, p_from) AS x(kind, key, computed_from)
        WHERE coalesce(x.computed_from, 0) = 0 AND NOT EXISTS (SELECT 1 FROM limit_versions l WHERE l.kind = x.kind AND l.key = x.key)
        ORDER BY x.key COLLATE "C", x.kind
        ON CONFLICT ON CONSTRAINT limit_versions_pkey DO NOTHING;
    END IF;
    WITH found AS (
        UPDATE limit_versions l SET version = l.version + e.raises
        FROM (
            SELECT x.* FROM unnest(p_kind, p_key, p_from, p_raises) WITH ORDINALITY AS x(kind, key, computed_from, raises, ord)
            ORDER BY x.key COLLATE "C", x.kind
        ) e
        WHERE l.kind = e.kind AND l.key = e.key AND (e.computed_from IS NULL OR e.computed_from = l.version)
        RETURNING e.ord, l.version - e.raises AS version
    )
    SELECT array_agg(f.ord), array_agg(f.version) INTO ords, versions FROM (SELECT * FROM found ORDER BY ord) f;
    IF cardinality(ords) = cardinality(p_key) THEN
        RETURN;
    END IF;
    -- Of the others it is told which version they have.
    SELECT array_agg(coalesce(versions[x.place], (SELECT l.version FROM limit_versions l WHERE l.kind = x.kind AND l.key = x.key), 0)),
        array_agg(x.place IS NOT NULL) INTO versions, raised
    FROM (
        SELECT e.kind, e.key, array_position(ords, e.ord) AS place FROM unnest(p_kind, p_key) WITH ORDINALITY AS e(kind, key, ord) ORDER BY e.ord
    ) x;
END $$;

-- Refuses a process that another start of its replica has put out. Whoever calls it has the head.
CREATE FUNCTION cashgate_check_in(p_replica smallint, p_incarnation bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM replicas x WHERE x.id = p_replica AND x.incarnation = p_incarnation;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'another process has registered as replica %', p_replica USING ERRCODE = 'CG002';
    END IF;
END $$;

-- Of some lanes, the places in the arrays of those that this start of the replica does not own. Whoever calls it has the head.
CREATE FUNCTION cashgate_strangers(p_replica smallint, p_incarnation bigint, p_atm text[], p_epoch bigint[]) RETURNS SETOF bigint
LANGUAGE sql STABLE AS $$
    SELECT l.ord FROM unnest(p_atm, p_epoch) WITH ORDINALITY AS l(atm, epoch, ord)
    LEFT JOIN lanes own ON own.atm = l.atm AND own.epoch = l.epoch AND own.replica = p_replica AND own.incarnation = p_incarnation
    WHERE own.atm IS NULL
$$;

-- Adds to what the customers of institutions withdrew: what of it is of writes with the verdict 0, or all, without verdicts. Whoever calls it has the head.
CREATE FUNCTION cashgate_add_spent(
    verdicts smallint[], p_write integer[], p_institution text[], p_currency text[], p_hour integer[], p_amount bigint[], p_count integer[], p_new boolean[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO institution_spent AS t (institution, currency, hour, amount, withdrawals, new_amount, new_withdrawals)
    SELECT x.institution, x.currency, x.hour, sum(x.amount), sum(x.count),
        coalesce(sum(x.amount) FILTER (WHERE x.is_new), 0), coalesce(sum(x.count) FILTER (WHERE x.is_new), 0)
    FROM unnest(p_write, p_institution, p_currency, p_hour, p_amount, p_count, p_new) AS x(write, institution, currency, hour, amount, count, is_new)
    WHERE verdicts IS NULL OR verdicts[x.write] = 0 GROUP BY 1, 2, 3
    ON CONFLICT ON CONSTRAINT institution_spent_pkey DO UPDATE SET amount = t.amount + excluded.amount,
        withdrawals = t.withdrawals + excluded.withdrawals, new_amount = t.new_amount + excluded.new_amount,
        new_withdrawals = t.new_withdrawals + excluded.new_withdrawals;
END $$;

-- Whether what is added may go over a cap of an institution, all of it together. Whoever calls it has the head.
CREATE FUNCTION cashgate_may_exceed(
    p_institution text[], p_currency text[], p_amount bigint[], p_count integer[], p_new boolean[], p_caps bigint[], p_since integer[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (
        SELECT 1 FROM (
            -- All of the batch, whatever its hours: what is held against too much is judged.
            SELECT x.institution, x.currency, x.since, sum(sum(x.amount)) OVER w AS amount, sum(sum(x.count)) OVER w AS count,
                sum(coalesce(sum(x.amount) FILTER (WHERE x.is_new), 0)) OVER w AS new_amount,
                sum(coalesce(sum(x.count) FILTER (WHERE x.is_new), 0)) OVER w AS new_count,
                min(p_caps[4 * x.ord - 3]) AS cap, min(p_caps[4 * x.ord - 2]) AS count_cap,
                min(p_caps[4 * x.ord - 1]) FILTER (WHERE x.is_new) AS new_cap, min(p_caps[4 * x.ord]) FILTER (WHERE x.is_new) AS new_count_cap
            FROM unnest(p_institution, p_currency, p_amount, p_count, p_new, p_since) WITH ORDINALITY
                AS x(institution, currency, amount, count, is_new, since, ord)
            GROUP BY 1, 2, 3 WINDOW w AS (PARTITION BY x.institution, x.currency)
        ) x CROSS JOIN LATERAL (
            SELECT coalesce(sum(t.amount), 0) AS amount, coalesce(sum(t.withdrawals), 0) AS count, coalesce(sum(t.new_amount), 0) AS new_amount,
                coalesce(sum(t.new_withdrawals), 0) AS new_count
            FROM institution_spent t WHERE t.institution = x.institution AND t.currency = x.currency AND t.hour >= x.since
        ) spent
        WHERE spent.amount + x.amount > x.cap OR spent.count + x.count > x.count_cap OR spent.new_amount + x.new_amount > x.new_cap
            OR spent.new_count + x.new_count > x.new_count_cap
    );
END $$;

-- One commit of one replica's writer that is nothing but claims: all are written, or none is. `state`: 'done', or 'judge' if one of them cannot
-- be or if cashgate_turn says anything; then nothing is written, the rest of the answer means nothing, and cashgate_commit has to say what is.
--
-- All commits of all replicas take the head, and have it until they are on disk: so there is one order without a gap. What comes before
-- goes on side by side, and here that is most of the work.
CREATE FUNCTION cashgate_claim(
    p_replica smallint, p_incarnation bigint, p_writer smallint, p_batch bigint, p_seen bigint, p_lane_atm text[], p_lane_epoch bigint[],
    p_id uuid[], p_at bigint[], p_kind text[], p_body bytea[], p_state text[], p_open smallint[], p_institution text[], p_account text[],
    p_device text[], p_atm text[], p_qr_session uuid[], p_nonce bytea[], p_currency text[], p_amount bigint[], p_dispensed bigint[],
    p_hold text[], p_day integer[], p_approved_at bigint[], p_policy text[], p_key_id text[], p_seal bytea[], p_row_check bytea[],
    p_entry_kind smallint[], p_entry_key text[], p_entry_from bigint[], p_entry_raises integer[],
    p_spent_institution text[], p_spent_currency text[], p_spent_hour integer[], p_spent_amount bigint[], p_spent_count integer[],
    p_spent_new boolean[], p_spent_caps bigint[], p_spent_since integer[],
    OUT state text, OUT head_before bigint, OUT verdicts smallint[], OUT details text[], OUT versions bigint[],
    OUT remarks bigint[], OUT last_sequence bigint, OUT key_events bigint, OUT device_changes bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = cashgate, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    raised boolean[];
BEGIN
    state := 'judge';
    IF (SELECT t.state FROM cashgate_turn(p_replica, p_incarnation, p_writer, p_batch, p_seen) t) IS NULL THEN
        -- What one of them undoes is undone in here, without an error in the server's log: a code that is scanned twice is no news there.
        BEGIN
            SELECT x.versions, x.raised INTO versions, raised FROM cashgate_raise(p_entry_kind, p_entry_key, p_entry_from, p_entry_raises) x;
            IF raised IS NOT NULL THEN
                RAISE EXCEPTION 'limits moved' USING ERRCODE = 'CG001';
            END IF;
            INSERT INTO withdrawals
            SELECT s.id, s.state, s.open, s.institution, s.account, s.device, s.atm, s.qr_session, s.nonce, s.currency, s.amount, s.dispensed,
                s.hold, s.day, s.approved_at, s.policy, s.key_id, 1, s.at, s.seal, s.row_check
            FROM unnest(p_id, p_at, p_state, p_open, p_institution, p_account, p_device, p_atm, p_qr_session, p_nonce, p_currency, p_amount,
                p_dispensed, p_hold, p_day, p_approved_at, p_policy, p_key_id, p_seal, p_row_check)
                AS s(id, at, state, open, institution, account, device, atm, qr_session, nonce, currency, amount, dispensed, hold, day,
                    approved_at, policy, key_id, seal, row_check);

            SELECT h.last_sequence, h.key_events, h.device_changes INTO head_before, key_events, device_changes FROM ledger_head h WHERE h.one FOR UPDATE;
            PERFORM cashgate_check_in(p_replica, p_incarnation);
            IF EXISTS (SELECT 1 FROM cashgate_strangers(p_replica, p_incarnation, p_lane_atm, p_lane_epoch)) THEN
                RAISE EXCEPTION 'not the owner of a lane' USING ERRCODE = 'CG001';
            END IF;
            IF cardinality(array_remove(p_spent_caps, NULL)) > 0
                AND cashgate_may_exceed(p_spent_institution, p_spent_currency, p_spent_amount, p_spent_count, p_spent_new, p_spent_caps, p_spent_since)
            THEN
                RAISE EXCEPTION 'the cap of an institution' USING ERRCODE = 'CG001';
            END IF;
            PERFORM cashgate_add_spent(NULL, NULL, p_spent_institution, p_spent_currency, p_spent_hour, p_spent_amount, p_spent_count, p_spent_new);
            INSERT INTO steps (sequence, withdrawal, number, at_ms, kind, institution, body, seal)
            SELECT head_before + s.ord, s.id, 1, s.at, s.kind, s.institution, s.body, s.seal
            FROM unnest(p_id, p_at, p_kind, p_institution, p_body, p_seal) WITH ORDINALITY AS s(id, at, kind, institution, body, seal, ord);
            last_sequence := head_before + cardinality(p_id);
            UPDATE ledger_head h SET last_sequence = cashgate_claim.last_sequence WHERE h.one;
            state := 'done';
        EXCEPTION WHEN unique_violation OR SQLSTATE 'CG001' THEN
            NULL;
        END;
    END IF;
    IF state = 'done' THEN
        -- Out here, because a row that a transaction and one within it have both locked needs a record of its own.
        UPDATE writers x SET incarnation = p_incarnation, last_batch = p_batch, answer = '{"head_before":' || head_before || '}'
        WHERE x.replica = p_replica AND x.writer = p_writer;
    ELSE
        -- Nothing was written that would have to reach the disk.
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
END $$;

-- One commit of one replica's writer: all writes that waited. Each is judged by itself, and is written whole or not at all. No lock outlives
-- the statement, so a client that stops in the middle blocks nobody.
--
-- A write's verdict: 0 written, 1 not the lane's owner, 2 the withdrawal has ended, 3 the step is out of order (detail: step, number expected),
-- 4 the nonce is claimed (detail: step, by whom), 5 the approval would change (detail: step), 6 limits moved (detail: none; see `versions`),
-- 7 the institution's cap (detail: which sum), 8 the withdrawal's row is damaged (detail: step), 9 another write of this batch claims the nonce.
-- `state`: 'done', or what cashgate_turn says. SQLSTATE CG002: another process has registered as this replica.
CREATE FUNCTION cashgate_commit(
    p_replica smallint, p_incarnation bigint, p_writer smallint, p_batch bigint, p_seen bigint, p_writes integer, p_item_write integer[],
    p_lane_write integer[], p_lane_atm text[], p_lane_epoch bigint[],
    p_step_write integer[], p_step_item integer[], p_step_number integer[], p_step_offset integer[], p_step_before integer[],
    p_step_is_last boolean[], p_step_fault smallint[], p_step_head bytea[], p_check_head bytea[], p_step_id uuid[], p_step_at bigint[],
    p_step_kind text[], p_step_body bytea[],
    p_state text[], p_open smallint[], p_institution text[], p_account text[], p_device text[], p_atm text[], p_qr_session uuid[],
    p_nonce bytea[], p_currency text[], p_amount bigint[], p_dispensed bigint[], p_hold text[], p_day integer[], p_approved_at bigint[],
    p_policy text[], p_key_id text[],
    p_raise_write integer[], p_raise_entry integer[], p_entry_kind smallint[], p_entry_key text[], p_entry_from bigint[], p_entry_raises integer[],
    p_spent_write integer[], p_spent_institution text[], p_spent_currency text[], p_spent_hour integer[], p_spent_amount bigint[],
    p_spent_count integer[], p_spent_new boolean[], p_spent_caps bigint[], p_spent_since integer[],
    p_notice_write integer[], p_notice_item integer[], p_notice_at bigint[], p_notice_kind text[], p_notice_institution text[],
    p_notice_body bytea[], p_notice_tail bytea[],
    p_dev_write integer[], p_dev_institution text[], p_dev_device text[], p_dev_key bytea[], p_dev_key_since bigint[],
    p_dev_registered bigint[], p_dev_bound bigint[], p_dev_channel text[], p_dev_attestation smallint[], p_dev_failed smallint[],
    p_dev_locked bigint[], p_dev_revoked bigint[], p_dev_check bytea[],
    p_rem_id uuid[], p_rem_at bigint[], p_rem_kind text[], p_rem_detail text[], p_rem_head bytea[], p_rem_tail bytea[],
    p_rem_counted bigint[], p_rem_left_out_head bytea[],
    p_key_write integer[], p_key_at bigint[], p_key_actor text[], p_key_action text[], p_key_key_id text[], p_key_label text[],
    p_key_token text[], p_key_public bytea[], p_key_use_from bigint[], p_key_reason text[], p_key_tail bytea[],
    OUT state text, OUT head_before bigint, OUT verdicts smallint[], OUT details text[], OUT versions bigint[],
    OUT remarks bigint[], OUT last_sequence bigint, OUT key_events bigint, OUT device_changes bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = cashgate, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    key_seal_domain CONSTANT bytea := convert_to('cashgate ledger key event seal 1', 'UTF8') || '\x00'::bytea;
    notice_domain CONSTANT bytea := convert_to('cashgate ledger notice row 1', 'UTF8') || '\x00'::bytea;
    head record;
    r record;
    codes smallint[];
    whys text[];
    seals bytea[];
    numbers bigint[];
    raised boolean[];
    refused boolean := false;
    doubted boolean;
    some_begin boolean;
    some_go_on boolean;
    sums bigint[];
    room integer;
    counted bigint;
    about uuid;
BEGIN
    SELECT t.state, t.answer INTO r FROM cashgate_turn(p_replica, p_incarnation, p_writer, p_batch, p_seen) t;
    IF r.state IS NOT NULL THEN
        state := r.state;
        SELECT h.last_sequence, h.key_events, h.device_changes INTO last_sequence, key_events, device_changes FROM ledger_head h WHERE h.one;
        SELECT a.head_before, a.verdicts, a.details, a.remarks INTO head_before, verdicts, details, remarks
            FROM json_to_record(r.answer::json) AS a(head_before bigint, verdicts smallint[], details text[], remarks bigint[]);
        RETURN;
    END IF;

    SELECT x.versions, x.raised INTO versions, raised FROM cashgate_raise(p_entry_kind, p_entry_key, p_entry_from, p_entry_raises) x;
    SELECT h.last_sequence, h.key_events, h.last_key_seal, h.device_changes INTO head FROM ledger_head h WHERE h.one FOR UPDATE;
    PERFORM cashgate_check_in(p_replica, p_incarnation);
    last_sequence := head.last_sequence;
    key_events := head.key_events;
    device_changes := head.device_changes;
    state := 'done';
    head_before := head.last_sequence;
    verdicts := array_fill(0::smallint, ARRAY[p_writes]);
    details := array_fill(NULL::text, ARRAY[p_writes]);

    IF cardinality(p_lane_write) > 0 THEN
        FOR r IN SELECT x.place FROM cashgate_strangers(p_replica, p_incarnation, p_lane_atm, p_lane_epoch) AS x(place) LOOP
            verdicts[p_lane_write[r.place]] := 1;
            refused := true;
        END LOOP;
    END IF;

    IF cardinality(p_step_write) > 0 THEN
        SELECT array_agg(j.code), array_agg(j.why), array_agg(j.last_seal), bool_or(j.code <> 0), bool_or(j.begins), bool_or(NOT j.begins)
        INTO codes, whys, seals, doubted, some_begin, some_go_on FROM (
            SELECT k.code, k.last_seal, k.last_step IS NULL AS begins,
                CASE WHEN k.code <> 0 THEN k.expected || ' ' || coalesce(k.claimed_by::text, '') END AS why
            FROM (
                SELECT s.ord, w.last_step, w.last_seal, coalesce(w.last_step, 0) + s.step_offset + 1 AS expected, n.id AS claimed_by,
                    (CASE
                        WHEN NOT w.whole THEN 8
                        WHEN w.open = 0 OR s.fault = 2 THEN 2
                        WHEN s.number <> coalesce(w.last_step, 0) + s.step_offset + 1 THEN 3
                        WHEN n.id IS NOT NULL THEN 4
                        WHEN NOT w.same OR s.fault = 5 THEN 5
                        WHEN s.fault = 9 THEN 9
                        ELSE 0
                    END)::smallint AS code
                FROM unnest(p_step_id, p_step_number, p_step_offset, p_step_fault, p_nonce) WITH ORDINALITY
                    AS s(id, number, step_offset, fault, nonce, ord)
                LEFT JOIN LATERAL (
                    SELECT x.open, x.last_step, x.last_seal, cashgate_is_whole(x) AS whole,
                        ((x.institution, x.account, x.device, x.atm, x.qr_session, x.nonce, x.currency, x.amount, x.day,
                            x.approved_at_ms, x.policy_version, x.key_id)
                        = (p_institution[s.ord], p_account[s.ord], p_device[s.ord], p_atm[s.ord], p_qr_session[s.ord], s.nonce,
                            p_currency[s.ord], p_amount[s.ord], p_day[s.ord], p_approved_at[s.ord], p_policy[s.ord],
                            p_key_id[s.ord])) AS same
                    FROM withdrawals x WHERE x.id = s.id
                ) w ON true
                LEFT JOIN LATERAL (
                    SELECT x.id FROM withdrawals x WHERE s.number = 1 AND x.nonce = s.nonce AND x.id <> s.id
                ) n ON true
            ) k ORDER BY k.ord
        ) j;
        IF doubted THEN
            FOR i IN 1 .. cardinality(codes) LOOP
                IF codes[i] <> 0 AND verdicts[p_step_write[i]] = 0 THEN
                    verdicts[p_step_write[i]] := codes[i];
                    details[p_step_write[i]] := i || ' ' || whys[i];
                    refused := true;
                END IF;
            END LOOP;
        END IF;
    END IF;

    -- What a refused write raised is taken back below.
    IF raised IS NOT NULL THEN
        FOR i IN 1 .. cardinality(p_raise_entry) LOOP
            IF NOT raised[p_raise_entry[i]] AND verdicts[p_raise_write[i]] = 0 THEN
                verdicts[p_raise_write[i]] := 6;
                refused := true;
            END IF;
        END LOOP;
    END IF;

    IF cardinality(p_spent_write) > 0 THEN
        about := NULL;
        FOR r IN
            SELECT x.*, p_spent_caps[4 * x.ord - 3 : 4 * x.ord] AS caps,
                lag(x.institution || '/' || x.currency || '/' || x.since) OVER w IS DISTINCT FROM
                    x.institution || '/' || x.currency || '/' || x.since AS begins
            FROM unnest(p_spent_write, p_spent_institution, p_spent_currency, p_spent_amount, p_spent_count, p_spent_new, p_spent_since)
                WITH ORDINALITY AS x(write, institution, currency, amount, count, is_new, since, ord)
            WINDOW w AS (ORDER BY x.institution, x.currency, x.since, x.ord)
            ORDER BY x.institution, x.currency, x.since, x.ord
        LOOP
            IF r.begins THEN
                SELECT ARRAY[coalesce(sum(t.amount), 0), coalesce(sum(t.withdrawals), 0), coalesce(sum(t.new_amount), 0),
                    coalesce(sum(t.new_withdrawals), 0)]::bigint[] INTO sums
                FROM (
                    SELECT t.amount, t.withdrawals, t.new_amount, t.new_withdrawals FROM institution_spent t
                    WHERE t.institution = r.institution AND t.currency = r.currency AND t.hour >= r.since
                    UNION ALL
                    -- What was admitted before, with another hour to begin from.
                    SELECT b.amount, b.count, CASE WHEN b.is_new THEN b.amount ELSE 0 END, CASE WHEN b.is_new THEN b.count ELSE 0 END
                    FROM unnest(p_spent_write, p_spent_institution, p_spent_currency, p_spent_hour, p_spent_amount, p_spent_count, p_spent_new,
                        p_spent_since) AS b(write, institution, currency, hour, amount, count, is_new, since)
                    WHERE b.institution = r.institution AND b.currency = r.currency AND b.since < r.since AND b.hour >= r.since
                        AND verdicts[b.write] = 0
                ) t;
            END IF;
            CONTINUE WHEN verdicts[r.write] <> 0;
            IF sums[1] + r.amount > r.caps[1] OR sums[2] + r.count > r.caps[2]
                OR (r.is_new AND (sums[3] + r.amount > r.caps[3] OR sums[4] + r.count > r.caps[4])) THEN
                verdicts[r.write] := 7;
                details[r.write] := r.ord::text;
                refused := true;
            ELSE
                sums[1] := sums[1] + r.amount;
                sums[2] := sums[2] + r.count;
                IF r.is_new THEN
                    sums[3] := sums[3] + r.amount;
                    sums[4] := sums[4] + r.count;
                END IF;
            END IF;
        END LOOP;
        PERFORM cashgate_add_spent(verdicts, p_spent_write, p_spent_institution, p_spent_currency, p_spent_hour, p_spent_amount, p_spent_count,
            p_spent_new);
    END IF;

    -- The places of what is written, in the order in which it was asked for.
    IF refused THEN
        SELECT array_agg(x.sequence), coalesce(max(x.sequence), last_sequence) INTO numbers, last_sequence FROM (
            SELECT head.last_sequence + count(*) FILTER (WHERE verdicts[i.write] = 0) OVER (ORDER BY i.ord) AS sequence
            FROM unnest(p_item_write) WITH ORDINALITY AS i(write, ord) ORDER BY i.ord
        ) x;
    ELSIF cardinality(p_item_write) > 0 THEN
        last_sequence := head.last_sequence + cardinality(p_item_write);
        numbers := ARRAY(SELECT generate_series(head.last_sequence + 1, last_sequence));
    END IF;

    IF cardinality(p_step_write) > 0 THEN
        SELECT array_agg(x.seal) INTO seals FROM (
            SELECT cashgate_step_seal(s.last_seal, s.head || s.body) AS seal
            FROM unnest(p_step_head, p_step_body, seals) WITH ORDINALITY AS s(head, body, last_seal, ord)
            ORDER BY s.ord
        ) x;
        -- A step behind another of the same append is chained to that one.
        IF 0 <> ANY (p_step_before) THEN
            FOR i IN 1 .. cardinality(p_step_before) LOOP
                CONTINUE WHEN p_step_before[i] = 0;
                seals[i] := cashgate_step_seal(seals[p_step_before[i]], p_step_head[i] || p_step_body[i]);
            END LOOP;
        END IF;

        INSERT INTO steps (sequence, withdrawal, number, at_ms, kind, institution, body, seal)
        SELECT numbers[s.item], s.id, s.number, s.at, s.kind, s.institution, s.body, s.seal
        FROM unnest(p_step_write, p_step_item, p_step_id, p_step_number, p_step_at, p_step_kind, p_institution, p_step_body, seals)
            AS s(write, item, id, number, at, kind, institution, body, seal)
        WHERE verdicts[s.write] = 0;
        IF some_begin THEN
            INSERT INTO withdrawals
            SELECT s.id, s.state, s.open, s.institution, s.account, s.device, s.atm, s.qr_session, s.nonce, s.currency, s.amount,
                s.dispensed, s.hold, s.day, s.approved_at, s.policy, s.key_id, s.number, s.at, s.seal, cashgate_row_check(s.check_head, s.seal)
            FROM unnest(p_step_write, p_step_id, p_step_number, p_step_offset, p_step_is_last, p_step_at, p_state, p_open, p_institution,
                p_account, p_device, p_atm, p_qr_session, p_nonce, p_currency, p_amount, p_dispensed, p_hold, p_day, p_approved_at,
                p_policy, p_key_id, p_check_head, seals)
                AS s(write, id, number, step_offset, is_last, at, state, open, institution, account, device, atm, qr_session, nonce,
                    currency, amount, dispensed, hold, day, approved_at, policy, key_id, check_head, seal)
            WHERE s.is_last AND s.number = s.step_offset + 1 AND verdicts[s.write] = 0;
        END IF;
        IF some_go_on THEN
            UPDATE withdrawals w SET state = s.state, open = s.open, dispensed = s.dispensed, hold = s.hold, last_step = s.number,
                changed_at_ms = s.at, last_seal = s.seal, row_check = cashgate_row_check(s.check_head, s.seal)
            FROM unnest(p_step_write, p_step_id, p_step_number, p_step_offset, p_step_is_last, p_step_at, p_state, p_open, p_dispensed,
                p_hold, p_check_head, seals)
                AS s(write, id, number, step_offset, is_last, at, state, open, dispensed, hold, check_head, seal)
            WHERE s.is_last AND s.number <> s.step_offset + 1 AND verdicts[s.write] = 0 AND w.id = s.id;
        END IF;
    END IF;

    IF refused AND cardinality(p_entry_key) > 0 THEN
        UPDATE limit_versions l SET version = l.version + x.written - x.raised FROM (
            SELECT e.kind, e.key, CASE WHEN coalesce(raised[e.ord], true) THEN e.raises ELSE 0 END AS raised,
                (SELECT count(*) FROM unnest(p_raise_write, p_raise_entry) AS y(write, entry)
                    WHERE y.entry = e.ord AND verdicts[y.write] = 0) AS written
            FROM unnest(p_entry_kind, p_entry_key, p_entry_raises) WITH ORDINALITY AS e(kind, key, raises, ord)
        ) x WHERE x.written <> x.raised AND l.kind = x.kind AND l.key = x.key;
    END IF;

    IF cardinality(p_notice_write) > 0 THEN
        INSERT INTO notices (sequence, at_ms, kind, institution, body, row_check)
        SELECT numbers[x.item], x.at, x.kind, x.institution, x.body,
            substr(sha256(notice_domain || '\x01'::bytea || int8send(numbers[x.item]) || x.tail), 1, 16)
        FROM unnest(p_notice_write, p_notice_item, p_notice_at, p_notice_kind, p_notice_institution, p_notice_body, p_notice_tail)
            AS x(write, item, at, kind, institution, body, tail)
        WHERE verdicts[x.write] = 0;
    END IF;

    IF cardinality(p_dev_write) > 0 THEN
        INSERT INTO devices
        SELECT x.institution, x.device, x.key, x.key_since, x.registered, x.bound, x.channel, x.attestation, x.failed, x.locked,
            x.revoked, x.row_check, head.device_changes + x.ord
        FROM unnest(p_dev_institution, p_dev_device, p_dev_key, p_dev_key_since, p_dev_registered, p_dev_bound, p_dev_channel,
            p_dev_attestation, p_dev_failed, p_dev_locked, p_dev_revoked, p_dev_check) WITH ORDINALITY
            AS x(institution, device, key, key_since, registered, bound, channel, attestation, failed, locked, revoked, row_check, ord)
        ON CONFLICT ON CONSTRAINT devices_pkey DO UPDATE SET public_key = excluded.public_key, key_since_ms = excluded.key_since_ms,
            registered_at_ms = excluded.registered_at_ms, bound_at_ms = excluded.bound_at_ms, channel = excluded.channel,
            attestation = excluded.attestation, failed_attempts = excluded.failed_attempts, locked_at_ms = excluded.locked_at_ms,
            revoked_at_ms = excluded.revoked_at_ms, row_check = excluded.row_check, change = excluded.change;
        device_changes := head.device_changes + cardinality(p_dev_write);
    END IF;

    -- Few, and about few withdrawals: one after the other. In the order of withdrawals, so that what was counted of one is carried along.
    FOR i IN 1 .. cardinality(p_rem_id) LOOP
        IF about IS DISTINCT FROM p_rem_id[i] THEN
            about := p_rem_id[i];
            counted := p_rem_counted[i];
        END IF;
        IF NOT EXISTS (SELECT 1 FROM withdrawals x WHERE x.id = about) AND NOT EXISTS (SELECT 1 FROM archived_withdrawals x WHERE x.id = about) THEN
            remarks[i] := 0;
            CONTINUE;
        END IF;
        SELECT coalesce(max(x.number), 0) AS last, count(*) FILTER (WHERE x.kind = p_rem_kind[i]) AS of_kind INTO r
        FROM every_remark x WHERE x.withdrawal = about;
        IF r.last < 100 AND r.of_kind < 10 THEN
            INSERT INTO remarks (withdrawal, number, at_ms, kind, detail, row_check)
            VALUES (about, r.last + 1, p_rem_at[i], p_rem_kind[i], p_rem_detail[i],
                substr(sha256(p_rem_head[i] || '\x01'::bytea || int8send(r.last + 1) || p_rem_tail[i]), 1, 16));
            remarks[i] := 1;
        ELSE
            IF counted IS NULL THEN
                SELECT x.count INTO counted FROM remarks_left_out x WHERE x.withdrawal = about;
            END IF;
            counted := coalesce(counted, 0) + 1;
            remarks[i] := -counted;
            IF counted & (counted - 1) = 0 THEN
                INSERT INTO remarks_left_out (withdrawal, count, row_check) VALUES (about, counted,
                    substr(sha256(p_rem_left_out_head[i] || cashgate_integer(counted)), 1, 16))
                ON CONFLICT ON CONSTRAINT remarks_left_out_pkey DO UPDATE SET count = excluded.count, row_check = excluded.row_check;
            END IF;
        END IF;
    END LOOP;

    IF cardinality(p_key_write) > 0 THEN
        -- The whole chain, as it is short and grows a few times a year: nothing is chained to a damaged event.
        SELECT min(chain.sequence) AS broken INTO r FROM (
            SELECT x.sequence, x.seal, cashgate_chain(key_seal_domain, NULL, int8send(x.sequence) || cashgate_sealed_of(x)) OVER (ORDER BY x.sequence)
                AS expected
            FROM key_events x
        ) chain WHERE chain.seal <> chain.expected;
        IF r.broken IS NOT NULL THEN
            verdicts[p_key_write[1]] := 8;
            details[p_key_write[1]] := r.broken::text;
            refused := true;
            p_key_write := '{}';
        END IF;
    END IF;
    IF cardinality(p_key_write) > 0 THEN
        INSERT INTO key_events
        SELECT head.key_events + x.ord, x.at, x.actor, x.action, x.key_id, x.label, x.token, x.public, x.use_from, x.reason,
            cashgate_chain(key_seal_domain, head.last_key_seal, int8send(head.key_events + x.ord) || x.tail) OVER (ORDER BY x.ord)
        FROM unnest(p_key_at, p_key_actor, p_key_action, p_key_key_id, p_key_label, p_key_token, p_key_public, p_key_use_from,
            p_key_reason, p_key_tail) WITH ORDINALITY
            AS x(at, actor, action, key_id, label, token, public, use_from, reason, tail, ord);
        key_events := head.key_events + cardinality(p_key_write);
        SELECT x.seal INTO head.last_key_seal FROM key_events x WHERE x.sequence = key_events;
    END IF;

    IF NOT refused THEN
        verdicts := NULL;
        details := NULL;
    END IF;
    UPDATE ledger_head h SET last_sequence = cashgate_commit.last_sequence, key_events = cashgate_commit.key_events,
        last_key_seal = head.last_key_seal, device_changes = cashgate_commit.device_changes WHERE h.one;
    UPDATE writers x SET incarnation = p_incarnation, last_batch = p_batch, answer = json_build_object('head_before', head_before,
        'verdicts', verdicts, 'details', details, 'remarks', remarks) WHERE x.replica = p_replica AND x.writer = p_writer;
    IF cardinality(p_notice_write) > 0 OR cardinality(p_dev_write) > 0 OR cardinality(p_key_write) > 0 THEN
        PERFORM pg_notify('cashgate_ledger', last_sequence::text);
    END IF;
END $$;

-- A start of a replica. Commits that are under way come first; those of earlier starts are refused from here on.
CREATE FUNCTION cashgate_register(p_id smallint, p_name text, p_address text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = cashgate, pg_temp AS $$
DECLARE
    started bigint;
BEGIN
    PERFORM 1 FROM ledger_head h WHERE h.one FOR UPDATE;
    INSERT INTO replicas AS x (id, incarnation, name, address, heartbeat_at, draining)
    -- Higher than any that wrote, also if the row of this number was lost.
    VALUES (p_id, (SELECT coalesce(max(w.incarnation), 0) + 1 FROM writers w WHERE w.replica = p_id), p_name, p_address, clock_timestamp(), false)
    ON CONFLICT (id) DO UPDATE SET incarnation = greatest(x.incarnation + 1, excluded.incarnation), name = p_name, address = p_address,
        heartbeat_at = clock_timestamp(), draining = false
    RETURNING incarnation INTO started;
    RETURN started;
END $$;

-- false: another start has registered since.
CREATE FUNCTION cashgate_heartbeat(p_id smallint, p_incarnation bigint, p_draining boolean, p_gone boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = cashgate, pg_temp AS $$
BEGIN
    UPDATE replicas x SET heartbeat_at = CASE WHEN p_gone THEN NULL ELSE clock_timestamp() END, draining = p_draining
    WHERE x.id = p_id AND x.incarnation = p_incarnation;
    RETURN FOUND;
END $$;

-- NULL as the epoch: this start has been put out.
CREATE FUNCTION cashgate_claim_lane(p_id smallint, p_incarnation bigint, p_atm text,
    OUT now_epoch bigint, OUT had_replica smallint, OUT had_incarnation bigint, OUT had_epoch bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = cashgate, pg_temp AS $$
BEGIN
    PERFORM 1 FROM ledger_head h WHERE h.one FOR UPDATE;
    PERFORM 1 FROM replicas x WHERE x.id = p_id AND x.incarnation = p_incarnation;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT l.replica, l.incarnation, l.epoch INTO had_replica, had_incarnation, had_epoch FROM lanes l WHERE l.atm = p_atm;
    INSERT INTO lanes AS l (atm, replica, incarnation, epoch) VALUES (p_atm, p_id, p_incarnation, 1)
    ON CONFLICT (atm) DO UPDATE SET replica = p_id, incarnation = p_incarnation, epoch = l.epoch + 1
    RETURNING epoch INTO now_epoch;
END $$;

CREATE FUNCTION cashgate_release_lane(p_id smallint, p_incarnation bigint, p_atm text, p_epoch bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = cashgate, pg_temp AS $$
BEGIN
    PERFORM 1 FROM ledger_head h WHERE h.one FOR UPDATE;
    UPDATE lanes l SET replica = NULL, incarnation = NULL
    WHERE l.atm = p_atm AND l.epoch = p_epoch AND l.replica = p_id AND l.incarnation = p_incarnation;
    RETURN FOUND;
END $$;

-- Moves up to p_limit withdrawals that ended before a moment, with their steps and remarks, and says how many those were.
CREATE FUNCTION cashgate_archive(p_before_ms bigint, p_limit integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = cashgate, pg_temp AS $$
DECLARE
    chosen uuid[];
BEGIN
    chosen := ARRAY(SELECT w.id FROM withdrawals w WHERE w.open = 0 AND w.approved_at_ms < p_before_ms AND w.changed_at_ms < p_before_ms
        ORDER BY w.id LIMIT p_limit FOR UPDATE SKIP LOCKED);
    INSERT INTO archived_withdrawals SELECT * FROM withdrawals w WHERE w.id = ANY (chosen);
    INSERT INTO archived_steps SELECT * FROM steps s WHERE s.withdrawal = ANY (chosen);
    INSERT INTO archived_remarks SELECT * FROM remarks m WHERE m.withdrawal = ANY (chosen);
    DELETE FROM withdrawals w WHERE w.id = ANY (chosen);
    DELETE FROM steps s WHERE s.withdrawal = ANY (chosen);
    DELETE FROM remarks m WHERE m.withdrawal = ANY (chosen);
    RETURN cardinality(chosen);
END $$;
