package app

import (
	"fmt"
	"net"
	"net/http"

	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/auth/frontproxy"
	"kubernaut.ai/internal/httpserver"
	"kubernaut.ai/internal/httpserver/tlsfiles"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/services/datastorage/internal/metrics"
)

// aggregatedPrefix is before the names of metrics about people's requests.
const aggregatedPrefix = "datastorage_aggregated_"

// people is what it takes to serve people, whose requests the API server forwards.
type people struct {
	proxy *frontproxy.Proxy
	gate  *auth.Gate
	tls   *tlsfiles.Server
	log   *zap.Logger
}

func newPeople(o *Options, cluster func() (*rest.Config, error)) (*people, error) {
	config, err := cluster()
	if err != nil {
		return nil, fmt.Errorf("--aggregated-listen: %w", err)
	}
	permitted, err := auth.NewKubernetes(config, auth.KubernetesOptions{Clock: o.Clock, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("--aggregated-listen: %w", err)
	}
	p := &people{log: o.Log}
	if p.proxy, err = frontproxy.New(config, permitted, o.Log); err != nil {
		return nil, fmt.Errorf("--aggregated-listen: %w", err)
	}
	p.gate = auth.NewGate(p.proxy, o.Log)
	// --client-ca is for machines: the authority of the front proxy is the API server's.
	files := tlsfiles.Flags{Cert: o.TLS.Cert, Key: o.TLS.Key}
	if p.tls, err = files.NewServer("aggregated", o.Clock, o.Log); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	return p, nil
}

func (p *people) register(m *metrics.Metrics) error {
	if err := m.RegisterAs(aggregatedPrefix, p.gate); err != nil {
		return fmt.Errorf("callers: %w", err)
	}
	if err := m.Register(p.tls); err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	return nil
}

// parts are the watch of the front proxy, and the server, which stops first.
func (p *people) parts(listener net.Listener, handler http.Handler) []lifecycle.Part {
	server := &httpserver.Server{Name: "aggregated API", Listener: listener, Handler: handler, TLS: p.proxy.TLS(p.tls.Config()), Log: p.log}
	return []lifecycle.Part{{Name: "front proxy", Run: lifecycle.Simple(p.proxy.Run)}, server.Part(0)}
}
