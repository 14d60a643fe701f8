package reminder

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"

	"kubernaut.ai/api/v1alpha1"
)

// taken is a post that a server took.
type taken struct {
	path, token string
	alerts      []alert
}

// server takes posts with a status, over TLS.
func server(t *testing.T, status func() int) (*httptest.Server, <-chan taken) {
	t.Helper()
	posts := make(chan taken, maxQueued)
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one := taken{path: r.URL.Path, token: r.Header.Get("Authorization")}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(body, &one.alerts)
		}
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(status())
		posts <- one
	}))
	t.Cleanup(s.Close)
	return s, posts
}

// flagsOf are the flags for a server, which may be asked with a token.
func flagsOf(t *testing.T, s *httptest.Server) Flags {
	t.Helper()
	dir := t.TempDir()
	f := Flags{URL: s.URL + "/alerting", TokenFile: filepath.Join(dir, "token"), CAFile: filepath.Join(dir, "ca.crt")}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	for path, content := range map[string][]byte{f.TokenFile: []byte("secret\n"), f.CAFile: certificate} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	return f
}

func newAlertmanager(t *testing.T, f Flags) (*Alertmanager, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	a, err := NewAlertmanager(f, "test", zap.New(core), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return a, logs
}

// run posts until the test is over.
func run(t *testing.T, a *Alertmanager) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAReminderIsAnAlertThatEndsWithTheProposal(t *testing.T) {
	t.Parallel()
	s, posts := server(t, func() int { return http.StatusOK })
	a, _ := newAlertmanager(t, flagsOf(t, s))
	run(t, a)
	created := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	wfe := &v1alpha1.WorkflowExecution{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr-1-1", CreationTimestamp: metav1.NewTime(created)},
		Spec: v1alpha1.WorkflowExecutionSpec{
			Request: v1alpha1.ObjectRef{Name: "rr-1"}, Workflow: v1alpha1.WorkflowRef{Name: "restart", Risk: v1alpha1.RiskLow},
			Target: v1alpha1.ExecutionTarget{Kind: "Deployment", Name: "web"}, RunbookURL: "https://runbooks.example.com/crash",
			ExpiresAt: metav1.NewMicroTime(created.Add(time.Hour)),
		},
	}
	emitted := events.NewFakeRecorder(2)
	now := testingclock.NewFakePassiveClock(created.Add(30 * time.Minute))
	r, err := New(emitted, a, now, zap.NewNop(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	r.Remind(wfe, true)
	post := <-posts
	if post.path != "/alerting/api/v2/alerts" || post.token != "Bearer secret" || len(post.alerts) != 1 {
		t.Fatalf("%+v", post)
	}
	got := post.alerts[0]
	if got.Labels["alertname"] != AlertName || got.Labels["namespace"] != "shop" || got.Labels["execution"] != "rr-1-1" || got.Annotations["runbook_url"] == "" ||
		!strings.Contains(got.Annotations["description"], "kubernaut approve rr-1 -n shop") {
		t.Errorf("%+v", got)
	}
	if !got.StartsAt.Equal(created.Add(30*time.Minute)) || !got.EndsAt.Equal(now.Now().Add(fires)) {
		t.Errorf("from %s to %s", got.StartsAt, got.EndsAt)
	}
	if note := <-emitted.Events; !strings.Contains(note, EventReason) || !strings.Contains(note, "kubernaut approve rr-1 -n shop") {
		t.Errorf("event %q", note)
	}
	now.SetTime(created.Add(59 * time.Minute))
	r.Remind(wfe, false)
	if got := (<-posts).alerts[0]; !got.EndsAt.Equal(wfe.Spec.ExpiresAt.Time) || len(emitted.Events) != 0 {
		t.Errorf("ends at %s; %d events", got.EndsAt, len(emitted.Events))
	}
	labels := got.Labels
	r.Settled(wfe)
	if got := (<-posts).alerts[0]; !got.EndsAt.Equal(now.Now()) || !maps.Equal(got.Labels, labels) || len(emitted.Events) != 0 {
		t.Errorf("ends at %s with labels %v; %d events", got.EndsAt, got.Labels, len(emitted.Events))
	}
	if n := testutil.ToFloat64(r.reminders); n != 1 {
		t.Errorf("%v reminders", n)
	}
}

func TestAFailureIsLoggedOnceAndCounted(t *testing.T) {
	t.Parallel()
	answers := make(chan int, 1)
	s, posts := server(t, func() int { return <-answers })
	a, logs := newAlertmanager(t, flagsOf(t, s))
	run(t, a)
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusBadRequest, http.StatusOK, http.StatusOK} {
		answers <- status
		a.send(alert{Labels: map[string]string{"alertname": AlertName}})
		<-posts
	}
	// The last post is told before the next one is made.
	answers <- http.StatusOK
	a.send(alert{})
	<-posts
	failed, sent := testutil.ToFloat64(a.results.WithLabelValues(resultFailed)), testutil.ToFloat64(a.results.WithLabelValues(resultSent))
	if failed != 2 || sent < 2 {
		t.Errorf("%v failed, %v sent", failed, sent)
	}
	if all := logs.All(); len(all) != 2 || all[0].Level != zapcore.WarnLevel || all[1].Level != zapcore.InfoLevel {
		t.Errorf("logs %+v", all)
	}
}

func TestNobodyWaitsForAnAlertmanagerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	a, _ := newAlertmanager(t, Flags{URL: "http://127.0.0.1:1"})
	for range maxQueued + 3 { // nothing is posted: Run does not run
		a.send(alert{})
	}
	if n := testutil.ToFloat64(a.results.WithLabelValues(resultDropped)); n != 3 {
		t.Errorf("%v dropped", n)
	}
}

func TestACertificateOfAnotherAuthorityIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := server(t, func() int { return http.StatusOK })
	f := flagsOf(t, s)
	f.CAFile = "" // the system's authorities
	a, _ := newAlertmanager(t, f)
	if err := a.post(t.Context(), []alert{{}}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v", err)
	}
}
