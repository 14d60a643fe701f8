//go:build integration

package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	api "kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/datastorage/app"
)

const (
	day = 24 * time.Hour
	// later is when short retention is over.
	later = 45 * day
	// expiring is the number of events with short retention.
	expiring = 200
)

// trail is a database with events to retain.
type trail struct {
	*app.App

	owner string
	conn  *pgx.Conn
	// serving is a connection of the role that serves.
	serving *pgx.Conn
	// long has a long retention, heldByID and heldByActor are held once hold was called.
	long, heldByID, heldByActor api.AuditEvent
}

func newTrail(t *testing.T) *trail {
	t.Helper()
	return newTrailAt(t, clock.RealClock{})
}

// newTrailAt is a trail whose server has a clock.
func newTrailAt(t *testing.T, c clock.WithTicker) *trail {
	t.Helper()
	database := newDatabase(t)
	owner, serving := withRoles(t, database)
	f := &trail{App: serveWith(t, app.Options{DatabaseURL: serving, Clock: c}), owner: owner, conn: connect(t, database), serving: connect(t, serving)}
	batch := make([]api.AuditEvent, 0, expiring+3)
	for range expiring {
		batch = append(batch, anEvent(1, "bob"))
	}
	f.long, f.heldByID, f.heldByActor = anEvent(3000, "bob"), anEvent(1, "bob"), anEvent(1, "alice")
	batch = append(batch, f.long, f.heldByID, f.heldByActor)
	call[api.BatchCreated](t, f.App, http.MethodPost, "/api/v1/audit/events/batch", batch, http.StatusCreated)
	return f
}

func anEvent(days int32, actor string) api.AuditEvent {
	// A month that ended: the events about holds and runs are in another.
	id := wire.NewID(time.Date(2019, time.March, 4, 0, 0, 0, 0, time.UTC), rand.Uint64())
	return api.AuditEvent{
		EventId: &id, Version: "1.0", EventType: "shop.order.paid", EventTimestamp: time.Now().UTC(), EventCategory: "shop", EventAction: "pay",
		EventOutcome: "success", CorrelationId: uuid.NewString(), EventData: []byte(`{"price": 1.5}`), RetentionDays: &days, ActorId: &actor,
	}
}

func (f *trail) hold(t *testing.T) {
	t.Helper()
	call[api.LegalHold](t, f.App, http.MethodPost, holdsPath, api.LegalHoldRequest{CorrelationId: &f.heldByID.CorrelationId, Reason: "case 1"}, http.StatusCreated)
	call[api.LegalHold](t, f.App, http.MethodPost, holdsPath, api.LegalHoldRequest{Filter: map[string]string{"actor_id": "alice"}, Reason: "case 2"}, http.StatusCreated)
}

