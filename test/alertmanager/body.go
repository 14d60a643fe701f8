package alertmanager

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The states of alerts.
const (
	Firing   = "firing"
	Resolved = "resolved"
)

// Alert is one alert of a notification.
type Alert struct {
	Status   string            `json:"status"`
	Labels   map[string]string `json:"labels"`
	StartsAt time.Time         `json:"startsAt"`
	EndsAt   time.Time         `json:"endsAt,omitzero"`
}

// Body is a notification about alerts with these labels.
func Body(status string, labels ...map[string]string) ([]byte, error) {
	now := time.Now().UTC()
	alerts := make([]Alert, 0, len(labels))
	for _, l := range labels {
		alerts = append(alerts, Alert{Status: status, Labels: l, StartsAt: now, EndsAt: now})
	}
	return notification(status, alerts)
}

func notification(status string, alerts []Alert) ([]byte, error) {
	body, err := json.Marshal(map[string]any{"version": "4", "receiver": "kubernaut", "status": status, "alerts": alerts})
	if err != nil {
		return nil, fmt.Errorf("encode a notification: %w", err)
	}
	return body, nil
}

// RealBodies are the names of bodies recorded from an unmodified Alertmanager.
var RealBodies = []string{"one-firing.json", "group-of-three.json", "resolved-and-firing.json", "truncated.json"}

// Real returns a body recorded from an unmodified Alertmanager. The path is relative
// to a suite's directory, where suites run.
func Real(name string) ([]byte, error) {
	body, err := os.ReadFile(filepath.Join("..", "..", "services", "gateway", "internal", "alertmanager", "testdata", name))
	if err != nil {
		return nil, fmt.Errorf("read a real body: %w", err)
	}
	return body, nil
}
