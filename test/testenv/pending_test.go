package testenv

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

const pendingMetrics = `# TYPE audit_pending_events gauge
audit_pending_events 3
# TYPE audit_oldest_pending_age_seconds gauge
audit_oldest_pending_age_seconds 12
# TYPE audit_unacknowledged_events gauge
audit_unacknowledged_events 1
# TYPE audit_sink_up gauge
audit_sink_up 0
`

func TestStoreStateIsReadFromMetrics(t *testing.T) {
	g := NewWithT(t)
	g.Expect(ReadStoreState("gateway-0", strings.NewReader(pendingMetrics))).To(Equal(
		StoreState{Service: "gateway-0", Pending: 3, Oldest: 12 * time.Second, Unacknowledged: 1, SinkDown: true}))
	for _, broken := range []string{"", "no metrics", strings.Replace(pendingMetrics, "audit_sink_up", "audit_sink", 2)} {
		g.Expect(ReadStoreState("gateway-0", strings.NewReader(broken)).Err).To(MatchError(ContainSubstring("read metrics")), broken)
	}
}

func TestStoreStateIsReadFromTheManagementPort(t *testing.T) {
	g := NewWithT(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(pendingMetrics))
	}))
	defer server.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	found := storeStates(t.Context(), []string{server.URL + "/", server.URL + "/elsewhere", gone.URL})
	g.Expect(found[0].String()).To(HaveSuffix("has 3 pending events, the oldest for 12s; 1 of its events were rejected or lost; its last write failed"))
	g.Expect(found[1].Err).To(MatchError(ContainSubstring("404")))
	g.Expect(found[2].String()).To(ContainSubstring("are unknown: "))
	g.Expect(StoreState{Service: "a"}.String()).To(Equal("a has no pending events"))
}
