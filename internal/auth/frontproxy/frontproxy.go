// Package frontproxy authenticates people whose requests an API server forwards
// to a service that is registered with its aggregation layer.
//
// The API server has authenticated them by whatever method the cluster has. It
// shows the certificate of its front proxy, and sends their name, UID, groups and
// extra attributes in headers. How to recognize that certificate is in ConfigMap
// kube-system/extension-apiserver-authentication, which a Proxy watches.
//
// The service account needs to get, list and watch that ConfigMap, which Role
// extension-apiserver-authentication-reader of namespace kube-system permits.
package frontproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"kubernaut.ai/internal/auth"
)

const (
	namespace = "kube-system"
	configMap = "extension-apiserver-authentication"
	remedy    = "bind the service account to Role extension-apiserver-authentication-reader in namespace kube-system, " +
		"and see that the API server runs with its --requestheader flags"
)

var errNotKnown = errors.New("the front proxy of the API server is not known")

// Proxy is an auth.Guard for requests that the API server forwards. It lets
// nobody in before it knows the front proxy. What it knew last stays in force
// while the ConfigMap is missing or unusable.
//
// It is a prometheus.Collector of:
//
//	auth_front_proxy_known   1 if the ConfigMap was read and is usable, else 0
//
// and of what the guard of permissions counts.
type Proxy struct {
	configMaps rest.Interface
	permitted  auth.Guard
	log        *zap.Logger
	known      *prometheus.Desc

	current atomic.Pointer[published] // nil until it is known

	mu       sync.Mutex
	reported bool // guarded by mu: a fault is in the log
}

// New makes a guard that asks the API server of config about its front proxy, and
// permitted about permissions. It opens no connection.
func New(config *rest.Config, permitted auth.Guard, log *zap.Logger) (*Proxy, error) {
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubernetes API server %s: %w", config.Host, err)
	}
	return &Proxy{
		configMaps: client.RESTClient(), permitted: permitted, log: log,
		known: prometheus.NewDesc("auth_front_proxy_known", "1 if it is known how to recognize the API server's front proxy, else 0.", nil, nil),
	}, nil
}

// Describe implements prometheus.Collector.
func (p *Proxy) Describe(to chan<- *prometheus.Desc) {
	to <- p.known
	if more, ok := p.permitted.(prometheus.Collector); ok {
		more.Describe(to)
	}
}

// Collect implements prometheus.Collector.
func (p *Proxy) Collect(to chan<- prometheus.Metric) {
	p.mu.Lock()
	defer p.mu.Unlock()
	value := 0.0
	if p.current.Load() != nil && !p.reported {
		value = 1
	}
	to <- prometheus.MustNewConstMetric(p.known, prometheus.GaugeValue, value)
	if more, ok := p.permitted.(prometheus.Collector); ok {
		more.Collect(to)
	}
}

// Run watches the ConfigMap until ctx ends.
func (p *Proxy) Run(ctx context.Context) error {
	watched := cache.NewSharedInformer(
		cache.NewListWatchFromClient(p.configMaps, "configmaps", namespace, fields.OneTermEqualSelector("metadata.name", configMap)),
		&corev1.ConfigMap{}, 0)
	if err := watched.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		// An interrupted watch is resumed; what is known stays known.
		if p.current.Load() == nil {
			p.fault(err)
		}
	}); err != nil {
		return fmt.Errorf("watch ConfigMap %s/%s: %w", namespace, configMap, err)
	}
	if _, err := watched.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    p.take,
		UpdateFunc: func(_, object any) { p.take(object) },
		DeleteFunc: func(any) { p.fault(errors.New("it was deleted")) },
	}); err != nil {
		return fmt.Errorf("watch ConfigMap %s/%s: %w", namespace, configMap, err)
	}
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), watched.HasSynced) && len(watched.GetStore().ListKeys()) == 0 {
			p.fault(errors.New("it does not exist"))
		}
	}()
	watched.RunWithContext(ctx)
	return nil
}

// TLS returns the configuration of a server with the certificate of base. Clients
// must show a certificate of the front proxy's authority.
func (p *Proxy) TLS(base *tls.Config) *tls.Config {
	config := base.Clone()
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		known := p.current.Load()
		if known == nil {
			return nil, errNotKnown
		}
		chosen := base
		if base.GetConfigForClient != nil {
			var err error
			if chosen, err = base.GetConfigForClient(hello); err != nil {
				return nil, fmt.Errorf("choose a certificate: %w", err)
			}
		}
		chosen = chosen.Clone()
		chosen.ClientAuth, chosen.ClientCAs = tls.RequireAndVerifyClientCert, known.roots
		return chosen, nil
	}
	return config
}

// Authenticate implements auth.Guard. The certificate is verified for each
// request, because a connection may outlive the authority that signed it.
func (p *Proxy) Authenticate(r *http.Request) (auth.Caller, error) {
	known := p.current.Load()
	if known == nil {
		return auth.Caller{}, &auth.UnavailableError{Cause: errNotKnown}
	}
	response, ok, err := known.request.AuthenticateRequest(r)
	switch {
	case err != nil:
		return auth.Caller{}, &auth.UnauthenticatedError{
			Detail: "only the API server may call here: send your request to the API server", Reason: auth.ReasonNotForwarded, Cause: err,
		}
	case !ok:
		return auth.Caller{}, &auth.UnauthenticatedError{Detail: "the request names no user: send it to the API server", Reason: auth.ReasonNoUser}
	}
	return auth.Caller{
		Name: response.User.GetName(), UID: response.User.GetUID(), Groups: response.User.GetGroups(), Extra: response.User.GetExtra(),
	}, nil
}

// Authorize implements auth.Guard. The resources that people call have no
// namespace, so permissions must be cluster-wide, as the API server demands too.
func (p *Proxy) Authorize(ctx context.Context, caller auth.Caller, action auth.Action, _ auth.Scope) error {
	return p.permitted.Authorize(ctx, caller, action, auth.Everywhere()) //nolint:wrapcheck // an interface of package auth
}

func (p *Proxy) take(object any) {
	m, ok := object.(*corev1.ConfigMap)
	if !ok {
		return
	}
	found, err := read(m)
	if err != nil {
		p.fault(err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.current.Load(); known != nil && !p.reported && maps.Equal(known.data, m.Data) {
		return // listed again
	}
	p.current.Store(found)
	p.reported = false
	p.log.Info("front proxy of the API server is known: people can call through the API server", zap.String("resource_version", m.ResourceVersion))
}

// fault logs the first of a series of faults.
func (p *Proxy) fault(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reported {
		return
	}
	p.reported = true
	message := "front proxy of the API server is not known: people cannot call through the API server"
	if p.current.Load() != nil {
		message = "front proxy of the API server cannot be read again: what was known last stays in force"
	}
	p.log.Warn(message, zap.String("config_map", namespace+"/"+configMap), zap.Error(err), zap.String("remedy", remedy))
}
