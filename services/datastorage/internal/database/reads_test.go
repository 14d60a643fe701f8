package database //nolint:testpackage // the pool of queries is an inner part

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"k8s.io/utils/clock"
)

// A connection that takes longer than --query-wait says nothing about the database.
func TestAQueryThatGetsNoNewConnectionInTimeSaysSo(t *testing.T) {
	t.Parallel()
	config, err := Parse("postgres://alice@127.0.0.1:1/audit?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	core, logs := observer.New(zap.InfoLevel)
	p := &Pools{Query: pool, config: config.ConnConfig, queryTimeout: time.Minute}
	p.Watch = newWatch(p, zap.New(core), clock.RealClock{})
	unused := func(context.Context, pgx.Tx) error { return errors.New("there is a connection") }
	for _, wait := range []time.Duration{time.Nanosecond, 20 * time.Millisecond} {
		err = p.Reads(wait).Do(t.Context(), unused)
		slow, is := errors.AsType[*SlowConnectError](err)
		if !is || slow.Wait != wait || !strings.Contains(err.Error(), "--query-wait "+wait.String()) {
			t.Errorf("waiting %s: %v", wait, err)
		}
	}
	if Away(err) || p.Watch.State() != Unknown || logs.Len() > 0 || p.Busy() > 0 {
		t.Errorf("the database is %s, %d queries found all connections in use, and the log says %v", p.Watch.State(), p.Busy(), logs.All())
	}
	select {
	case <-p.Watch.kick:
	default:
		t.Error("nobody looks whether the database is there")
	}
	p.Watch.away(Down, errors.New("hung up"))
	if err := p.Reads(time.Nanosecond).Do(t.Context(), unused); !Away(err) {
		t.Errorf("the database is down, and a query says %v", err)
	}
}
