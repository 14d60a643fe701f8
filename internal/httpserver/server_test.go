package httpserver_test

import (
	"context"
	"errors"
	"io"
	"log" //nolint:depguard // seen to stay silent
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/httpserver"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// start runs a server on a free port and returns its URL and a function that
// stops it and returns what Run returned.
func start(t *testing.T, handler http.Handler, grace time.Duration) (url string, stop func() error) {
	t.Helper()
	listener := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	server := &httpserver.Server{Name: "test", Listener: listener, Handler: handler}
	go func() { done <- server.Run(ctx, func() time.Duration { return grace }) }()
	return "http://" + listener.Addr().String(), func() error {
		cancel()
		return <-done
	}
}

func request(t *testing.T, method, url string) (status int, body string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func TestServerLetsRequestsUnderWayFinish(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	url, stop := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		if r.Context().Err() != nil {
			w.WriteHeader(http.StatusTeapot)
		}
	}), time.Minute)
	answered := make(chan int, 1)
	go func() {
		status, _, err := request(t, http.MethodGet, url)
		if err != nil {
			t.Errorf("request under way: %v", err)
		}
		answered <- status
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	close(release)
	if status := <-answered; status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
}

func TestServerSaysWhenRequestsOutliveTheGracePeriod(t *testing.T) {
	entered := make(chan struct{})
	url, stop := start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}), time.Millisecond)
	go func() { _, _, _ = request(t, http.MethodGet, url) }()
	<-entered
	if err := stop(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stop returned %v, want it to wrap %v", err, context.DeadlineExceeded)
	}
}

func TestAServerMayHaveABoundOfItsOwn(t *testing.T) {
	entered := make(chan struct{})
	server := &httpserver.Server{Name: "test", Listener: listen(t), MaxGrace: time.Millisecond, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx, func() time.Duration { return time.Hour }) }()
	go func() { _, _, _ = request(t, http.MethodGet, httpserver.URL(server.Listener, nil)) }()
	<-entered
	stop()
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "after 1ms") {
		t.Errorf("stop returned %v", err)
	}
}

func TestServerStopsAlthoughAConnectionNeverAskedAnything(t *testing.T) {
	url, stop := start(t, http.NotFoundHandler(), time.Millisecond)
	var dialer net.Dialer
	unused, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unused.Close() }()
	// Connections are accepted in order: the first one has been, when the second is answered.
	if status, _, err := request(t, http.MethodGet, url); err != nil || status != http.StatusNotFound {
		t.Fatalf("status %d, error %v", status, err)
	}
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if _, err := unused.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read from the unused connection: %v, want it closed", err)
	}
}

func TestServerLogsTheTroubleOfConnectionsAsWarnings(t *testing.T) {
	var unstructured strings.Builder
	log.SetOutput(&unstructured)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	var logged []zapcore.Entry
	logger := zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{}), zapcore.AddSync(io.Discard), zapcore.DebugLevel),
		zap.Hooks(func(e zapcore.Entry) error {
			logged = append(logged, e)
			return nil
		}))
	// A server of httptest has a certificate to borrow.
	borrowed := httptest.NewUnstartedServer(http.NotFoundHandler())
	borrowed.StartTLS()
	config := borrowed.TLS.Clone()
	borrowed.Close()
	for name, logger := range map[string]*zap.Logger{"a logger": logger, "none": nil} {
		listener := listen(t)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		server := &httpserver.Server{Name: "test", Listener: listener, Handler: http.NotFoundHandler(), TLS: config, Log: logger}
		go func() { done <- server.Run(ctx, func() time.Duration { return time.Minute }) }()
		status, _, err := request(t, http.MethodGet, "http://"+listener.Addr().String())
		if err != nil || status != http.StatusBadRequest {
			t.Errorf("%s: plain HTTP to a TLS port: %d, %v, want 400", name, status, err)
		}
		stop()
		// The connection is done with, and so with its complaint.
		if err := <-done; err != nil {
			t.Errorf("%s: stop: %v", name, err)
		}
	}
	if len(logged) != 1 || logged[0].Level != zapcore.WarnLevel || !strings.Contains(logged[0].Message, "TLS handshake error") {
		t.Errorf("logged %+v, want the one handshake, as a warning", logged)
	}
	if unstructured.Len() > 0 {
		t.Errorf("written past the logger: %s", unstructured.String())
	}
}

