package consistency_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"

	"kubernaut.ai/services/datastorage/internal/consistency"
)

func TestTokenSurvivesItsText(t *testing.T) {
	t.Parallel()
	for _, want := range []consistency.Token{{}, {Timeline: 1, LSN: 0x19bac38}, {Timeline: math.MaxUint32, LSN: math.MaxUint64}} {
		got, err := consistency.Parse(want.String())
		if err != nil || got != want {
			t.Errorf("%v: got %v, %v", want, got, err)
		}
	}
}

func TestMalformedTokens(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "p1-", "p1-1", "p1-1-", "p1-1-G", "p2-1-1", "p1-01-1", "p1-1-A", "p1-+1-1", "p1-100000000-1", "p1-1-1 "} {
		if _, err := consistency.Parse(text); !errors.Is(err, consistency.ErrMalformed) {
			t.Errorf("%q: got %v, want ErrMalformed", text, err)
		}
	}
}

// server is a database server that tells its role and position.
type server struct {
	standby  bool
	timeline string
	// position is called for each question.
	position func() int64
}

type row func(dest ...any) error

func (r row) Scan(dest ...any) error { return r(dest...) }

func (s *server) QueryRow(_ context.Context, sql string, _ ...any) pgx.Row {
	return row(func(dest ...any) error {
		if role, ok := dest[0].(*bool); ok {
			*role = s.standby
			return nil
		}
		timeline, okTimeline := dest[0].(*string)
		lsn, okLSN := dest[1].(*string)
		if !okTimeline || !okLSN {
			return fmt.Errorf("unexpected question %s", sql)
		}
		*timeline, *lsn = s.timeline, fmt.Sprintf("0/%X", s.position())
		return nil
	})
}

func at(position int64) func() int64 { return func() int64 { return position } }

func TestGateOfAPrimaryAnswersAtOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		tokens []consistency.Token
		behind bool
	}{
		"none":             {nil, false},
		"covered":          {[]consistency.Token{{Timeline: 0x1a, LSN: 100}, {Timeline: 0x1a, LSN: 7}}, false},
		"one is ahead":     {[]consistency.Token{{Timeline: 0x1a, LSN: 7}, {Timeline: 0x1a, LSN: 101}}, true},
		"before failover":  {[]consistency.Token{{Timeline: 0x19, LSN: 7}}, true},
		"another timeline": {[]consistency.Token{{Timeline: 0x1b, LSN: 7}}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			started := time.Now()
			gate := consistency.NewGate(clock.RealClock{}, time.Second)
			err := gate.Await(t.Context(), &server{timeline: "0000001A0000000000000001", position: at(100)}, tc.tokens)
			if errors.Is(err, consistency.ErrBehind) != tc.behind || (err != nil) != tc.behind {
				t.Errorf("%s: got %v", name, err)
			}
			if waited := time.Since(started); waited != 0 {
				t.Errorf("%s: waited %s", name, waited)
			}
		})
	}
}

func TestGateOfAStandbyWaitsForItsReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		replayed := int64(95)
		standby := &server{standby: true, timeline: "00000001", position: func() int64 { replayed++; return replayed }}
		gate := consistency.NewGate(clock.RealClock{}, time.Second)
		if err := gate.Await(t.Context(), standby, []consistency.Token{{Timeline: 1, LSN: 100}}); err != nil || replayed != 100 {
			t.Errorf("replayed %d, %v", replayed, err)
		}
	})
}

func TestGateOfAStandbyGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const patience = time.Second
		gate := consistency.NewGate(clock.RealClock{}, patience)
		started := time.Now()
		err := gate.Await(t.Context(), &server{standby: true, timeline: "00000001", position: at(99)}, []consistency.Token{{Timeline: 1, LSN: 100}})
		if waited := time.Since(started); !errors.Is(err, consistency.ErrBehind) || waited != patience {
			t.Errorf("after %s: %v", waited, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience/2)
		defer cancel()
		err = gate.Await(ctx, &server{standby: true, timeline: "00000001", position: at(99)}, []consistency.Token{{Timeline: 1, LSN: 100}})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a shorter context: %v", err)
		}
	})
}
