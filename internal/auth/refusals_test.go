package auth_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	authorizationv1 "k8s.io/api/authorization/v1"

	"kubernaut.ai/internal/auth"
)

// logged is an API behind an API server's reviews, whose gate logs at info.
func logged(t *testing.T) (g *guarded, logs *observer.ObservedLogs, ask func(token, address string)) {
	t.Helper()
	g = newGuarded(t)
	core, logs := observer.New(zap.InfoLevel)
	guard, err := auth.NewKubernetes(g.config(), auth.KubernetesOptions{Namespace: "kubernaut-system", Clock: g.clock, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	gate := auth.NewGate(guard, zap.New(core), auth.WithClock(g.clock))
	g.gate = gate
	api := served(t, gate, zap.NewNop())
	return g, logs, func(token, address string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		r.Header.Set("Authorization", "Bearer "+token)
		r.RemoteAddr = address + ":4711"
		api.ServeHTTP(httptest.NewRecorder(), r)
	}
}

func lines(logs *observer.ObservedLogs) []string {
	entries := logs.TakeAll()
	all := make([]string, 0, len(entries))
	for _, e := range entries {
		f := e.ContextMap()
		all = append(all, fmt.Sprintf("%s %v %v %v %v %v", e.Message, f["status"], f["caller"], f["action"], f["address"], f["repeated"]))
	}
	return all
}

func TestRefusedCallersAreLoggedOnceAndThenCounted(t *testing.T) {
	t.Parallel()
	g, logs, ask := logged(t)
	g.decides(func(authorizationv1.SubjectAccessReviewSpec) authorizationv1.SubjectAccessReviewStatus {
		return authorizationv1.SubjectAccessReviewStatus{}
	})
	for range 5 {
		ask("good", "10.0.0.1")
		ask("s3cret", "10.0.0.2")
	}
	want := "caller refused 403 system:serviceaccount:kubernaut-system:gateway create events.audit.kubernaut.ai <nil> <nil>|" +
		"caller refused 401 <nil> <nil> 10.0.0.2 <nil>"
	if got := strings.Join(lines(logs), "|"); got != want {
		t.Errorf("log %s, want %s", got, want)
	}
	g.step(time.Minute)
	if n := testutil.CollectAndCount(g.gate); n == 0 {
		t.Error("no metrics")
	}
	got := lines(logs)
	if len(got) != 2 || !strings.HasSuffix(got[0], " 4") || !strings.HasSuffix(got[1], " 4") {
		t.Errorf("log %q, want two lines that count 4", got)
	}
	for range 3 { // it is over
		g.step(time.Minute)
		testutil.CollectAndCount(g.gate)
	}
	if got := lines(logs); len(got) != 0 {
		t.Errorf("log %q, want nothing", got)
	}
	ask("good", "10.0.0.1")
	if got := lines(logs); len(got) != 1 {
		t.Errorf("log %q, want one line: it begins again", got)
	}
}

func TestNobodyFloodsTheLogWithRefusals(t *testing.T) {
	t.Parallel()
	g, logs, ask := logged(t)
	for i := range 100 {
		ask("bad", "10.0.1."+strconv.Itoa(i))
	}
	if got := lines(logs); len(got) != 20 {
		t.Errorf("%d lines, want 20", len(got))
	}
	g.step(time.Minute)
	ask("bad", "10.0.1.200")
	got := logs.TakeAll()
	if len(got) != 2 || got[0].Message != "more callers refused" || got[0].ContextMap()["requests"] != int64(80) {
		t.Errorf("log %v, want one line that counts 80, and the next caller", got)
	}
}
