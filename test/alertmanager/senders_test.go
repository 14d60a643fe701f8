package alertmanager_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"

	"kubernaut.ai/test/alertmanager"
)

// gateway handles each attempt with the next of the handlers, and correctly after them.
func gateway(t *testing.T, handlers ...http.HandlerFunc) (url string, bodies *[]string) {
	t.Helper()
	bodies = &[]string{}
	var one sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one.Lock()
		defer one.Unlock()
		var sent struct {
			Alerts []alertmanager.Alert `json:"alerts"`
		}
		if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
			t.Error(err)
		}
		*bodies = append(*bodies, sent.Alerts[0].Labels["alertname"])
		w.Header().Set("X-Request-ID", r.Header.Get("X-Request-ID"))
		if len(handlers) > 0 {
			handler := handlers[0]
			handlers = handlers[1:]
			handler(w, r)
			return
		}
		results := make([]alertmanager.Result, len(sent.Alerts))
		for i := range results {
			status := "created"
			if sent.Alerts[i].Status == alertmanager.Resolved {
				status = "resolved"
			}
			results[i] = alertmanager.Result{Status: status, RemediationRequestName: "rr-" + sent.Alerts[i].Labels["pod"], Fingerprint: "f"}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"results": results})
	}))
	t.Cleanup(server.Close)
	return server.URL, bodies
}

func busy(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(`{}`))
}

func dead(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestANotificationIsSentUntilItIsAnswered(t *testing.T) {
	g := NewWithT(t)
	url, bodies := gateway(t, busy, dead)
	var failures []error
	s := alertmanager.NewSenders(alertmanager.Options{Namespace: "shop", NewRoute: func() alertmanager.Route {
		return func(_ context.Context, failure error) (string, error) {
			failures = append(failures, failure)
			return url, nil
		}
	}})
	go func() {
		<-s.Ticks()
		s.Finish()
		s.Finish()
	}()
	g.Expect(s.Send(t.Context(), rand.New(rand.NewPCG(1, 1)))).To(Succeed())
	g.Expect(failures[0]).To(Succeed())
	g.Expect(failures[1]).To(MatchError(alertmanager.ErrBusy))
	g.Expect(failures[2]).To(MatchError(ContainSubstring("EOF")))
	g.Expect((*bodies)[:3]).To(HaveEach((*bodies)[0]), "the same notification")
	g.Expect(s.Answers()).NotTo(BeEmpty())
	g.Expect(s.Answers()[0].Request).To(HavePrefix("rr-pod-"))
}

func TestAnUnexpectedAnswerEndsTheLoad(t *testing.T) {
	for want, handler := range map[string]http.HandlerFunc{
		"answered 400": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"detail":"no"}`))
		},
		"unexpected answer": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, `{"results":[{"status":"rejected"}]}`)
		},
	} {
		url, _ := gateway(t, handler)
		s := alertmanager.NewSenders(alertmanager.Options{NewRoute: func() alertmanager.Route {
			return alertmanager.Backoff(url, time.Hour, time.Hour)
		}})
		err := s.Send(t.Context(), rand.New(rand.NewPCG(1, 1)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}

func TestBackoffWaitsLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		route := alertmanager.Backoff("http://gateway", time.Second, 3*time.Second)
		failure := errors.New("connection refused")
		for i, want := range []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second, 3 * time.Second} {
			var last error
			if i > 0 {
				last = failure
			}
			began := time.Now()
			g.Expect(route(t.Context(), last)).To(Equal("http://gateway"))
			g.Expect(time.Since(began)).To(Equal(want))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := route(ctx, failure)
		g.Expect(err).To(SatisfyAll(MatchError(context.Canceled), MatchError(failure)))
	})
}
