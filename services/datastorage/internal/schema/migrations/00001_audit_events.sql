-- +goose Up

-- One row an event, append-only. Partitioned by the time that the id carries,
-- so that the primary key makes event_id unique over all partitions;
-- see docs/decisions/0002-partition-by-id-time.md.
CREATE TABLE audit_events (
    id_time         timestamptz NOT NULL,
    event_id        uuid        NOT NULL,
    version         text        NOT NULL,
    event_type      text        NOT NULL,
    event_timestamp timestamptz NOT NULL,
    event_category  text        NOT NULL,
    event_action    text        NOT NULL,
    event_outcome   text        NOT NULL,
    correlation_id  text        NOT NULL,
    event_data      jsonb       NOT NULL,
    actor_type      text,
    actor_id        text,
    actor_ip        text,
    resource_type   text,
    resource_id     text,
    namespace       text,
    cluster_id      text,
    severity        text,
    duration_us     bigint,
    error_code      text,
    error_message   text,
    parent_event_id uuid,
    retention_days  integer     NOT NULL,
    is_sensitive    boolean     NOT NULL,
    producer_id     text,
    producer_epoch  bigint,
    producer_seq    bigint,
    content_digest  bytea       NOT NULL,
    recorded_by     text,
    received_at     timestamptz NOT NULL,
    PRIMARY KEY (id_time, event_id)
) PARTITION BY RANGE (id_time);

CREATE INDEX audit_events_by_correlation ON audit_events (correlation_id, event_timestamp, event_id);
CREATE INDEX audit_events_by_time ON audit_events (event_timestamp, event_id);

-- Ids without a time have -infinity as theirs.
CREATE TABLE audit_events_untimed PARTITION OF audit_events
    FOR VALUES FROM (MINVALUE) TO ('1970-01-01 00:00:00+00');

-- Whatever no month was made for: nothing is refused for its time.
CREATE TABLE audit_events_default PARTITION OF audit_events DEFAULT;

-- +goose Down

DROP TABLE audit_events;
