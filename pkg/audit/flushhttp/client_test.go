package flushhttp_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

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
	if e := asFlushError(t, err); len(e.Rejected) != 1 || e.Rejected[0].ID != bad.ID {
		t.Errorf("flush: %+v, want event %s rejected", e, bad.ID)
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
