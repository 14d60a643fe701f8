-- +goose Up

-- Programs of version 1 write and read while and after this runs: every new
-- column may be missing from an INSERT. Nothing here reads or rewrites a row;
-- `datastorage maintain` completes rows and builds indexes later.
-- See docs/decisions/0038-schema-for-the-ledger.md.
SET LOCAL lock_timeout = '3s';

ALTER TABLE audit_events
    -- The time of an event's place in lists and cursors, at most 5 minutes after
    -- its receipt; NULL where that is event_timestamp.
    ADD COLUMN sort_time        timestamptz,
    -- The row's place in audit_batches; a batch's positions are 0 to events - 1.
    ADD COLUMN batch_id         bigint,
    ADD COLUMN batch_position   integer,
    -- The id that was sent, where another event had it.
    ADD COLUMN claimed_event_id uuid,
    -- See docs/commitments.md. Three salts of 32 bytes each; the first one alone after an erasure.
    ADD COLUMN commitment       bytea,
    ADD COLUMN salts            bytea,
    -- Of audit_erasures. Then content_digest is keyed.
    ADD COLUMN erasure_id       bigint;

-- One row for each transaction of ingest, written in that transaction. The
-- sequencer reads commitments, in the order of the positions, without the events.
CREATE TABLE audit_batches (
    batch_id    bigint      NOT NULL PRIMARY KEY,
    received_at timestamptz NOT NULL,
    events      integer     NOT NULL CHECK (events > 0),
    commitments bytea       NOT NULL,
    -- Its events were stored before they had commitments.
    backfilled  boolean     NOT NULL DEFAULT false,
    -- audit_rollup counts its events.
    rolled_up   boolean     NOT NULL DEFAULT false
);
ALTER TABLE audit_batches ALTER COLUMN commitments SET STORAGE EXTERNAL;
CREATE INDEX audit_batches_to_roll_up ON audit_batches (batch_id) WHERE NOT rolled_up;
CREATE INDEX audit_batches_by_receipt ON audit_batches USING brin (received_at) WITH (pages_per_range = 16);

-- A program reserves as many ids as the increment, and numbers its batches without a round trip.
CREATE SEQUENCE audit_batch_ids AS bigint INCREMENT BY 1024;

-- The sequencer's: batches in the order of the log. The leaf of an event is
-- first_leaf + batch_position.
CREATE TABLE audit_leaf_ranges (
    first_leaf bigint  NOT NULL PRIMARY KEY,
    batch_id   bigint  NOT NULL UNIQUE,
    events     integer NOT NULL CHECK (events > 0)
);

-- Which event a producer's sequence number was, where that event is a duplicate
-- of one with other producer fields.
CREATE TABLE audit_producer_duplicates (
    producer_id    text        NOT NULL,
    producer_epoch bigint      NOT NULL,
    producer_seq   bigint      NOT NULL,
    event_id       uuid        NOT NULL,
    received_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (producer_id, producer_epoch, producer_seq)
);

-- Counts for charts; text is empty where the event has none.
CREATE TABLE audit_rollup (
    minute        timestamptz NOT NULL,
    event_type    text        NOT NULL,
    event_outcome text        NOT NULL,
    severity      text        NOT NULL,
    namespace     text        NOT NULL,
    events        bigint      NOT NULL,
    PRIMARY KEY (minute, event_type, event_outcome, severity, namespace)
);