func TestOpenNamesTheFlagAndClosesWhatItOpened(t *testing.T) {
	taken, free := listen(t), listen(t)
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := httpserver.Open(t.Context(), httpserver.Addresses{API: free.Addr().String(), Management: "127.0.0.1:0", Profiles: taken.Addr().String()})
	if err == nil || !strings.Contains(err.Error(), "--pprof-listen "+taken.Addr().String()) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v does not name flag and address on one line", err)
	}
	ports, err := httpserver.Open(t.Context(), httpserver.Addresses{API: free.Addr().String()})
	if err != nil {
		t.Fatalf("the port was not closed: %v", err)
	}
	if ports.API.Addr().String() != free.Addr().String() || ports.Management != nil || ports.Profiles != nil {
		t.Errorf("opened %+v", ports)
	}
	for range 2 {
		if err := ports.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestParseAddress(t *testing.T) {
	for address, loopback := range map[string]bool{
		"127.0.0.1:80": true, "localhost:80": true, "[::1]:0": true, "127.8.9.1:1": true,
		":80": false, "0.0.0.0:80": false, "10.0.0.1:80": false, "example.org:80": false,
	} {
		if got, err := httpserver.ParseAddress("listen", address); err != nil || got != loopback {
			t.Errorf("%s: loopback %t, error %v; want %t", address, got, err, loopback)
		}
	}
	for _, address := range []string{"", "80", "127.0.0.1", "127.0.0.1:-1", "127.0.0.1:70000", "127.0.0.1:nosuchport"} {
		_, err := httpserver.ParseAddress("listen", address)
		var usage *cli.UsageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), "--listen") {
			t.Errorf("%q: error %v, want a usage error that names --listen", address, err)
		}
	}
}

// stopping is a program that may be stopping.
type stopping bool

func (s stopping) Stopping() bool { return bool(s) }

func TestAProgramThatIsStoppingIsNotReady(t *testing.T) {
	for isStopping, status := range map[stopping]int{false: http.StatusOK, true: http.StatusServiceUnavailable} {
		management := &httpserver.Management{
			Ready: []httpserver.Check{httpserver.NotStopping(isStopping)}, Metrics: prometheus.NewRegistry(), Flush: http.NotFoundHandler(), Log: zap.NewNop(),
		}
		recorder := httptest.NewRecorder()
		management.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", http.NoBody))
		if recorder.Code != status {
			t.Errorf("stopping %t: status %d, want %d", isStopping, recorder.Code, status)
		}
	}
}

func TestAProgramWithoutEventsHasNothingToFlush(t *testing.T) {
	t.Parallel()
	handler := (&httpserver.Management{Metrics: prometheus.NewRegistry(), Log: zap.NewNop()}).Handler()
	for path, want := range map[string]int{"/audit/flush": http.StatusNotFound, "/readyz": http.StatusOK} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		if answer.Code != want {
			t.Errorf("%s: %d", path, answer.Code)
		}
	}
}

func TestManagement(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "test_total", Help: "Counts nothing."})
	registry.MustRegister(counter)
	var down error
	management := &httpserver.Management{
		Ready:   []httpserver.Check{{Name: "database", Func: func(context.Context) error { return down }}},
		Metrics: registry,
		Flush:   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }),
		Log:     zap.NewNop(),
	}
	url, stop := start(t, management.Handler(), time.Minute)
	defer func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	}()
	expect := func(method, path string, status int, contains string) {
		t.Helper()
		got, body, err := request(t, method, url+path)
		if err != nil || got != status || !strings.Contains(body, contains) {
			t.Errorf("%s %s: %d %q, error %v; want %d and %q", method, path, got, body, err, status, contains)
		}
	}
	expect(http.MethodGet, "/healthz", http.StatusOK, "ok")
	expect(http.MethodGet, "/readyz", http.StatusOK, `"database":"ok"`)
	expect(http.MethodGet, "/metrics", http.StatusOK, "test_total 0")
	expect(http.MethodPost, "/audit/flush", http.StatusAccepted, "")
	expect(http.MethodGet, "/debug/pprof/", http.StatusNotFound, "")
	down = errors.New("password of the database")
	expect(http.MethodGet, "/readyz", http.StatusServiceUnavailable, `"database":"failed"`)
	expect(http.MethodGet, "/healthz", http.StatusOK, "ok")
	if _, body, _ := request(t, http.MethodGet, url+"/readyz"); strings.Contains(body, "password") {
		t.Errorf("readiness shows the reason to everybody: %s", body)
	}
}
