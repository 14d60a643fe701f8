package alertmanager

import (
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"kubernaut.ai/internal/printable"
	"kubernaut.ai/services/gateway/internal/decode"
	"kubernaut.ai/services/gateway/internal/signal"
)

// The states of an alert.
const (
	statusFiring   = "firing"
	statusResolved = "resolved"
)

// alert is an alert of the webhook, and of an Alertmanager's API. An alert of
// the API has no status of this form: it fires until EndsAt.
type alert struct {
	Status       decode.Lenient `json:"status"`
	Labels       decode.Pairs   `json:"labels"`
	Annotations  decode.Pairs   `json:"annotations"`
	StartsAt     decode.Lenient `json:"startsAt"`
	EndsAt       decode.Lenient `json:"endsAt"`
	GeneratorURL string         `json:"generatorURL"`
	Fingerprint  string         `json:"fingerprint"`
}

// decode reads and checks an alert.
func (a *alert) decode(path string, text []byte, bare bool) *signal.InvalidError {
	var wrong signal.Complaints
	if err := json.Unmarshal(text, a, decode.Options()); err != nil {
		decode.Value(&wrong, path, err)
		return wrong.Invalid()
	}
	switch {
	case bare, a.Status == statusFiring, a.Status == statusResolved:
	case a.Status == "":
		wrong.Addf(path+".status", "is required: firing or resolved")
	default:
		wrong.Addf(path+".status", "want firing or resolved, got %q", printable.Storable(string(a.Status), signal.MaxSeverity))
	}
	switch name := a.Labels["alertname"]; {
	case strings.TrimSpace(name) == "":
		wrong.Addf(path+".labels.alertname", "is required: it names the problem")
	case len(name) > signal.MaxName:
		wrong.Addf(path+".labels.alertname", "is %d bytes long: at most %d are taken", len(name), signal.MaxName)
	}
	return wrong.Invalid()
}

// resolved reports whether the problem has ended.
func (a *alert) resolved(bare bool, receivedAt time.Time) bool {
	if !bare {
		return a.Status == statusResolved
	}
	end := a.resolvedAt()
	return !end.IsZero() && !end.After(receivedAt)
}

// resolvedAt returns when a resolved alert ended; zero if that is unknown.
func (a *alert) resolvedAt() time.Time {
	end, _ := signal.ParseTime(string(a.EndsAt)) // zero if it has no such form
	return end
}