-- How far maintenance came: one row for each task that continues.
CREATE TABLE audit_maintenance (
    task       text        NOT NULL PRIMARY KEY,
    state      jsonb       NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Rows that one transaction at a time may hold. Placing a hold and dropping a
-- partition take "retention".
CREATE TABLE audit_locks (name text NOT NULL PRIMARY KEY, taken_at timestamptz);
INSERT INTO audit_locks (name) VALUES ('retention'), ('maintenance');

-- Leases of roles that one process has; a holder whose fence is lower than the row's has lost it.
CREATE TABLE audit_leases (
    name       text        NOT NULL PRIMARY KEY,
    holder     text        NOT NULL,
    fence      bigint      NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Legal holds; a row stays when it is released. Either a correlation id or a filter.
CREATE TABLE audit_holds (
    hold_id        uuid        NOT NULL PRIMARY KEY,
    correlation_id text,
    filter         jsonb,
    reason         text        NOT NULL,
    placed_by      text        NOT NULL,
    placed_at      timestamptz NOT NULL DEFAULT now(),
    released_by    text,
    released_at    timestamptz,
    release_reason text,
    CHECK ((correlation_id IS NULL) <> (filter IS NULL)),
    CHECK ((released_by IS NULL) = (released_at IS NULL))
);
CREATE INDEX audit_holds_in_force ON audit_holds (correlation_id) WHERE released_at IS NULL;

-- What the serving role asks of maintenance, which alone may change events.
CREATE TABLE audit_requests (
    request_id   uuid        NOT NULL PRIMARY KEY,
    kind         text        NOT NULL,
    request      jsonb       NOT NULL,
    requested_by text        NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    result       jsonb
);
CREATE INDEX audit_requests_open ON audit_requests (requested_at) WHERE finished_at IS NULL;

-- Keys of the digests that outlive their payload.
CREATE TABLE audit_digest_keys (
    key_id     integer     NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key        bytea       NOT NULL CHECK (octet_length(key) = 32),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Erased events, to be erased again from a restored backup.
CREATE TABLE audit_erasures (
    erasure_id   bigint      NOT NULL,
    id_time      timestamptz NOT NULL,
    event_id     uuid        NOT NULL,
    keyed_digest bytea       NOT NULL,
    key_id       integer     NOT NULL REFERENCES audit_digest_keys,
    reason       text        NOT NULL,
    requested_by text        NOT NULL,
    erased_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (id_time, event_id)
);
CREATE SEQUENCE audit_erasure_ids AS bigint;

-- Rows of dropped partitions that are kept for longer.
CREATE TABLE audit_events_retained (LIKE audit_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE audit_events_retained ADD PRIMARY KEY (id_time, event_id);
CREATE INDEX audit_events_retained_by_correlation ON audit_events_retained (correlation_id, (coalesce(sort_time, event_timestamp)));
CREATE INDEX audit_events_retained_by_time ON audit_events_retained ((coalesce(sort_time, event_timestamp)));

-- The oldest program that works with a version of the schema.
CREATE TABLE schema_compatible (
    version        bigint NOT NULL PRIMARY KEY,
    oldest_program bigint NOT NULL
);
INSERT INTO schema_compatible (version, oldest_program) VALUES (1, 1), (2, 1);

-- +goose StatementBegin
-- Events change by retention and erasure alone, which members of the owner run.
CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT pg_has_role(current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER') THEN
        RAISE EXCEPTION '% of % is refused: audit events are append-only', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'insufficient_privilege', HINT = 'Only members of the role that owns the table change events.';
    END IF;
    IF TG_OP = 'UPDATE' THEN
        RETURN NEW;
    END IF;
    RETURN OLD;
END
$$;
-- +goose StatementEnd

-- PostgreSQL copies a row trigger to every partition, but no statement trigger.
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_events FOR EACH ROW EXECUTE FUNCTION audit_append_only();
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit_events_retained FOR EACH ROW EXECUTE FUNCTION audit_append_only();

-- +goose StatementBegin
DO $$
DECLARE
    events regclass;
    lz4 boolean := EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals));
BEGIN
    FOR events IN
        SELECT 'audit_events'::regclass UNION ALL SELECT 'audit_events_retained'::regclass
        UNION ALL SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'audit_events'::regclass
    LOOP
        EXECUTE format('CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()', events);
        IF lz4 THEN
            EXECUTE format('ALTER TABLE %s ALTER COLUMN event_data SET COMPRESSION lz4', events);
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- A table with events gets its indexes without being locked, by schema.Indexes;
-- the ones of version 1 serve its programs until then.
DO $$
BEGIN
    IF EXISTS (SELECT FROM audit_events) THEN
        CREATE INDEX audit_events_by_correlation_sorted ON ONLY audit_events (correlation_id, (coalesce(sort_time, event_timestamp)));
        CREATE INDEX audit_events_by_sort_time ON ONLY audit_events ((coalesce(sort_time, event_timestamp)));
        CREATE INDEX audit_events_by_batch ON ONLY audit_events USING brin (batch_id) WITH (pages_per_range = 16);
    ELSE
        CREATE INDEX audit_events_by_correlation_sorted ON audit_events (correlation_id, (coalesce(sort_time, event_timestamp)));
        CREATE INDEX audit_events_by_sort_time ON audit_events ((coalesce(sort_time, event_timestamp)));
        CREATE INDEX audit_events_by_batch ON audit_events USING brin (batch_id) WITH (pages_per_range = 16);
        DROP INDEX audit_events_by_correlation;
        DROP INDEX audit_events_by_time;
    END IF;
END
$$;
-- +goose StatementEnd
