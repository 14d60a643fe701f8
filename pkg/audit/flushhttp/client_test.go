package flushhttp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/flushhttp"
)

func TestRequest(t *testing.T) {
	t.Parallel()
	store, sink, _ := audittest.NewStore(t)
	server := httptest.NewServer(flushhttp.Handler(store))
	t.Cleanup(server.Close)

	sink.Reject(rejectType("test.remote.bad"))
	bad := audittest.NewEvent("test.remote.bad", "theirs")
	bad.ID = audit.DerivedID(audittest.Epoch(), "bad")
	record(t, store, bad)
	record(t, store, audittest.NewEvent("test.remote.good", "ours & mine"))

	receipt, err := flushhttp.Request(t.Context(), server.Client(), server.URL, "ours & mine")
	if want := (audit.Receipt{Barrier: 2, Events: 1, ConsistencyToken: "memory-1"}); err != nil || receipt != want {
		t.Errorf("flush for ours: %+v, %v, want %+v", receipt, err, want)
	}
	_, err = flushhttp.Request(t.Context(), server.Client(), server.URL, "")
	if e := asFlushError(t, err); e.RejectedUnnamed != 1 || len(e.Rejected) != 0 {
		t.Errorf("flush: %+v, want one event counted as rejected", e)
	}
	acknowledge(t, store, bad.ID)

	server.Close()
	if _, err := flushhttp.Request(t.Context(), server.Client(), server.URL, ""); err == nil {
		t.Error("flush of a server that is away is nil")
	}
}

func TestParseResponse(t *testing.T) {
	t.Parallel()
	_, err := flushhttp.ParseResponse(http.StatusGatewayTimeout,
		[]byte(`{"status":504,"events":5,"stored":3,"pending":2,"sink":"the sink is unreachable"}`))
	e := asFlushError(t, err)
	if e.Events != 5 || e.Stored != 3 || e.Pending != 2 || e.SinkError == nil {
		t.Errorf("error %+v, want 2 of 5 pending and why", e)
	}
	for name, answer := range map[string]struct {
		status int
		body   string
	}{
		"a page":                {http.StatusOK, "<html>"},
		"another's document":    {http.StatusOK, "{}"},
		"nothing":               {http.StatusOK, "null"},
		"a proxy's timeout":     {http.StatusGatewayTimeout, "<html>"},
		"a conflict of another": {http.StatusConflict, "{}"},
		"forbidden":             {http.StatusForbidden, `{"title":"no"}`},
		"no content":            {http.StatusNoContent, ""},
	} {
		receipt, err := flushhttp.ParseResponse(answer.status, []byte(answer.body))
		var e *audit.FlushError
		if err == nil || errors.As(err, &e) || receipt != (audit.Receipt{}) {
			t.Errorf("%s: %+v, %v, want an error that is no *FlushError", name, receipt, err)
		}
	}
}

// TestAwaitTurn asks a busy handler again, and gives up with its context.
func TestAwaitTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		receipt, err := flushhttp.AwaitTurn(t.Context(), func() (audit.Receipt, error) {
			if calls++; calls < 3 {
				return flushhttp.ParseResponse(http.StatusTooManyRequests, nil)
			}
			return audit.Receipt{Barrier: 7}, nil
		})
		if err != nil || receipt.Barrier != 7 || calls != 3 {
			t.Errorf("%+v, %v after %d calls, want the receipt of the third", receipt, err, calls)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := flushhttp.AwaitTurn(ctx, func() (audit.Receipt, error) {
			return flushhttp.ParseResponse(http.StatusTooManyRequests, nil)
		}); !errors.Is(err, flushhttp.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want that it is busy, and the context's", err)
		}
	})
}
