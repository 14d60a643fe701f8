package testenv

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

const metricsOfDebtor = `# TYPE audit_owed_events gauge
audit_owed_events 3
# TYPE audit_oldest_owed_age_seconds gauge
audit_oldest_owed_age_seconds 12
# TYPE audit_unacknowledged_events gauge
audit_unacknowledged_events 1
# TYPE audit_sink_up gauge
audit_sink_up 0
`

func TestADebtIsReadFromMetrics(t *testing.T) {
	g := NewWithT(t)
	g.Expect(ReadDebt("gateway-0", strings.NewReader(metricsOfDebtor))).To(Equal(
		Debt{Service: "gateway-0", Owed: 3, Oldest: 12 * time.Second, Refused: 1, SinkDown: true}))
	for _, broken := range []string{"", "no metrics", strings.Replace(metricsOfDebtor, "audit_sink_up", "audit_sink", 2)} {
		g.Expect(ReadDebt("gateway-0", strings.NewReader(broken)).Err).To(MatchError(ContainSubstring("read metrics")), broken)
	}
}

func TestADebtIsAskedFor(t *testing.T) {
	g := NewWithT(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(metricsOfDebtor))
	}))
	defer server.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	found := debts(t.Context(), []string{server.URL + "/", server.URL + "/elsewhere", gone.URL})
	g.Expect(found[0].String()).To(HaveSuffix("owes 3 events, the oldest for 12s; 1 of its events were refused or lost; its last write failed"))
	g.Expect(found[1].Err).To(MatchError(ContainSubstring("404")))
	g.Expect(found[2].String()).To(ContainSubstring("does not say what it owes"))
	g.Expect(Debt{Service: "a"}.String()).To(Equal("a owes nothing"))
}
