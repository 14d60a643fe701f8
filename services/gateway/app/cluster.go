package app

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/quota"
)

// fieldManager owns what the Gateway writes.
const fieldManager = "gateway"

// cluster is the connection to the API server.
type cluster struct {
	address   string
	namespace string
	// client reads and writes without a cache.
	client     client.Client
	kubernetes *kubernetes.Clientset
	types      *runtime.Scheme
	// requests is the informer cache.
	requests cache.Cache
	// watchFailed holds the latest error of the informer, for the message of a failed start.
	watchFailed chan error
}

func (a *App) connect() (*cluster, error) {
	types, err := kube.Scheme()
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	httpClient, err := rest.HTTPClientFor(a.rest)
	if err != nil {
		return nil, fmt.Errorf("kubernetes API server %s: %w", a.rest.Host, err)
	}
	mapper, err := apiutil.NewDynamicRESTMapper(a.rest, httpClient)
	if err != nil {
		return nil, fmt.Errorf("kubernetes API server %s: %w", a.rest.Host, err)
	}
	live, err := client.New(a.rest, client.Options{
		HTTPClient: httpClient, Scheme: types, Mapper: mapper, FieldOwner: fieldManager,
	})
	if err != nil {
		return nil, fmt.Errorf("kubernetes API server %s: %w", a.rest.Host, err)
	}
	clientset, err := kubernetes.NewForConfigAndClient(a.rest, httpClient)
	if err != nil {
		return nil, fmt.Errorf("kubernetes API server %s: %w", a.rest.Host, err)
	}
	c := &cluster{
		address: a.rest.Host, namespace: a.options.Namespace, client: live, kubernetes: clientset, types: types,
		watchFailed: make(chan error, 1),
	}
	namespaces := map[string]cache.Config{}
	for _, namespace := range a.options.WatchNamespaces {
		namespaces[namespace] = cache.Config{}
	}
	c.requests, err = cache.New(a.rest, cache.Options{
		HTTPClient:                  httpClient,
		Scheme:                      types,
		Mapper:                      mapper,
		DefaultNamespaces:           namespaces,
		DefaultTransform:            dedup.Trim,
		ReaderFailOnMissingInformer: true,
		DefaultWatchErrorHandler: func(_ context.Context, _ *toolscache.Reflector, err error) {
			c.noteWatchError(err)
			a.log.Debug("watch of requests interrupted", zap.Error(err))
		},
	})
	if err != nil {
		return nil, fmt.Errorf("cache of requests: %w", err)
	}
	return c, nil
}

// recordEvents returns a recorder of Kubernetes events, which are written in the
// background until ctx ends. They are a courtesy: the audit trail does not depend on them.
func (c *cluster) recordEvents(ctx context.Context) events.EventRecorder {
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: c.kubernetes.EventsV1()})
	recorder := broadcaster.NewRecorder(c.types, program)
	if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		return recorder // the only error is that ctx has ended
	}
	context.AfterFunc(ctx, broadcaster.Shutdown)
	return recorder
}

// noteWatchError keeps the first error, for the message of a failed start.
func (c *cluster) noteWatchError(err error) {
	select {
	case c.watchFailed <- err:
	default:
	}
}

// reachable reads the Gateway's own namespace: it holds when the API server
// answers, accepts the Gateway's credentials, and has the namespace.
func (c *cluster) reachable(ctx context.Context) error {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := c.client.Get(ctx, client.ObjectKey{Name: c.namespace}, object); err != nil {
		return fmt.Errorf("read namespace %s: %w", c.namespace, err)
	}
	return nil
}

// countRequests makes the quota, which counts what the informer reports.
func (g *gateway) countRequests(ctx context.Context) error {
	var err error
	g.quota, err = quota.New(quota.Options{
		Limits: quota.Limits{
			PerSender: g.options.MaxOpenPerSender, PerNamespace: g.options.MaxOpenPerNamespace, Total: g.options.MaxOpen,
		},
		Clock:      g.options.Clock,
		Configured: g.auth.Callers,
		Registerer: g.registry,
	})
	if err != nil {
		return fmt.Errorf("quota: %w", err)
	}
	informer, err := g.cluster.requests.GetInformer(ctx, &v1alpha1.RemediationRequest{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("kubernetes API server %s: %w (are the custom resource definitions installed?)", g.cluster.address, err)
	}
	if _, err := informer.AddEventHandler(g.quota.Handler()); err != nil {
		return fmt.Errorf("count open requests: %w", err)
	}
	return nil
}

// sync starts the informer of requests and waits until it has seen them all.
// The cache itself is another part.
func (a *App) sync(ctx context.Context, c *cluster) error {
	_, err := c.requests.GetInformer(ctx, &v1alpha1.RemediationRequest{})
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("kubernetes API server %s does not serve remediationrequests.kubernaut.ai: install the custom resource definitions first: %w", c.address, err)
	case err == nil && c.requests.WaitForCacheSync(ctx):
		return nil
	}
	select {
	case err = <-c.watchFailed:
	default:
		err = errors.Join(err, ctx.Err())
	}
	return fmt.Errorf("list remediationrequests at %s: gave up after --startup-timeout %s: %w", c.address, a.options.StartupTimeout, err)
}
