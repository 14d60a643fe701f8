package query

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"kubernaut.ai/services/datastorage/internal/consistency"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// StatsParams are the parameters of counts as the client gave them, "" for missing ones.
type StatsParams struct {
	EventType, EventOutcome, Severity, Namespace string
	Since, Until, Bucket, By                     string
	AtLeast                                      []string
}

// Stats are counts of events over time. The counts themselves go to an EmitCount.
type Stats struct {
	Since, Until time.Time
	Bucket       time.Duration
	// ContinueAt is where the next query goes on; zero at the end of the span.
	ContinueAt time.Time
	// Uncounted is how many events, of any kind and time, the counts may lack,
	// because maintenance is behind.
	Uncounted int64
}

// Count is how many events one bucket has of one kind. A field is empty where it
// was not asked for, and where the events have none.
type Count struct {
	Start                                        time.Time
	EventType, EventOutcome, Severity, Namespace string
	Events                                       int64
}

// EmitCount takes counts, one after the other.
type EmitCount func(*Count) error

// The bounds of counts.
const (
	defaultSpan   = 24 * time.Hour
	defaultBucket = time.Hour
	// maxCounts bounds an answer.
	maxCounts = 10_000
	// maxMinutes bounds the rows of the rollup that a query adds up.
	maxMinutes = 200_000
	// maxUncounted bounds the events that a query counts itself, maxBatches their batches.
	maxUncounted, maxBatches = 50_000, 5_000
)

// kinds are what the rollup counts by, in the order of Count.
var kinds = []string{"event_type", columnOutcome, columnSeverity, columnNamespace}

// counting is a query for counts that was checked.
type counting struct {
	since, until time.Time
	bucket       time.Duration
	by           []string
	filter       *conditions
	tokens       []consistency.Token
}

func (p StatsParams) prepare(now time.Time) (*counting, error) {
	bad := &ParamError{}
	q := Params{EventType: p.EventType, EventOutcome: p.EventOutcome, Severity: p.Severity, Namespace: p.Namespace}
	q.checkType(bad)
	c := &counting{bucket: defaultBucket, filter: q.filter(bad), tokens: parseTokens(p.AtLeast, bad)}
	q.Since, q.Until = p.Since, p.Until
	s := q.span(bad, now)
	c.until = now
	if s.until != nil {
		c.until = *s.until
	}
	c.since = c.until.Add(-defaultSpan)
	if s.since != nil {
		c.since = *s.since
	}
	// Minutes are the finest that is counted.
	c.since = c.since.UTC().Truncate(time.Minute)
	if whole := c.until.UTC().Truncate(time.Minute); whole.Before(c.until) {
		c.until = whole.Add(time.Minute)
	}
	if p.Until == "" && !c.since.Before(c.until) {
		bad.refusef(paramSince, "must be in the past where until is missing, which is the present then")
	}
	if p.Bucket != "" {
		c.bucket = parseBucket(p.Bucket, bad)
	}
	if p.By != "" {
		c.by = strings.Split(p.By, ",")
	}
	for i, name := range c.by {
		if !slices.Contains(kinds, name) || slices.Contains(c.by[:i], name) {
			bad.refusef("by", "must be some of %s, each once, with commas between", strings.Join(kinds, ", "))
		}
	}
	if len(bad.Fields) > 0 {
		return nil, bad
	}
	return c, nil
}

func parseBucket(text string, bad *ParamError) time.Duration {
	const day, week = 24 * time.Hour, 7 * 24 * time.Hour
	bucket, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		const bits = 8 // for far more than a week
		n, err = strconv.ParseUint(days, 10, bits)
		bucket = time.Duration(n) * day
	}
	if err != nil || bucket < time.Minute || bucket > week || bucket%time.Minute != 0 {
		bad.refusef("bucket", "must be whole minutes from 1m to 7d, as in 5m, 24h or 1d")
	}
	return bucket
}

// Stats counts events. Its errors are those of Find.
func (q *Finder) Stats(ctx context.Context, p StatsParams, emit EmitCount) (*Stats, error) {
	c, err := p.prepare(q.clock.Now())
	if err != nil {
		return nil, err
	}
	var stats *Stats
	err = q.reads.Do(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		if err := q.gate.Await(ctx, tx, c.tokens); err != nil {
			return err //nolint:wrapcheck // says all there is
		}
		stats, err = c.run(ctx, tx, emit)
		return err
	})
	if err := explain(err); err != nil {
		return nil, err
	}
	return stats, nil
}

