package testenv

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Debt is what a service owes of the audit trail, by its own metrics.
type Debt struct {
	// Service names the pod or the address.
	Service string
	// Owed is how many events it has accepted that are not stored yet, and
	// Oldest how long the oldest of them has waited.
	Owed   int
	Oldest time.Duration
	// Refused is how many of its events are rejected or lost.
	Refused int
	// SinkDown tells that its last write failed.
	SinkDown bool
	// Err says why nobody knows.
	Err error
}

// ReadDebt reads a service's metrics.
func ReadDebt(service string, metrics io.Reader) Debt {
	d := Debt{Service: service}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(metrics)
	if err != nil {
		d.Err = fmt.Errorf("read metrics: %w", err)
		return d
	}
	gauge := func(name string) float64 {
		if m := families["audit_"+name].GetMetric(); len(m) == 1 {
			return m[0].GetGauge().GetValue()
		}
		d.Err = fmt.Errorf("read metrics: there is no audit_%s", name)
		return 0
	}
	d.Owed = int(gauge("owed_events"))
	d.Oldest = time.Duration(gauge("oldest_owed_age_seconds") * float64(time.Second))
	d.Refused = int(gauge("unacknowledged_events"))
	d.SinkDown = gauge("sink_up") == 0
	return d
}

// String is like "gateway-0 owes 3 events, the oldest for 12s; its last write failed".
func (d Debt) String() string {
	if d.Err != nil {
		return fmt.Sprintf("%s does not say what it owes: %v", d.Service, d.Err)
	}
	text := d.Service + " owes nothing"
	if d.Owed > 0 {
		text = fmt.Sprintf("%s owes %d events, the oldest for %s", d.Service, d.Owed, d.Oldest.Round(time.Millisecond))
	}
	if d.Refused > 0 {
		text += fmt.Sprintf("; %d of its events were refused or lost", d.Refused)
	}
	if d.SinkDown {
		text += "; its last write failed"
	}
	return text
}

// usualAge is more than an event waits where all is well.
const usualAge = time.Second

// usual tells a debt that explains nothing: events of the moment, as others record them all the time.
func (d Debt) usual() bool {
	return d.Err == nil && d.Refused == 0 && !d.SinkDown && d.Oldest < usualAge
}

// debts asks services by the URLs of their management ports.
func debts(ctx context.Context, managementURLs []string) []Debt {
	all := make([]Debt, 0, len(managementURLs))
	for _, base := range managementURLs {
		all = append(all, debtOf(ctx, base))
	}
	return all
}

func debtOf(ctx context.Context, managementURL string) Debt {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(managementURL, "/")+"/metrics", http.NoBody)
	if err != nil {
		return Debt{Service: managementURL, Err: err}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return Debt{Service: managementURL, Err: err}
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return Debt{Service: managementURL, Err: fmt.Errorf("its metrics answer %s", response.Status)}
	}
	return ReadDebt(managementURL, response.Body)
}
