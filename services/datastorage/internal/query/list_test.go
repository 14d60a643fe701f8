package query //nolint:testpackage // beside the tests of the cursors of events

import (
	"encoding/base64"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

type row struct {
	at time.Time
	id uuid.UUID
}

func placeOf(r *row) (time.Time, uuid.UUID) { return r.at, r.id }

// cursorBehind is the cursor behind the first of two rows.
func cursorBehind(t *testing.T, r row, name string, selected ...any) string {
	t.Helper()
	l, err := ListParams{Limit: new(1)}.Of(name, selected...)
	if err != nil {
		t.Fatal(err)
	}
	page, next, err := PageOf(l, []row{r, {}}, placeOf)
	if err != nil || !slices.Equal(page, []row{r}) {
		t.Fatalf("got the page %v, %v", page, err)
	}
	return next
}

func TestAListGoesOnBehindTheLastRow(t *testing.T) {
	t.Parallel()
	last := row{at: now.Add(time.Microsecond), id: uuid.New()}
	l, err := ListParams{Cursor: cursorBehind(t, last, "holds", "a", true)}.Of("holds", "a", true)
	if err != nil {
		t.Fatal(err)
	}
	sql, args := l.SQL("placed_at", "hold_id", "a")
	const want = ` AND placed_at <= $2 AND (placed_at < $2 OR hold_id > $3) ORDER BY placed_at DESC, hold_id LIMIT $4`
	if sql != want || !slices.Equal(args, []any{"a", any(last.at), any(last.id), any(MaxLimit + 1)}) {
		t.Errorf("got %s with %v", sql, args)
	}
	if _, next, err := PageOf(l, make([]row, MaxLimit), placeOf); err != nil || next != "" {
		t.Errorf("a last page goes on with %q, %v", next, err)
	}
}

func TestUnusableParametersOfAListAreNamed(t *testing.T) {
	t.Parallel()
	last := row{at: now, id: uuid.New()}
	good := cursorBehind(t, last, "holds", "a", true)
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	forged := func(change func(raw []byte)) string {
		other := slices.Clone(raw)
		change(other)
		return base64.RawURLEncoding.EncodeToString(other)
	}
	ofEvents, err := cursor{at: now}.encode()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]error{
		"abc": errCursor, good[1:]: errCursor, good + "=": errCursor, ofEvents: errCursor,
		forged(func(raw []byte) { raw[0]++ }):               errCursor,
		forged(func(raw []byte) { raw[9] = 0x7f }):          errCursor, // after the year 9999
		cursorBehind(t, last, "holds", "a", false):          errCursorMismatch,
		cursorBehind(t, last, "erasures"):                   errCursorMismatch,
		forged(func(raw []byte) { raw[1]++ }):               errCursorMismatch,
		cursorBehind(t, row{at: time.Time{}}, "holds", "b"): errCursorMismatch,
	} {
		_, err := ListParams{Cursor: text}.Of("holds", "a", true)
		if bad, ok := errors.AsType[*ParamError](err); !ok || bad.Fields["cursor"] != want.Error() {
			t.Errorf("%s: got %v, want %v", text, err, want)
		}
	}
	for _, limit := range []int{0, -1, MaxLimit + 1} {
		_, err := ListParams{Limit: &limit}.Of("holds")
		if bad, ok := errors.AsType[*ParamError](err); !ok || bad.Fields["limit"] == "" {
			t.Errorf("limit %d: got %v", limit, err)
		}
	}
}
