// Package trial applies target rules to the alerts of a file and compares the
// targets with those that the file expects.
package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/target"
	"kubernaut.ai/services/gateway/internal/target/rules"
)

// Alert is an alert of a file.
type Alert struct {
	ID     string            `json:"id"`
	Name   string            `json:"alert"`
	Labels map[string]string `json:"labels"`
	// Difficulty is a class of alerts, for scores.
	Difficulty string `json:"difficulty"`
	// Target and AlsoOK are the objects that an honest person could name; nil if the
	// file does not tell. Of kind Unknown only the kind counts.
	Target *v1alpha1.TargetResource  `json:"target"`
	AlsoOK []v1alpha1.TargetResource `json:"also_ok"`
	// Objects are those of the cluster.
	Objects []json.RawMessage `json:"cluster_objects"`
}

// Verdict is the outcome of a comparison.
type Verdict string

// The verdicts. Abstained means Unknown where the target is known: it acts on nothing.
const (
	Right     Verdict = "right"
	Abstained Verdict = "abstained"
	Wrong     Verdict = "wrong"
	Unjudged  Verdict = ""
)

// Result is what the rules say about an alert.
type Result struct {
	Alert
	target.Resolution

	Verdict Verdict
}

// Read reads a list of alerts with their targets, or the body of Alertmanager's webhook.
func Read(content []byte) ([]Alert, error) {
	var alerts []Alert
	into := any(&alerts)
	var body struct {
		Alerts []Alert `json:"alerts"`
	}
	if !bytes.HasPrefix(bytes.TrimSpace(content), []byte("[")) {
		into = &body
	}
	if err := json.Unmarshal(content, into); err != nil {
		return nil, fmt.Errorf("read alerts: want a list, or the body of a webhook: %w", err)
	}
	if body.Alerts != nil {
		alerts = body.Alerts
	}
	for i := range alerts {
		if alerts[i].Name == "" {
			alerts[i].Name = alerts[i].Labels["alertname"]
		}
	}
	return alerts, nil
}

// Run applies the rules to every alert.
func Run(ctx context.Context, set *rules.Set, alerts []Alert) ([]Result, error) {
	results := make([]Result, len(alerts))
	for i, alert := range alerts {
		objects, err := target.NewObjects(alert.Objects)
		if err != nil {
			return nil, fmt.Errorf("alert %d (%s): %w", i, alert.Name, err)
		}
		signal := target.Signal{Name: alert.Name, Labels: alert.Labels, Foreign: alert.Objects == nil}
		resolver, err := target.NewResolver(target.Options{
			Reader: objects, Discovery: objects, Rules: set, Clock: clock.RealClock{},
			Log: zap.NewNop(), Registerer: prometheus.NewRegistry(),
		})
		if err != nil {
			return nil, err //nolint:wrapcheck // of an empty registry
		}
		found, err := resolver.Resolve(ctx, signal)
		if err != nil {
			return nil, fmt.Errorf("alert %d (%s): %w", i, alert.Name, err)
		}
		results[i] = Result{Alert: alert, Resolution: found, Verdict: alert.judge(found.Target)}
	}
	return results, nil
}

// judge compares a target with the expected ones.
func (a *Alert) judge(got v1alpha1.TargetResource) Verdict {
	if a.Target == nil {
		return Unjudged
	}
	for _, ok := range append([]v1alpha1.TargetResource{*a.Target}, a.AlsoOK...) {
		unknown := ok.Kind == target.KindUnknown && got.Kind == target.KindUnknown
		if unknown || ok.Kind == got.Kind && ok.Namespace == got.Namespace && ok.Name == got.Name {
			return Right
		}
	}
	if got.Kind == target.KindUnknown {
		return Abstained
	}
	return Wrong
}
