-- The ledger on PostgreSQL: the same tables with the same columns as in the file (migrations/sqlite), to be read with the same statements:
-- `select state, count(*) from cashgate.withdrawals group by 1`. Ids are uuid, which shows as the same text.
--
-- What the gateway writes it writes through the functions of 0002, and through nothing else: its role may execute them and read, no more.

-- The one row that every commit locks first: so commits come one after the other, over all replicas, and see each other.
CREATE TABLE ledger_head (
    one            boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    last_sequence  bigint  NOT NULL,  -- of the last step or notice
    key_events     bigint  NOT NULL,  -- how many there are
    last_key_seal  bytea,             -- of the last of them
    device_changes bigint  NOT NULL   -- how often a phone was written
) WITH (fillfactor = 10);
INSERT INTO ledger_head (last_sequence, key_events, device_changes) VALUES (0, 0, 0);

CREATE TABLE withdrawals (
    id             uuid     NOT NULL PRIMARY KEY,                          -- version 7: in the order of time
    state          text     NOT NULL COLLATE "C" CHECK (state <> ''),      -- after the last step
    open           smallint NOT NULL CHECK (open IN (0, 1)),               -- 0: ended, and the row never changes again
    institution    text     NOT NULL COLLATE "C",
    account        text     NOT NULL COLLATE "C",
    device         text     NOT NULL COLLATE "C",
    atm            text     NOT NULL COLLATE "C",
    qr_session     uuid     NOT NULL,
    nonce          bytea    NOT NULL CHECK (length(nonce) = 16),           -- of the QR token: claimed at most once
    currency       text     NOT NULL COLLATE "C" CHECK (length(currency) = 3),
    amount         bigint   NOT NULL CHECK (amount >= 0),                  -- approved, in minor units
    dispensed      bigint   CHECK (dispensed >= 0),                        -- what left the machine; NULL: not known
    hold           text     COLLATE "C",                                   -- core banking's reference; NULL: none granted
    day            integer  NOT NULL,    -- the institution's calendar day of the approval: date '1970-01-01' + day
    approved_at_ms bigint   NOT NULL,    -- to_timestamp(approved_at_ms / 1000.0)
    policy_version text     NOT NULL COLLATE "C",
    key_id         text     NOT NULL COLLATE "C" CHECK (length(key_id) = 8),
    last_step      integer  NOT NULL CHECK (last_step >= 1),
    changed_at_ms  bigint   NOT NULL,    -- the time of the last step
    last_seal      bytea    NOT NULL CHECK (length(last_seal) = 32),
    row_check      bytea    NOT NULL CHECK (length(row_check) = 16)
) WITH (fillfactor = 60); -- Room for the next versions of the row beside it: most steps change no index.
CREATE UNIQUE INDEX withdrawals_nonce ON withdrawals (nonce);
-- What rebuilds one limit entry, and what is open. As few and as narrow as can be: each is written with every claim.
CREATE INDEX withdrawals_of_account ON withdrawals (account);
CREATE INDEX withdrawals_of_device ON withdrawals (device);
CREATE INDEX withdrawals_of_atm ON withdrawals (open, atm, approved_at_ms);

CREATE TABLE steps (
    sequence    bigint  NOT NULL PRIMARY KEY,   -- over all steps and notices: 1, 2, 3 ... without a gap, in the order of commits
    withdrawal  uuid    NOT NULL,
    number      integer NOT NULL,               -- within the withdrawal: 1, 2, 3 ... without a gap
    at_ms       bigint  NOT NULL,
    kind        text    NOT NULL COLLATE "C" CHECK (kind <> ''),
    institution text    NOT NULL COLLATE "C",
    body        bytea   NOT NULL,
    seal        bytea   NOT NULL CHECK (length(seal) = 32),
    UNIQUE (withdrawal, number)
);

CREATE TABLE notices (
    sequence    bigint NOT NULL PRIMARY KEY,
    at_ms       bigint NOT NULL,
    kind        text   NOT NULL COLLATE "C" CHECK (kind <> ''),
    institution text   COLLATE "C",             -- NULL: concerns the whole gateway, and every institution sees it
    body        bytea  NOT NULL CHECK (length(body) <= 8192),
    row_check   bytea  NOT NULL CHECK (length(row_check) = 16)
);
CREATE INDEX notices_of_kind ON notices (kind, at_ms);

