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

// manner is how a door treats who comes.
type manner int32

const (
	// open lets everybody through.
	open manner = iota
	// refuses answers 503 itself.
	refuses
	// cuts the connection before anything is stored.
	cuts
	// deaf cuts the connection when everything is stored, instead of an answer.
	deaf
)

// door stands before DataStorage and behaves as it is told.
type door struct {
	*httptest.Server

	manner atomic.Int32
}

var errDeaf = errors.New("the answer is kept back")

// newDoor makes an open door; the caller closes it.
func newDoor(target string) (*door, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("make a door: %w", err)
	}
	d := &door{}
	silent, err := zap.NewStdLogAt(zap.NewNop(), zap.DebugLevel)
	if err != nil {
		return nil, fmt.Errorf("make a door: %w", err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(*http.Response) error {
			if manner(d.manner.Load()) == deaf {
				return errDeaf
			}
			return nil
		},
		// Cut off, as who sends was, or is to be.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:     silent,
	}
	d.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch manner(d.manner.Load()) {
		case refuses:
			w.WriteHeader(http.StatusServiceUnavailable)
		case cuts:
			panic(http.ErrAbortHandler)
		case open, deaf:
			proxy.ServeHTTP(w, r)
		}
	}))
	d.Config.ErrorLog = silent
	d.Start()
	return d, nil
}

func (d *door) be(m manner) { d.manner.Store(int32(m)) }