// maintain runs maintenance with a clock that is ahead.
func (f *trail) maintain(t *testing.T, ahead time.Duration, between func() error) (app.Maintained, error) {
	t.Helper()
	m, err := app.NewMaintainer(app.MaintainOptions{
		DatabaseURL: f.owner, Slice: 40, RetentionFloor: 1, Clock: clocktesting.NewFakeClock(time.Now().Add(ahead)), Between: between,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m.Once(t.Context())
}

// wantEvents compares the events of the shop in the database.
func (f *trail) wantEvents(t *testing.T, want ...api.AuditEvent) {
	t.Helper()
	var ids []string
	wanted := make([]string, 0, len(want))
	err := f.conn.QueryRow(t.Context(), `SELECT coalesce(array_agg(event_id::text ORDER BY event_id), '{}') FROM audit_events WHERE event_category = 'shop'`).Scan(&ids)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range want {
		wanted = append(wanted, e.EventId.String())
	}
	slices.Sort(wanted)
	if !slices.Equal(ids, wanted) {
		t.Fatalf("%d events are left, want %d: %v", len(ids), len(want), wanted)
	}
}

func TestExpiredEventsAreRemovedAndHeldOnesStay(t *testing.T) {
	f := newTrail(t)
	f.hold(t)
	done, err := f.maintain(t, later, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Removed) != 1 || done.Removed[0].Removed != expiring || done.Removed[0].Held != 2 {
		t.Errorf("removed %+v, want %d events", done.Removed, expiring)
	}
	f.wantEvents(t, f.long, f.heldByID, f.heldByActor)
	verifyCommitments(t, f.conn)
	for _, e := range []api.AuditEvent{f.long, f.heldByID} {
		found := call[api.StoredEvent](t, f.App, http.MethodGet, "/api/v1/audit/events/"+e.EventId.String(), nil, http.StatusOK)
		if found.CorrelationId != e.CorrelationId {
			t.Errorf("got %v", found)
		}
		if again := call[api.EventCreated](t, f.App, http.MethodPost, "/api/v1/audit/events", e, http.StatusCreated); again.Message != "stored before" {
			t.Errorf("a replay of an event that stayed is %s", again.Message)
		}
	}
	recorded := call[api.EventPage](t, f.App, http.MethodGet, "/api/v1/audit/events?event_type=datastorage.retention.expired", nil, http.StatusOK)
	if len(recorded.Data) != 1 {
		t.Fatalf("%d events about the removal, want 1", len(recorded.Data))
	}
	keepExample(t, &recorded.Data[0])
	if again, err := f.maintain(t, later, nil); err != nil || len(again.Removed) > 0 {
		t.Errorf("the next run removed %v: %v", again.Removed, err)
	}

	// A hold covers an event that is stored after it, until it is released.
	late := anEvent(1, "alice")
	call[api.EventCreated](t, f.App, http.MethodPost, "/api/v1/audit/events", late, http.StatusCreated)
	if _, err := f.maintain(t, 3100*day, nil); err != nil {
		t.Fatal(err)
	}
	f.wantEvents(t, f.heldByID, f.heldByActor, late)
	call[api.LegalHoldList](t, f.App, http.MethodDelete, holdsPath+"/"+f.heldByID.CorrelationId+"?reason=settled", nil, http.StatusOK)
	if _, err := f.maintain(t, 3101*day, nil); err != nil {
		t.Fatal(err)
	}
	f.wantEvents(t, f.heldByActor, late)
}

func TestAHoldThatIsPlacedBetweenTheStepsOfARunIsKept(t *testing.T) {
	for _, step := range []int{1, 2} {
		f := newTrail(t)
		steps := 0
		done, err := f.maintain(t, later, func() error {
			if !f.closed(t) {
				return nil
			}
			if steps++; steps == step {
				f.hold(t)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(done.Removed)+len(done.Postponed) != 1 {
			t.Errorf("step %d: removed %v and put off %v, want one of them", step, done.Removed, done.Postponed)
		}
		if steps < step {
			t.Fatalf("the run has %d steps after it has closed the month", steps)
		}
		if _, err := f.maintain(t, later, nil); err != nil {
			t.Fatal(err)
		}
		f.wantEvents(t, f.long, f.heldByID, f.heldByActor)
	}
}

// closed reports whether a month takes no events, because some are being removed.
func (f *trail) closed(t *testing.T) (closed bool) {
	t.Helper()
	if err := f.conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_constraint WHERE conname LIKE '%room_retention')`).Scan(&closed); err != nil {
		t.Fatal(err)
	}
	return closed
}

func TestARetentionRunThatIsKilledIsTakenUp(t *testing.T) {
	f := newTrail(t)
	f.hold(t)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for after := 1; ; after++ {
		last := killAfter(t, program, f.owner, after, maintainedAhead+"="+later.String())
		if last == "done" {
			break
		}
		killed++
		for _, e := range []api.AuditEvent{f.long, f.heldByID, f.heldByActor} {
			call[api.StoredEvent](t, f.App, http.MethodGet, "/api/v1/audit/events/"+e.EventId.String(), nil, http.StatusOK)
		}
		execute(t, f.conn, `UPDATE audit_leases SET expires_at = '-infinity'`)
	}
	if killed == 0 {
		t.Error("nothing was killed")
	}
	f.wantEvents(t, f.long, f.heldByID, f.heldByActor)
	// The month takes events again.
	call[api.EventCreated](t, f.App, http.MethodPost, "/api/v1/audit/events", anEvent(1, "bob"), http.StatusCreated)
}

func TestARunThatFailsLeavesTheMonthOpen(t *testing.T) {
	f := newTrail(t)
	broken := errors.New("broken")
	if _, err := f.maintain(t, later, func() error {
		if f.closed(t) {
			return broken
		}
		return nil
	}); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	call[api.EventCreated](t, f.App, http.MethodPost, "/api/v1/audit/events", anEvent(1, "bob"), http.StatusCreated)
}

// Regression test: a run that was paused while another took over used to open the month that the other had closed, and to
// remove the table with the events that stay.
func TestARunThatLostItsLeaseLeavesTheMonthOfItsSuccessorAlone(t *testing.T) {
	f := newTrail(t)
	type end struct {
		done app.Maintained
		err  error
	}
	closed, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan end, 1)
	succeed := func() {
		paused := false
		done, err := f.maintain(t, later, func() error {
			if paused || !f.closed(t) {
				return nil
			}
			paused = true
			close(closed)
			<-goOn
			return nil
		})
		ended <- end{done, err}
	}
	overtaken := false
	_, err := f.maintain(t, later, func() error {
		if overtaken || !f.closed(t) {
			return nil
		}
		overtaken = true
		execute(t, f.conn, `UPDATE audit_leases SET expires_at = '-infinity'`)
		go succeed()
		select {
		case <-closed:
			return nil
		case e := <-ended:
			return fmt.Errorf("the successor ended early: %w", e.err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "taken over") {
		t.Errorf("the run that lost its lease: %v", err)
	}
	close(goOn)
	successor := <-ended
	if successor.err != nil || len(successor.done.Removed) != 1 || successor.done.Removed[0].Kept != 1 {
		t.Errorf("its successor: %+v, %v", successor.done.Removed, successor.err)
	}
	f.wantEvents(t, f.long)
}

// earlier is a clock that is behind by later.
type earlier struct{ clock.RealClock }

func (earlier) Now() time.Time { return time.Now().Add(-later) }

func (c earlier) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func TestADryRunPrintsWhatARunRemoves(t *testing.T) {
	f := newTrailAt(t, earlier{})
	f.hold(t)
	maintain := func(flag string) string {
		t.Helper()
		var out bytes.Buffer
		c := app.Command()
		c.SetOut(&out)
		c.SetErr(&out)
		if code := cli.Execute(t.Context(), c, []string{"maintain", flag, "--database-url", f.owner, "--retention-floor", "1"}, &out); code != cli.ExitOK {
			t.Fatalf("maintain %s: exit code %d: %s", flag, code, &out)
		}
		return out.String()
	}
	all := func() (count int) {
		t.Helper()
		if err := f.conn.QueryRow(t.Context(), `SELECT count(*) FROM audit_events WHERE event_category = 'shop'`).Scan(&count); err != nil {
			t.Fatal(err)
		}
		return count
	}
	before := all()
	want := fmt.Sprintf(": %d expired events to remove, 3 to keep, 2 of them held\n", expiring)
	if out := maintain("--dry-run"); !strings.Contains(out, want) {
		t.Errorf("a dry run printed %q, want %q", out, want)
	}
	if all() != before {
		t.Errorf("%d events are left after a dry run, want %d", all(), before)
	}
	want = fmt.Sprintf(": removed %d expired events, kept 3, 2 of them held\n", expiring)
	if out := maintain("--once"); !strings.Contains(out, want) {
		t.Errorf("a run printed %q, want %q", out, want)
	}
	f.wantEvents(t, f.long, f.heldByID, f.heldByActor)
	if out := maintain("--dry-run"); strings.Contains(out, "expired") {
		t.Errorf("a dry run after the run printed %q", out)
	}
}

func TestADryRunDoesNotWaitForALockedTable(t *testing.T) {
	database := newDatabase(t)
	migrate(t, database, app.Roles{})
	conn := connect(t, database)
	dryRun := func() (int, string) {
		var out bytes.Buffer
		c := app.Command()
		c.SetOut(&out)
		c.SetErr(&out)
		return cli.Execute(t.Context(), c, []string{"maintain", "--dry-run", "--database-url", database}, &out), out.String()
	}
	for _, table := range []string{"audit_batches", "audit_requests", "audit_holds", "audit_events", "audit_maintenance", "schema_migrations", "schema_compatible"} {
		execute(t, conn, `BEGIN`)
		execute(t, conn, `LOCK TABLE `+table+` IN ACCESS EXCLUSIVE MODE`)
		code, out := dryRun()
		execute(t, conn, `ROLLBACK`)
		if code == cli.ExitOK || !strings.Contains(out, "another session has a table locked: find it with SELECT") || strings.Contains(out, "to move") {
			t.Errorf("%s is locked: a dry run exits with %d and says %q", table, code, out)
		}
	}
	if code, out := dryRun(); code != cli.ExitOK {
		t.Errorf("exit code %d: %s", code, out)
	}
}

func TestRetentionIsThatOfTheCategoryWhereTheWriterAsksForNothing(t *testing.T) {
	_, serving := withRoles(t, newDatabase(t))
	a := serveWith(t, app.Options{DatabaseURL: serving, Retention: app.RetentionOptions{Default: 400, Categories: []string{"shop=7", "security=5000"}}})
	stored := func(category string, days int32) int32 {
		t.Helper()
		e := anEvent(days, "bob")
		e.EventCategory = category
		if days == 0 {
			e.RetentionDays = nil
		}
		call[api.EventCreated](t, a, http.MethodPost, "/api/v1/audit/events", e, http.StatusCreated)
		found := call[api.StoredEvent](t, a, http.MethodGet, "/api/v1/audit/events/"+e.EventId.String(), nil, http.StatusOK)
		return *found.RetentionDays
	}
	for what, c := range map[string]struct {
		category    string
		asked, want int32
	}{
		"nothing":               {"gateway", 0, 400},
		"nothing in a category": {"shop", 0, 7},
		"something":             {"shop", 30, 30},
		"too much":              {"shop", 36500, 3650},
	} {
		if got := stored(c.category, c.asked); got != c.want {
			t.Errorf("asking for %s: %d days, want %d", what, got, c.want)
		}
	}
	// DataStorage's own events are no exception.
	held := "rr-1"
	placed := call[api.LegalHold](t, a, http.MethodPost, holdsPath, api.LegalHoldRequest{CorrelationId: &held, Reason: "case 1"}, http.StatusCreated)
	page := call[api.EventPage](t, a, http.MethodGet, "/api/v1/audit/events?correlation_id="+placed.HoldId.String(), nil, http.StatusOK)
	if len(page.Data) != 1 || *page.Data[0].RetentionDays != 5000 {
		t.Errorf("the event about a hold is %+v, want it to be kept for 5000 days", page.Data)
	}
}