CREATE TABLE devices (
    institution      text     NOT NULL COLLATE "C",
    device           text     NOT NULL COLLATE "C",
    public_key       bytea    NOT NULL,
    key_since_ms     bigint   NOT NULL,
    registered_at_ms bigint   NOT NULL,
    bound_at_ms      bigint   NOT NULL,
    channel          text     NOT NULL COLLATE "C",
    attestation      smallint CHECK (attestation IN (0, 1)),
    failed_attempts  smallint NOT NULL CHECK (failed_attempts BETWEEN 0 AND 255),
    locked_at_ms     bigint,
    revoked_at_ms    bigint,
    row_check        bytea    NOT NULL CHECK (length(row_check) = 16),
    change           bigint   NOT NULL,         -- ledger_head.device_changes when it was written: what other replicas go by
    PRIMARY KEY (institution, device)
);
CREATE INDEX devices_changed ON devices (change);

CREATE TABLE remarks (
    withdrawal uuid    NOT NULL,
    number     integer NOT NULL,
    at_ms      bigint  NOT NULL,
    kind       text    NOT NULL COLLATE "C" CHECK (kind <> ''),
    detail     text    NOT NULL COLLATE "C",
    row_check  bytea   NOT NULL CHECK (length(row_check) = 16),
    PRIMARY KEY (withdrawal, number)
);

CREATE TABLE remarks_left_out (
    withdrawal uuid   NOT NULL PRIMARY KEY,
    count      bigint NOT NULL CHECK (count >= 1),
    row_check  bytea  NOT NULL CHECK (length(row_check) = 16)
);

CREATE TABLE key_events (
    sequence    bigint NOT NULL PRIMARY KEY,
    at_ms       bigint NOT NULL,
    actor       text   NOT NULL COLLATE "C" CHECK (actor <> ''),
    action      text   NOT NULL COLLATE "C" CHECK (action IN ('published', 'signing', 'retired', 'retired_at_once')),
    key_id      text   NOT NULL COLLATE "C" CHECK (length(key_id) = 8),
    label       text   NOT NULL COLLATE "C" CHECK (label <> ''),
    token_label text   NOT NULL COLLATE "C",
    public_key  bytea  NOT NULL CHECK (length(public_key) = 65),
    use_from_ms bigint,
    reason      text   NOT NULL COLLATE "C",
    seal        bytea  NOT NULL CHECK (length(seal) = 32),
    CHECK ((action = 'published') = (use_from_ms IS NOT NULL))
);

-- Replicas and what they own. Life is judged by the database's clock alone.
CREATE TABLE replicas (
    id           smallint    NOT NULL PRIMARY KEY CHECK (id >= 0),
    incarnation  bigint      NOT NULL,          -- its latest start; writes of earlier ones are refused
    name         text        NOT NULL,
    address      text        NOT NULL,
    heartbeat_at timestamptz,                   -- NULL: it said that it is gone
    draining     boolean     NOT NULL
) WITH (fillfactor = 10);

-- How far the writers of each replica are. Each commits on a connection of its own.
CREATE TABLE writers (
    replica     smallint NOT NULL,
    writer      smallint NOT NULL,
    incarnation bigint   NOT NULL,              -- the start that its numbers count from
    last_batch  bigint   NOT NULL,              -- of its commits, counted by it; a commit that comes twice finds its own number here,
    answer      text,                           -- and the answer that was lost: see cashgate_commit
    PRIMARY KEY (replica, writer)
) WITH (fillfactor = 10);

CREATE TABLE lanes (
    atm         text     NOT NULL COLLATE "C" PRIMARY KEY,
    replica     smallint,                       -- NULL: its last owner let go of it
    incarnation bigint,
    epoch       bigint   NOT NULL               -- how often it was claimed
);

-- How often an entry's withdrawals changed: what a replica's copy of the entry is compared by.
CREATE TABLE limit_versions (
    kind    smallint NOT NULL,                  -- 0 account, 1 device, 2 atm
    key     text     NOT NULL COLLATE "C",      -- institution/account, institution/device, atm
    version bigint   NOT NULL,
    PRIMARY KEY (key, kind)
) WITH (fillfactor = 70);

-- What the customers of an institution withdrew, by the hour of the approval.
CREATE TABLE institution_spent (
    institution     text    NOT NULL COLLATE "C",
    currency        text    NOT NULL COLLATE "C",
    hour            integer NOT NULL,           -- since 1970
    amount          bigint  NOT NULL,
    withdrawals     bigint  NOT NULL,
    new_amount      bigint  NOT NULL,           -- of these, with new devices
    new_withdrawals bigint  NOT NULL,
    PRIMARY KEY (institution, currency, hour)
) WITH (fillfactor = 50);

