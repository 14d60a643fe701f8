package httpsink

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"

	"kubernaut.ai/pkg/audit"
)

// newHTTPClient makes a client for one server. It has no timeout of its own,
// because the store bounds each write.
func newHTTPClient(config *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second,
			TLSClientConfig:     config,
			ForceAttemptHTTP2:   true,
			// Without it, a peer that vanished would hold all that shares its connection.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
			// Each batch in flight takes a connection of HTTP/1.1, and finds it open the next time.
			MaxConnsPerHost:     audit.MaxInFlight,
			MaxIdleConns:        audit.MaxInFlight,
			MaxIdleConnsPerHost: audit.MaxInFlight,
			IdleConnTimeout:     90 * time.Second,
		},
		// A redirected POST may arrive as a GET; the server is where it was configured to be.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
