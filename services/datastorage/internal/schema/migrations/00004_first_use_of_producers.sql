-- +goose Up

-- Finds who was the first to use a producer_id, of which the first events of each
-- epoch tell; the others cost nothing. See docs/decisions/0054-first-use-of-a-producer.md.
SET LOCAL lock_timeout = '3s';

-- +goose StatementBegin
-- A table with events gets its index without being locked, by schema.Indexes.
DO $$
BEGIN
    IF EXISTS (SELECT FROM audit_events) THEN
        CREATE INDEX audit_events_by_producer_start ON ONLY audit_events (producer_id, received_at, event_id) WHERE producer_seq <= 10;
    ELSE
        CREATE INDEX audit_events_by_producer_start ON audit_events (producer_id, received_at, event_id) WHERE producer_seq <= 10;
    END IF;
END
$$;
-- +goose StatementEnd

INSERT INTO schema_compatible (version, oldest_program) VALUES (4, 1);
