package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// alertmanagerNotification is the body that Alertmanager sends.
type alertmanagerNotification struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            string            `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []struct {
		Status       string            `json:"status"`
		Labels       map[string]string `json:"labels"`
		Annotations  map[string]string `json:"annotations"`
		StartsAt     time.Time         `json:"startsAt"`
		EndsAt       time.Time         `json:"endsAt"`
		GeneratorURL string            `json:"generatorURL"`
		Fingerprint  string            `json:"fingerprint"`
	} `json:"alerts"`
}

func decodeJSON(text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	return nil
}

// sharedRead reads one thing for many callers: each waits for a read that began
// after its call. It is the least that the Gateway's promise costs.
type sharedRead struct {
	read func(context.Context) error

	reading sync.Mutex // held by the read in progress

	mu   sync.Mutex
	next *outcome // guarded by mu: of the read that has not begun; nil without callers
}

// outcome is the result of a read; err is set before done is closed.
type outcome struct {
	done chan struct{}
	err  error
}

// wait returns the result of a read that begins after the call.
func (s *sharedRead) wait(ctx context.Context) error {
	s.mu.Lock()
	o := s.next
	if o == nil {
		o = &outcome{done: make(chan struct{})}
		s.next = o
		go s.run(context.WithoutCancel(ctx), o)
	}
	s.mu.Unlock()
	<-o.done
	return o.err
}

func (s *sharedRead) run(ctx context.Context, o *outcome) {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.mu.Lock()
	s.next = nil
	s.mu.Unlock()
	o.err = s.read(ctx)
	close(o.done)
}
