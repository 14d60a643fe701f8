package heartbeat

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kubernaut.ai/pkg/audit/wire"
)

const (
	// DefaultWithin is how long an expected heartbeat may stay away, unless its
	// expectation says otherwise.
	DefaultWithin = 5 * time.Minute

	minWithin       = 30 * time.Second
	maxWithin       = 24 * time.Hour
	maxExpectations = 100
	maxText         = 253
	// digestBytes of an expectation's digest are in the name of its Lease.
	digestBytes = 8

	withinKey = "within"
	withinOff = "off"
)

// Expectation is an alert that is a heartbeat.
type Expectation struct {
	// Name of the alert.
	Name string
	// Labels that the alert has, besides its name.
	Labels map[string]string
	// Within is how long the heartbeat may stay away; 0 if it is not expected.
	Within time.Duration
}

// Parse reads an expectation in the form NAME[,LABEL=VALUE...][,within=DURATION].
// With within=off, the alert is a heartbeat that is not expected.
func Parse(text string) (Expectation, error) {
	if len(text) > maxText {
		return Expectation{}, fmt.Errorf("is %d bytes long: want at most %d", len(text), maxText)
	}
	name, rest, more := strings.Cut(text, ",")
	e := Expectation{Name: strings.TrimSpace(name), Labels: map[string]string{}, Within: DefaultWithin}
	if e.Name == "" || strings.Contains(e.Name, "=") {
		return Expectation{}, errors.New("want the alert's name first, as in Watchdog,prometheus=monitoring/k8s,within=5m")
	}
	if e.Name == SignalName {
		return Expectation{}, fmt.Errorf("%s is what a lost heartbeat is reported as", SignalName)
	}
	seen := map[string]bool{}
	for more {
		var pair string
		pair, rest, more = strings.Cut(rest, ",")
		key, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		switch {
		case !ok || key == "" || value == "":
			return Expectation{}, fmt.Errorf("%q: want LABEL=VALUE or within=DURATION", pair)
		case seen[key]:
			return Expectation{}, fmt.Errorf("%q is given twice", key)
		case key == "alertname":
			return Expectation{}, errors.New("the alert's name comes first, without a label")
		}
		seen[key] = true
		if key != withinKey {
			e.Labels[key] = value
			continue
		}
		var err error
		if e.Within, err = parseWithin(value); err != nil {
			return Expectation{}, err
		}
	}
	return e, nil
}

func parseWithin(text string) (time.Duration, error) {
	if text == withinOff {
		return 0, nil
	}
	within, err := time.ParseDuration(text)
	if err != nil || within < minWithin || within > maxWithin {
		return 0, fmt.Errorf("within=%s: want a duration from %s to %s, or off", text, minWithin, maxWithin)
	}
	return within, nil
}

// Check checks the form of one expectation.
func Check(text string) error {
	_, err := Parse(text)
	return err
}

// ParseAll reads expectations, no two of which are about the same alerts.
func ParseAll(texts []string) ([]Expectation, error) {
	if len(texts) > maxExpectations {
		return nil, fmt.Errorf("%d heartbeats: want at most %d", len(texts), maxExpectations)
	}
	all := make([]Expectation, 0, len(texts))
	known := map[string]bool{}
	for _, text := range texts {
		e, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		if known[e.String()] {
			return nil, fmt.Errorf("%s: there are two heartbeats for these alerts", text)
		}
		known[e.String()] = true
		all = append(all, e)
	}
	return all, nil
}

// String names the alerts: name and labels in order, without the time.
func (e *Expectation) String() string {
	var text strings.Builder
	text.WriteString(e.Name)
	for _, key := range slices.Sorted(maps.Keys(e.Labels)) {
		text.WriteString("," + key + "=" + e.Labels[key])
	}
	return text.String()
}

// matches reports whether an alert is this heartbeat.
func (e *Expectation) matches(name string, labels map[string]string) bool {
	if name != e.Name {
		return false
	}
	for key, value := range e.Labels {
		if labels[key] != value {
			return false
		}
	}
	return true
}

// digest identifies the expectation in names and ids.
func (e *Expectation) digest() string {
	sum := wire.NewDigest(e.String()).Sum()
	return hex.EncodeToString(sum[:digestBytes])
}
