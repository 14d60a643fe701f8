package httpsink_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/httpsink"
)

// writeAll writes batches at the same time and wants each to be stored.
func writeAll(t *testing.T, sink *httpsink.Sink, batches int) {
	t.Helper()
	var writers sync.WaitGroup
	for n := range batches {
		writers.Go(func() {
			batch := batchOf(n%200 + 1)
			if ack, err := sink.Write(t.Context(), batch); err != nil || ack.Created != len(batch) {
				t.Errorf("write of %d events: %+v, %v", len(batch), ack, err)
			}
		})
	}
	writers.Wait()
}

func TestUsesConnectionsAgain(t *testing.T) {
	t.Parallel()
	for _, inFlight := range []int{1, audit.DefaultInFlight, 64} {
		t.Run(fmt.Sprintf("%d in flight", inFlight), func(t *testing.T) {
			t.Parallel()
			// Each round waits until all its batches are at the server.
			var round sync.WaitGroup
			var connections atomic.Int64
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				batch := idsIn(t, r)
				round.Done()
				round.Wait()
				writeCreated(t, w, batch, 0)
			}))
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			server.Start()
			t.Cleanup(server.Close)
			sink, err := httpsink.New(server.URL)
			if err != nil {
				t.Fatalf("make sink: %v", err)
			}
			t.Cleanup(sink.CloseIdleConnections)
			for range 5 {
				round.Add(inFlight)
				writeAll(t, sink, inFlight)
			}
			if n := connections.Load(); n != int64(inFlight) {
				t.Errorf("%d connections, want %d", n, inFlight)
			}
		})
	}
}

// Behind a connection to a host that died is nobody, and nobody says so. The
// batch that finds out takes the other connections to that host along.
func TestLeavesAllConnectionsOfAServerThatIsGone(t *testing.T) {
	t.Parallel()
	var round sync.WaitGroup
	var gone atomic.Bool
	var known sync.Map // the clients' ends of connections to the server that goes
	var lost atomic.Int64
	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		batch := idsIn(t, r)
		_, old := known.Load(r.RemoteAddr)
		switch {
		case !gone.Load():
			known.Store(r.RemoteAddr, true)
			round.Done()
			round.Wait()
		case old && lost.Add(1) == 1:
			close(asked)
			<-r.Context().Done()
			return
		case old:
			t.Error("a second batch was sent to the server that is gone")
		}
		writeCreated(t, w, batch, 0)
	}))
	t.Cleanup(server.Close)
	sink, err := httpsink.New(server.URL)
	if err != nil {
		t.Fatalf("make sink: %v", err)
	}
	t.Cleanup(sink.CloseIdleConnections)
	round.Add(audit.DefaultInFlight)
	writeAll(t, sink, audit.DefaultInFlight)

	gone.Store(true)
	ctx, giveUp := context.WithCancel(t.Context())
	defer giveUp()
	go func() {
		<-asked
		giveUp()
	}()
	if _, err := sink.Write(ctx, batchOf(1)); !errors.Is(err, context.Canceled) {
		t.Fatalf("write to the server that is gone: %v, want that it was given up", err)
	}
	writeAll(t, sink, audit.DefaultInFlight)
}

func TestSpeaksHTTP2OverTLS(t *testing.T) {
	t.Parallel()
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("protocol %s, want HTTP/2", r.Proto)
		}
		writeCreated(t, w, idsIn(t, r), 0)
	}))
	server.EnableHTTP2 = true
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	authority := x509.NewCertPool()
	authority.AddCert(server.Certificate())
	sink, err := httpsink.New(server.URL, httpsink.WithTLSConfig(&tls.Config{RootCAs: authority, MinVersion: tls.VersionTLS12}))
	if err != nil {
		t.Fatalf("make sink: %v", err)
	}
	t.Cleanup(sink.CloseIdleConnections)
	writeAll(t, sink, 1)
	for range 3 {
		writeAll(t, sink, 64)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A server may close an idle connection at the moment when a batch is sent on
// it. That is no failure: the batch goes again, whole, on another connection.
func TestSendsAgainWhenTheConnectionWasClosed(t *testing.T) {
	t.Parallel()
	for name, batch := range map[string][]audit.Event{"plain": batchOf(1), "compressed": bigBatch()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var config net.ListenConfig
			listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatalf("listen: %v", err)
			}
			served := make(chan error, 1)
			go func() { served <- closeSecondRequest(t, listener) }()
			sink, err := httpsink.New("http://" + listener.Addr().String())
			if err != nil {
				t.Fatalf("make sink: %v", err)
			}
			for range 2 {
				if _, err := sink.Write(t.Context(), batch); err != nil {
					t.Errorf("write: %v", err)
				}
			}
			sink.CloseIdleConnections()
			_ = listener.Close()
			if err := <-served; err != nil {
				t.Errorf("serve: %v", err)
			}
		})
	}
}

// closeSecondRequest answers a request, closes the connection on the second
// without an answer, and answers it on the next connection.
func closeSecondRequest(t *testing.T, listener net.Listener) error {
	t.Helper()
	for answers := range 2 {
		conn, err := listener.Accept()
		if err != nil {
			return fmt.Errorf("connection %d: %w", answers+1, err)
		}
		reader := bufio.NewReader(conn)
		request, err := http.ReadRequest(reader)
		if err != nil {
			return fmt.Errorf("request on connection %d: %w", answers+1, err)
		}
		recorder := httptest.NewRecorder()
		writeCreated(t, recorder, idsIn(t, request), 0)
		response := recorder.Result()
		response.ContentLength = int64(recorder.Body.Len())
		if err := response.Write(conn); err != nil {
			return fmt.Errorf("answer on connection %d: %w", answers+1, err)
		}
		if answers == 0 {
			second, err := http.ReadRequest(reader)
			if err != nil {
				return fmt.Errorf("second request: %w", err)
			}
			if _, err := io.Copy(io.Discard, second.Body); err != nil {
				return fmt.Errorf("second request: %w", err)
			}
		}
		_ = conn.Close()
	}
	return nil
}

// Bodies are in buffers that are used again. A server that answers before it
// has read leaves the transport reading, and must not get another batch's bytes.
func TestKeepsConcurrentBatchesApart(t *testing.T) {
	t.Parallel()
	const writers, writes = 16, 30
	var requests atomic.Int64
	sink := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch requests.Add(1) % 4 {
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			panic(http.ErrAbortHandler)
		default:
			writeCreated(t, w, idsIn(t, r), 0)
		}
	}, httpsink.WithCompression(httpsink.CompressionNone))
	var all sync.WaitGroup
	for n := range writers {
		all.Go(func() {
			batch := make([]audit.Event, 200)
			for i := range batch {
				batch[i] = *audittest.NewEvent("test.http.apart", "a")
				batch[i].ID = audit.DerivedID(audittest.Epoch(), fmt.Sprint(n), fmt.Sprint(i))
				batch[i].Version, batch[i].Timestamp = audit.SchemaVersion, audittest.Epoch()
			}
			for i := range writes {
				ctx, cancel := context.WithCancel(t.Context())
				if i%5 == 0 {
					cancel()
				}
				// An acknowledgement for other events would be an error that is not expected here.
				_, err := sink.Write(ctx, batch[:i*6+1])
				cancel()
				if failed, ok := asSinkError(err); err != nil && (!ok || failed.Status == http.StatusCreated) {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	all.Wait()
}

func asSinkError(err error) (*audit.SinkError, bool) {
	var failed *audit.SinkError
	return failed, errors.As(err, &failed)
}