-- Ended withdrawals that `cashgate archive` moved out of the way of those that come: the same rows, in the same chains. Tables and not
-- partitions, because a nonce is unique over all withdrawals, and a unique index of a partitioned table must hold the partition's key.
CREATE TABLE archived_withdrawals (LIKE withdrawals INCLUDING CONSTRAINTS, PRIMARY KEY (id));
CREATE UNIQUE INDEX archived_withdrawals_nonce ON archived_withdrawals (nonce);
CREATE TABLE archived_steps (LIKE steps INCLUDING CONSTRAINTS, PRIMARY KEY (sequence), UNIQUE (withdrawal, number));
CREATE TABLE archived_remarks (LIKE remarks INCLUDING CONSTRAINTS, PRIMARY KEY (withdrawal, number));

-- All there ever was, archived or not: what histories, lists and the feed are read from.
CREATE VIEW every_withdrawal AS SELECT * FROM withdrawals UNION ALL SELECT * FROM archived_withdrawals;
CREATE VIEW every_step AS SELECT * FROM steps UNION ALL SELECT * FROM archived_steps;
CREATE VIEW every_remark AS SELECT * FROM remarks UNION ALL SELECT * FROM archived_remarks;

-- The functions check all of this before they write. The triggers hold whoever comes with another program and an owner's rights.
CREATE FUNCTION cashgate_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END $$;

CREATE FUNCTION cashgate_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    kept boolean;
BEGIN
    IF TG_TABLE_NAME = 'withdrawals' THEN
        kept := EXISTS (SELECT 1 FROM archived_withdrawals WHERE id = OLD.id);
    ELSIF TG_TABLE_NAME = 'steps' THEN
        kept := EXISTS (SELECT 1 FROM archived_steps WHERE sequence = OLD.sequence);
    ELSE
        kept := EXISTS (SELECT 1 FROM archived_remarks WHERE withdrawal = OLD.withdrawal AND number = OLD.number);
    END IF;
    IF NOT kept THEN
        RAISE EXCEPTION '% are never deleted', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;

CREATE TRIGGER steps_do_not_change BEFORE UPDATE ON steps FOR EACH ROW EXECUTE FUNCTION cashgate_refuse('steps are append-only');
CREATE TRIGGER steps_stay BEFORE DELETE ON steps FOR EACH ROW EXECUTE FUNCTION cashgate_keep();
CREATE TRIGGER withdrawals_stay BEFORE DELETE ON withdrawals FOR EACH ROW EXECUTE FUNCTION cashgate_keep();
CREATE TRIGGER withdrawals_end_once BEFORE UPDATE ON withdrawals FOR EACH ROW WHEN (OLD.open = 0)
    EXECUTE FUNCTION cashgate_refuse('the withdrawal has ended');
CREATE TRIGGER withdrawals_keep_their_approval BEFORE UPDATE ON withdrawals FOR EACH ROW
    WHEN ((OLD.id, OLD.institution, OLD.account, OLD.device, OLD.atm, OLD.qr_session, OLD.nonce, OLD.currency, OLD.amount, OLD.day,
           OLD.approved_at_ms, OLD.policy_version, OLD.key_id) IS DISTINCT FROM
          (NEW.id, NEW.institution, NEW.account, NEW.device, NEW.atm, NEW.qr_session, NEW.nonce, NEW.currency, NEW.amount, NEW.day,
           NEW.approved_at_ms, NEW.policy_version, NEW.key_id))
    EXECUTE FUNCTION cashgate_refuse('what was approved does not change');
CREATE TRIGGER remarks_do_not_change BEFORE UPDATE ON remarks FOR EACH ROW EXECUTE FUNCTION cashgate_refuse('remarks are append-only');
CREATE TRIGGER remarks_stay BEFORE DELETE ON remarks FOR EACH ROW EXECUTE FUNCTION cashgate_keep();
CREATE TRIGGER notices_do_not_change BEFORE UPDATE OR DELETE ON notices FOR EACH ROW
    EXECUTE FUNCTION cashgate_refuse('notices are append-only');
CREATE TRIGGER key_events_do_not_change BEFORE UPDATE OR DELETE ON key_events FOR EACH ROW
    EXECUTE FUNCTION cashgate_refuse('key events are append-only');
CREATE TRIGGER archived_steps_do_not_change BEFORE UPDATE OR DELETE ON archived_steps FOR EACH ROW
    EXECUTE FUNCTION cashgate_refuse('steps are append-only');
CREATE TRIGGER archived_withdrawals_do_not_change BEFORE UPDATE OR DELETE ON archived_withdrawals FOR EACH ROW
    EXECUTE FUNCTION cashgate_refuse('the withdrawal has ended');
CREATE TRIGGER archived_remarks_do_not_change BEFORE UPDATE OR DELETE ON archived_remarks FOR EACH ROW
    EXECUTE FUNCTION cashgate_refuse('remarks are append-only');