func (c *counting) run(ctx context.Context, tx pgx.Tx, emit EmitCount) (*Stats, error) {
	stats := &Stats{Since: c.since, Until: c.until, Bucket: c.bucket}
	end, err := c.end(ctx, tx)
	if err != nil {
		return nil, err
	}
	if end.Before(c.until) {
		stats.ContinueAt = end
	}
	batches, uncounted, err := pending(ctx, tx)
	if err != nil {
		return nil, err
	}
	stats.Uncounted = uncounted
	sql, args := c.query(end, batches)
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("count events: %w", err)
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		var one Count
		if err := rows.Scan(&one.Start, &one.EventType, &one.EventOutcome, &one.Severity, &one.Namespace, &one.Events); err != nil {
			return nil, fmt.Errorf("count events: %w", err)
		}
		if n == maxCounts {
			bad := &ParamError{}
			bad.refusef("bucket", "the answer would have more than %d counts: take larger buckets, a shorter span, or less in by", maxCounts)
			return nil, bad
		}
		one.Start = one.Start.UTC()
		if err := emit(&one); err != nil {
			return nil, &emitError{err}
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("count events: %w", err)
	}
	return stats, nil
}

// end is how far one query counts.
func (c *counting) end(ctx context.Context, tx pgx.Tx) (time.Time, error) {
	const bound = `SELECT minute FROM audit_rollup WHERE minute >= $1 AND minute < $2 ORDER BY minute OFFSET $3 LIMIT 1`
	var end time.Time
	switch err := tx.QueryRow(ctx, bound, c.since, c.until, maxMinutes).Scan(&end); {
	case errors.Is(err, pgx.ErrNoRows):
		return c.until, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("bound the counts: %w", err)
	}
	if end = end.UTC(); !end.After(c.since) {
		end = c.since.Add(time.Minute)
	}
	return end, nil
}

// pending are the oldest batches that maintenance has not counted, as far as a
// query counts them itself, and how many events the others have.
func pending(ctx context.Context, tx pgx.Tx) (batches []int64, others int64, err error) {
	const find = `SELECT batch_id, events FROM audit_batches WHERE NOT rolled_up ORDER BY batch_id LIMIT $1`
	rows, err := tx.Query(ctx, find, maxBatches)
	if err != nil {
		return nil, 0, fmt.Errorf("look for uncounted batches: %w", err)
	}
	var id, events, taken int64
	_, err = pgx.ForEachRow(rows, []any{&id, &events}, func() error {
		if others == 0 && taken+events <= maxUncounted {
			batches, taken = append(batches, id), taken+events
		} else {
			others += events
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("look for uncounted batches: %w", err)
	}
	return batches, others, nil
}

// query counts in one statement: a batch that maintenance counts meanwhile is
// either in the rollup or in the other part, never in both.
func (c *counting) query(end time.Time, batches []int64) (sql string, args []any) {
	var selected []string
	for _, kind := range kinds {
		if slices.Contains(c.by, kind) {
			selected = append(selected, kind)
		} else {
			selected = append(selected, "'' AS "+kind)
		}
	}
	filter := c.filter.clone()
	filter.add("minute >= %s", c.since)
	filter.add("minute < %s", end)
	where := filter.where()
	args = filter.args
	counts := `SELECT minute, event_type, event_outcome, severity, namespace, events FROM audit_rollup` + where
	if len(batches) > 0 {
		args = append(args, batches, batches[0], batches[len(batches)-1])
		n := len(args)
		counts += fmt.Sprintf(` UNION ALL SELECT minute, event_type, event_outcome, severity, namespace, 1 FROM (
				SELECT date_trunc('minute', %s) AS minute, event_type, event_outcome, coalesce(severity, '') AS severity, coalesce(namespace, '') AS namespace
				FROM audit_events WHERE batch_id BETWEEN $%d AND $%d
					AND batch_id = ANY (ARRAY(SELECT batch_id FROM audit_batches WHERE batch_id = ANY ($%d) AND NOT rolled_up))) AS uncounted`,
			schema.SortTime, n-1, n, n-2) + where
	}
	args = append(args, c.bucket)
	return fmt.Sprintf(`SELECT date_bin($%d::interval, minute, '2001-01-01 00:00:00+00') AS start, %s, sum(events)::bigint
		FROM (%s) AS counts GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5 LIMIT %d`, len(args), strings.Join(selected, ", "), counts, maxCounts+1), args
}

// parseTokens reads consistency tokens.
func parseTokens(texts []string, bad *ParamError) (tokens []consistency.Token) {
	if len(texts) > maxTokens {
		bad.refusef("at_least", "may be given at most %d times", maxTokens)
		return nil
	}
	for _, text := range texts {
		token, err := consistency.Parse(text)
		if err != nil {
			bad.refusef("at_least", "%v", err)
			continue
		}
		tokens = append(tokens, token)
	}
	return tokens
}
