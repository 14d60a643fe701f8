package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	datastorage "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/auditdb"
)

// insertTrail stores events of 70 days, eight a trail. Their commitments, salts and digests are
// filler: no query reads them.
const insertTrail = `INSERT INTO audit_events (id_time, event_id, version, event_type, event_timestamp, event_category, event_action, event_outcome, correlation_id,
	event_data, actor_type, actor_id, resource_type, resource_id, namespace, cluster_id, severity, retention_days, is_sensitive, producer_id, producer_epoch,
	producer_seq, content_digest, recorded_by, received_at, batch_id, batch_position, commitment, salts)
SELECT date_trunc('milliseconds', t), (lpad(to_hex((extract(epoch FROM t) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8' || substr(md5(n::text), 4, 15))::uuid,
	'1.0', (ARRAY['gateway.signal.received', 'signalprocessing.request.completed', 'remediation.request.started', 'workflowexecution.run.started'])[1 + n % 4],
	t, 'gateway', 'received', (ARRAY['success', 'failure'])[1 + n % 2], 'rr-' || n / 8, $1::jsonb || jsonb_build_object('n', n),
	'service', 'gateway-0', 'Pod', 'checkout-' || n % 2000, 'ns-' || n % 50, 'eu-west-1-prod', 'critical', 2555, false, 'gateway-0', 1767323045000,
	n, decode(md5(n::text), 'hex'), 'kubernaut:gateway', t, n / 1000, n % 1000, sha256(n::text::bytea), repeat('s', 96)::bytea
FROM (SELECT n, $2::timestamptz + n * $3::interval AS t FROM generate_series($4::bigint, $5::bigint - 1) AS n) AS made`

const trailSpan = 70 * 24 * time.Hour

// trailName is the database of a trail.
func trailName(events int) string { return fmt.Sprintf("trail_%d", events) }

// loaded is a table that a database has once all of its events are there.
const loaded = "bench_loaded"

// keptTrail returns the database with this many events of a run before.
func (b *bench) keptTrail(ctx context.Context, events int) (url string, found bool, err error) {
	pool, err := pgxpool.New(ctx, b.database.URL())
	if err != nil {
		return "", false, fmt.Errorf("connect: %w", err)
	}
	defer pool.Close()
	if err := pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, trailName(events)).Scan(&found); err != nil || !found {
		return "", false, err //nolint:wrapcheck // says what failed
	}
	// It exists, so that this makes the connection string alone.
	if url, err = b.database.CreateDatabase(ctx, trailName(events), ""); err != nil {
		return "", false, err //nolint:wrapcheck // says what failed
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", false, fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	err = conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, loaded).Scan(&found)
	return url, found, err //nolint:wrapcheck // says what failed
}

// loadTrail makes a database with this many events and the indexes of complete months, unless
// there is one that was kept.
func (b *bench) loadTrail(ctx context.Context, events int) (url string, err error) {
	url, found, err := b.keptTrail(ctx, events)
	if err != nil || found {
		return url, err
	}
	if err := b.database.DropDatabase(ctx, trailName(events)); err != nil {
		return "", err //nolint:wrapcheck // says what failed
	}
	if url, err = auditdb.Create(ctx, b.database, trailName(events)); err != nil {
		return "", err //nolint:wrapcheck // says all there is
	}
	now := time.Now().UTC().Truncate(time.Second)
	begin := now.Add(-trailSpan)
	for at := begin; at.Before(now.AddDate(0, 1, 0)); at = at.AddDate(0, 1, 0) {
		if _, err := auditdb.Migrate(ctx, url, at); err != nil {
			return "", fmt.Errorf("make months: %w", err)
		}
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	const slice = 100_000
	for from := 0; from < events; from += slice {
		if _, err := conn.Exec(ctx, insertTrail, eventData, begin, trailSpan/time.Duration(events), from, min(from+slice, events)); err != nil {
			return "", fmt.Errorf("load events: %w", err)
		}
	}
	if _, err := conn.Exec(ctx, `VACUUM ANALYZE audit_events`); err != nil {
		return "", fmt.Errorf("load events: %w", err)
	}
	maintainer, err := datastorage.NewMaintainer(datastorage.MaintainOptions{DatabaseURL: url})
	if err != nil {
		return "", fmt.Errorf("build indexes: %w", err)
	}
	if _, err := maintainer.Once(ctx); err != nil {
		return "", fmt.Errorf("build indexes: %w", err)
	}
	if _, err := conn.Exec(ctx, `CREATE TABLE `+loaded+` ()`); err != nil {
		return "", fmt.Errorf("load events: %w", err)
	}
	return url, nil
}
