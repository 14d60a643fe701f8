-- +goose Up

-- Erasure takes an event's subject fields and data away. Nothing here reads or
-- rewrites a row. See docs/decisions/0050-erasure.md.
SET LOCAL lock_timeout = '3s';

ALTER TABLE audit_events
    -- When subject fields and data were erased. salts has the envelope's salt alone then.
    ADD COLUMN erased_at    timestamptz,
    -- The hashes of subject and data, as the commitment has them; see docs/commitments.md.
    ADD COLUMN erased_parts bytea,
    ALTER COLUMN event_data DROP NOT NULL;

-- The list of erased events, one row each. Their reasons are in audit_requests.
ALTER TABLE audit_erasures
    DROP COLUMN keyed_digest,
    DROP COLUMN reason,
    DROP COLUMN requested_by,
    ADD COLUMN request_id uuid NOT NULL REFERENCES audit_requests;

CREATE INDEX audit_requests_by_kind ON audit_requests (kind, requested_at);

INSERT INTO schema_compatible (version, oldest_program) VALUES (3, 1);
