package chaos

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"kubernaut.ai/test/verdict"
)

// The callers of the scenario slow.
const (
	behaves = "behaves"
	stalls  = "stalls"
)

const (
	// idleWriters and idleReaders are how many connections stall at once.
	idleWriters, idleReaders = 96, 48
	// behaving is how many clients store events at once, batchEvents the size of their batches.
	behaving, batchEvents = 4, 50
	// maxWait is how long a client that behaves may wait for an answer.
	maxWait = 5 * time.Second
	// largeEvents of largeBytes each make a page that is larger than a connection's buffers.
	largeEvents, largeBytes = 15, 1 << 20
)

// Slow lets clients of DataStorage stall in the middle of a body, and others not
// read the pages that they asked for, while some store events and query. Every
// event of an answered batch is stored once, and no client that behaves waits
// longer than maxWait. What counts as kills are the clients that were cut off. The
// program takes the arguments of DataStorage's main.
func Slow(ctx context.Context, o Options) (result verdict.Result, err error) {
	s, err := newStore(ctx, &o, []string{behaves, stalls})
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	w := &waits{accepted: map[string]bool{}}
	err = s.runLast(ctx, func(at addresses) error {
		result.Disruptions, err = s.whileStalled(ctx, at, w)
		return err
	})
	if err != nil {
		return result, err
	}
	result.AddFigure("max-wait-ms", w.longest.Milliseconds())
	if w.longest > maxWait {
		result.AddLost("max-wait-ms", fmt.Sprintf("a client that behaves waited %s, want at most %s; the answer", w.longest, maxWait))
	}
	return result, checkRecords(ctx, &result, s.database.URL, w.accepted)
}

// waits are those of the clients that behave.
type waits struct {
	mu       sync.Mutex
	accepted map[string]bool // guarded by mu
	longest  time.Duration   // guarded by mu
}

func (w *waits) add(took time.Duration, accepted []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.longest = max(w.longest, took)
	for _, id := range accepted {
		w.accepted[id] = true
	}
}

// whileStalled loads the service while clients stall, until as many writers as
// there are to be kills were cut off; it returns how many clients were.
func (s *store) whileStalled(ctx context.Context, at addresses, w *waits) (int, error) {
	large := uuid.NewString()
	body, _, err := storeEvents(large, largeEvents, largeBytes-1<<10)
	if err != nil {
		return 0, err
	}
	if status, err := exchange(ctx, http.MethodPost, at.API+pathBatch, behaves, body); err != nil || status != http.StatusCreated {
		return 0, fmt.Errorf("store a page: status %d: %w", status, err)
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	group, working := errgroup.WithContext(working)
	var cut atomic.Int64
	for i := range idleWriters {
		group.Go(func() error { return s.stallWriting(working, at.API, s.random(uint64(i)), &cut, stop) })
	}
	for range idleReaders {
		group.Go(func() error { return stallReading(working, at.API+pathEvents+"?limit=1000&correlation_id="+large) })
	}
	for range behaving {
		group.Go(func() error { return w.storing(working, at.API) })
	}
	group.Go(func() error { return w.querying(working, at.API+pathEvents+"?limit=100&since=1h") })
	if err := group.Wait(); err != nil && ctx.Err() == nil && working.Err() == nil {
		return int(cut.Load()), err
	}
	if ctx.Err() != nil {
		return int(cut.Load()), context.Cause(ctx)
	}
	unread, err := unreadPages(ctx, at.Management)
	return int(cut.Load()) + unread, err
}

// stallWriting sends parts of bodies, until enough clients were cut off.
func (s *store) stallWriting(ctx context.Context, base string, random *rand.Rand, cut *atomic.Int64, enough func()) error {
	const length = 16 << 20
	for ctx.Err() == nil {
		part := make([]byte, 1+random.IntN(1<<20))
		part[0] = '['
		for i := 1; i < len(part); i++ {
			part[i] = ' '
		}
		connection, err := begin(ctx, http.MethodPost, base+pathBatch, stalls, length, part)
		if err == nil {
			err = awaitAnswer(ctx, connection)
		}
		if connection != nil {
			_ = connection.Close()
		}
		if ctx.Err() == nil && err == nil && cut.Add(1) >= int64(s.Kills) {
			enough()
		}
	}
	return nil
}

// awaitAnswer waits until the server ends a request that stalls.
func awaitAnswer(ctx context.Context, connection net.Conn) error {
	defer context.AfterFunc(ctx, func() { _ = connection.SetDeadline(time.Unix(1, 0)) })()
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return fmt.Errorf("read the response: %w", err)
	}
	_ = response.Body.Close()
	return nil
}

// stallReading asks for pages that it does not read.
func stallReading(ctx context.Context, target string) error {
	return stallReadingAs(ctx, stalls, target)
}

func stallReadingAs(ctx context.Context, caller, target string) error {
	const patience = 20 * time.Second // longer than the server's
	for ctx.Err() == nil {
		connection, err := begin(ctx, http.MethodGet, target, caller, 0, nil)
		if err == nil {
			select {
			case <-time.After(patience):
			case <-ctx.Done():
			}
		}
		if connection != nil {
			_ = connection.Close()
		}
	}
	return nil
}

// storing stores one batch after the other, each until it is acknowledged.
func (w *waits) storing(ctx context.Context, base string) error {
	correlationID := uuid.NewString()
	for ctx.Err() == nil {
		body, ids, err := storeEvents(correlationID, batchEvents, 1<<10)
		if err != nil {
			return err
		}
		began := time.Now()
		for status := 0; status != http.StatusCreated; {
			// Not cut off in the middle: an answer that nobody sees could not be checked.
			status, err = exchange(context.WithoutCancel(ctx), http.MethodPost, base+pathBatch, behaves, body)
			if err != nil || status != http.StatusCreated && status != http.StatusServiceUnavailable {
				return fmt.Errorf("store a batch: status %d: %w", status, err)
			}
		}
		w.add(time.Since(began), ids)
	}
	return nil
}

// querying reads pages.
func (w *waits) querying(ctx context.Context, target string) error {
	for ctx.Err() == nil {
		began := time.Now()
		for status := 0; status != http.StatusOK; {
			var err error
			status, err = exchange(context.WithoutCancel(ctx), http.MethodGet, target, behaves, nil)
			if err != nil || status != http.StatusOK && status != http.StatusServiceUnavailable {
				return fmt.Errorf("query: status %d: %w", status, err)
			}
		}
		w.add(time.Since(began), nil)
	}
	return nil
}

var unreadMetric = regexp.MustCompile(`(?m)^datastorage_query_seconds_count\{kind="list",status="499"\} (\d+)`)

// unreadPages is how many readers lost their connection.
func unreadPages(ctx context.Context, management string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, management+"/metrics", nil)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	found := unreadMetric.FindSubmatch(text)
	if found == nil {
		return 0, errors.New("no reader lost its connection")
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	return n, nil
}
