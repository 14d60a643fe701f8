//go:build integration

package app_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// movedTables are those that take the events of the default partition.
const movedTables = `SELECT coalesce(sum((xpath('/row/c/text()', query_to_xml(format('SELECT count(*) AS c FROM %s', oid::regclass), false, true, '')))[1]::text::bigint), 0)::bigint
	FROM pg_class WHERE relkind = 'r' AND relname ~ '^audit_events_(default_next|y20(17|18)m..)$' AND NOT relispartition`

// move is a run that moves strays, watched after each transaction.
type move struct {
	conn *pgx.Conn
	// stored is the number of events, largest that of those that one transaction has copied.
	stored, copied, largest int64
	// arrived events were stored while the run copied, refused ones came to a closed default partition.
	arrived, refused int64
}

func (m *move) between(t *testing.T) error {
	t.Helper()
	var copied int64
	if err := m.conn.QueryRow(t.Context(), movedTables).Scan(&copied); err != nil {
		return err
	}
	m.largest, m.copied = max(m.largest, copied-m.copied), copied
	if c := countsOf(t, m.conn); c.Events != m.stored || c.IDs != m.stored {
		t.Errorf("%d events were stored, and queries find %+v", m.stored, c)
	}
	_, err := insertAsVersion1(t.Context(), m.conn, time.Date(2017, time.May, 1, 0, 0, int(m.arrived), 0, time.UTC))
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.ConstraintName == "audit_events_default_room_moves":
		m.refused++
	case err != nil:
		return err
	default:
		m.arrived++
		m.stored++
	}
	return nil
}

func TestStraysMoveInSlicesAndAreFoundOnceMeanwhile(t *testing.T) {
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	conn := connect(t, database)
	insert := func(n int, at time.Time) {
		t.Helper()
		for i := range n {
			if _, err := insertAsVersion1(t.Context(), conn, at.Add(time.Duration(i)*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
	}
	const months, slice, old = 130, 40, 50
	insert(old, time.Date(1990, time.May, 1, 0, 0, 0, 0, time.UTC)) // no month before 2015 gets a partition
	insert(months, time.Date(2017, time.May, 2, 0, 0, 0, 0, time.UTC))
	insert(months, time.Date(2018, time.June, 2, 0, 0, 0, 0, time.UTC))
	m := &move{conn: conn, stored: old + 2*months}
	run := func(between func() error) app.Maintained {
		t.Helper()
		maintainer, err := app.NewMaintainer(app.MaintainOptions{DatabaseURL: database, Slice: slice, Between: between})
		if err != nil {
			t.Fatal(err)
		}
		done, err := maintainer.Once(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	moving := true
	done := run(func() error {
		var tables int64
		if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_class WHERE relname = 'audit_events_default_next'`).Scan(&tables); err != nil {
			return err
		}
		if moving = moving && tables > 0; !moving {
			return nil
		}
		return m.between(t)
	})
	if done.Moved != 2*months+m.arrived || m.largest > slice || m.arrived == 0 || m.refused == 0 {
		t.Errorf("%d events moved, want %d; up to %d in one transaction, want at most %d; %d arrived and %d were refused meanwhile",
			done.Moved, 2*months+m.arrived, m.largest, slice, m.arrived, m.refused)
	}
	now := time.Now().UTC()
	// The months around now, and those that the strays got.
	if want := (schema.Room{Months: 5 + 2, Until: time.Date(now.Year(), now.Month()+4, 1, 0, 0, 0, 0, time.UTC)}); done.Room != want {
		t.Errorf("there are partitions for %+v, want %+v", done.Room, want)
	}
	wantComplete(t, conn, m.stored)
	var left, closed int64
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM audit_events_default),
		(SELECT count(*) FROM pg_constraint WHERE conrelid = 'audit_events_default'::regclass AND contype = 'c' AND conname LIKE '%_default_%')`).Scan(&left, &closed); err != nil {
		t.Fatal(err)
	}
	if left != old || closed != 0 {
		t.Errorf("the default partition has %d events, want %d, and %d constraints", left, old, closed)
	}

	// Once more, with what the first run has left behind. The tables change places without a look at their events.
	insert(months, time.Date(2019, time.July, 2, 0, 0, 0, 0, time.UTC))
	execute(t, conn, `CREATE TABLE looks (transaction bigint, relation oid, read bigint)`, `CREATE FUNCTION note_looks() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO looks SELECT txid_current(), relid, seq_tup_read FROM pg_stat_xact_user_tables WHERE relname ~ '^audit_events_'; END $$`,
		`CREATE EVENT TRIGGER looks ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION note_looks()`)
	if again := run(nil); again.Moved != months {
		t.Errorf("%d events moved, want %d", again.Moved, months)
	}
	var looks, changes int64
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FILTER (WHERE last > first), count(*)
		FROM (SELECT min(read) AS first, max(read) AS last FROM looks GROUP BY transaction, relation) AS l`).Scan(&looks, &changes); err != nil {
		t.Fatal(err)
	}
	if looks > 0 || changes == 0 {
		t.Errorf("%d of %d changes of tables looked at events", looks, changes)
	}
	execute(t, conn, `DROP EVENT TRIGGER looks`)
	wantComplete(t, conn, m.stored+months)
	if _, err := insertAsVersion1(t.Context(), conn, time.Date(2020, time.July, 2, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Errorf("a stray is refused after a move: %v", err)
	}
}
