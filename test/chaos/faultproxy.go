package chaos

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"

	"go.uber.org/zap"
)

// fault is what a faultProxy does to every request.
type fault int32

const (
	// noFault forwards requests and responses.
	noFault fault = iota
	// unavailable answers 503 without forwarding the request.
	unavailable
	// dropRequest closes the connection without forwarding the request.
	dropRequest
	// dropResponse forwards the request, so that DataStorage stores it, and closes the connection instead of answering.
	dropResponse
)

// faultProxy is a reverse proxy in front of DataStorage that injects faults.
type faultProxy struct {
	*httptest.Server

	fault atomic.Int32
}

var errResponseDropped = errors.New("response dropped")

// newFaultProxy starts a proxy without a fault. The caller closes it.
func newFaultProxy(target string) (*faultProxy, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("start fault proxy: %w", err)
	}
	p := &faultProxy{}
	discard, err := zap.NewStdLogAt(zap.NewNop(), zap.DebugLevel)
	if err != nil {
		return nil, fmt.Errorf("start fault proxy: %w", err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(*http.Response) error {
			if fault(p.fault.Load()) == dropResponse {
				return errResponseDropped
			}
			return nil
		},
		// Either the client is gone already, or its connection is to be closed.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     discard,
	}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch fault(p.fault.Load()) {
		case unavailable:
			w.WriteHeader(http.StatusServiceUnavailable)
		case dropRequest:
			panic(http.ErrAbortHandler)
		case noFault, dropResponse:
			proxy.ServeHTTP(w, r)
		}
	}))
	p.Config.ErrorLog = discard
	p.Start()
	return p, nil
}

// inject sets the fault for the requests and responses that follow.
func (p *faultProxy) inject(f fault) { p.fault.Store(int32(f)) }
