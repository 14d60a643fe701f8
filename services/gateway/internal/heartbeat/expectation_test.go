package heartbeat_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"kubernaut.ai/services/gateway/internal/heartbeat"
)

func TestExpectationsAreParsed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		name   string
		within time.Duration
	}{
		"Watchdog":                              {"Watchdog", 5 * time.Minute},
		"Watchdog,within=90s":                   {"Watchdog", 90 * time.Second},
		"Watchdog,prometheus=monitoring/k8s":    {"Watchdog,prometheus=monitoring/k8s", 5 * time.Minute},
		" W, b=2,within=24h , a=1=1":            {"W,a=1=1,b=2", 24 * time.Hour},
		"Watchdog,within=off":                   {"Watchdog", 0},
		"DeadMansSwitch,namespace=shop,x=y z":   {"DeadMansSwitch,namespace=shop,x=y z", 5 * time.Minute},
		strings.Repeat("a", 240) + ",within=1m": {strings.Repeat("a", 240), time.Minute},
	} {
		e, err := heartbeat.Parse(text)
		if err != nil || e.String() != want.name || e.Within != want.within {
			t.Errorf("%q: %s within %s, error %v, want %+v", text, e.String(), e.Within, err, want)
		}
	}
}

func TestUnusableExpectationsSayWhy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                         "want the alert's name first",
		"alertname=Watchdog":       "want the alert's name first",
		"Watchdog,":                "want LABEL=VALUE",
		"Watchdog,a":               "want LABEL=VALUE",
		"Watchdog,=b":              "want LABEL=VALUE",
		"Watchdog,a=":              "want LABEL=VALUE",
		"Watchdog,a=1,a=2":         `"a" is given twice`,
		"Watchdog,alertname=X":     "comes first",
		"Watchdog,within=5":        "want a duration from 30s to 24h0m0s, or off",
		"Watchdog,within=29s":      "want a duration",
		"Watchdog,within=25h":      "want a duration",
		"HeartbeatLost":            "is what a lost heartbeat is reported as",
		strings.Repeat("a", 254):   "want at most 253",
		"Watchdog,within=1m,a=b,b": "want LABEL=VALUE",
	} {
		if err := heartbeat.Check(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	if _, err := heartbeat.ParseAll([]string{"A,x=1,y=2", "A,within=1m,y=2,x=1"}); err == nil || !strings.Contains(err.Error(), "two heartbeats") {
		t.Errorf("twice the same alerts: error %v", err)
	}
	if _, err := heartbeat.ParseAll(make([]string, 101)); err == nil || !strings.Contains(err.Error(), "at most 100") {
		t.Errorf("too many: error %v", err)
	}
	if all, err := heartbeat.ParseAll([]string{"A", "A,x=1"}); err != nil || len(all) != 2 {
		t.Errorf("%v, error %v", all, err)
	}
}

// webhookBody is what the tests read of a notification.
type webhookBody struct {
	Alerts []struct {
		Labels map[string]string `json:"labels"`
	} `json:"alerts"`
}

// labelsOf are those of the first alert of a recorded body.
func labelsOf(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var body webhookBody
	if err := json.Unmarshal(text, &body); err != nil {
		t.Fatal(err)
	}
	return body.Alerts[0].Labels
}
