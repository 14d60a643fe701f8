package app

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/go-logr/zapr"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/policy"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/workflowexecution/internal/metrics"
)

const (
	leaseName = "workflowexecution.kubernaut.ai"
	// eventSource is who emits Kubernetes events.
	eventSource = "workflowexecution"
)

// controllers are the manager with its controllers, and the informers of its
// caches.
type controllers struct {
	app      *App
	store    *audit.Store
	policies *policy.Source   // written by loadPolicies
	metrics  *metrics.Metrics // written by register

	manager   manager.Manager                  // written by setUp
	informers atomic.Pointer[[]cache.Informer] // written by setUp
}

func newControllers(a *App, store *audit.Store) *controllers {
	return &controllers{app: a, store: store}
}

// synced holds while the caches are.
func (c *controllers) synced(context.Context) error {
	informers := c.informers.Load()
	if informers == nil {
		return errCachesNotSynced
	}
	for _, i := range *informers {
		if !i.HasSynced() || i.IsStopped() {
			return errCachesNotSynced
		}
	}
	return nil
}

// setUp makes the manager.
func (c *controllers) setUp(ctx context.Context) error {
	a := c.app
	types, err := kube.Scheme()
	if err != nil {
		return fmt.Errorf("set up controllers: %w", err)
	}
	skipNameValidation := true
	grace := a.options.controllersGrace()
	c.manager, err = manager.New(a.rest, manager.Options{
		Scheme:                        types,
		Logger:                        zapr.NewLogger(kube.Quiet(a.options.Log.Named("controller"))),
		Metrics:                       metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:        "0",
		Cache:                         a.cacheOptions(),
		LeaderElection:                a.options.LeaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       a.options.LeaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &grace,
		Controller: config.Controller{
			// Several services may run in one process.
			SkipNameValidation: &skipNameValidation,
			CacheSyncTimeout:   a.options.StartupTimeout,
		},
	})
	if err != nil {
		return fmt.Errorf("set up controllers: %w", err)
	}
	c.manager = a.tracing.Manager(c.manager)
	var informers []cache.Informer
	for _, object := range []client.Object{
		&v1alpha1.RemediationRequest{}, &v1alpha1.WorkflowExecution{}, &v1alpha1.RemediationWorkflow{},
		&v1alpha1.RemediationApproval{}, &v1alpha1.RemediationCommand{}, &v1alpha1.PauseSwitch{},
	} {
		// Asked for here, the caches are filled on replicas that are not the leader, too.
		informer, err := c.manager.GetCache().GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("set up cache: %w", err)
		}
		informers = append(informers, informer)
	}
	c.informers.Store(&informers)
	return c.register()
}

// cacheOptions limit the caches to the watched namespaces; workflows are in their own.
func (a *App) cacheOptions() cache.Options {
	o := cache.Options{DefaultTransform: slim, ByObject: map[client.Object]cache.ByObject{
		&v1alpha1.RemediationWorkflow{}: {Namespaces: map[string]cache.Config{a.options.WorkflowsNamespace: {}}},
	}}
	if len(a.options.WatchNamespaces) == 0 {
		return o
	}
	o.DefaultNamespaces = make(map[string]cache.Config, len(a.options.WatchNamespaces))
	for _, name := range a.options.WatchNamespaces {
		o.DefaultNamespaces[name] = cache.Config{}
	}
	return o
}

// slim removes from cached objects what nobody reads there.
func slim(object any) (any, error) {
	if o, ok := object.(client.Object); ok {
		o.SetManagedFields(nil)
	}
	if rr, ok := object.(*v1alpha1.RemediationRequest); ok {
		rr.Spec.OriginalPayload, rr.Spec.ProviderData = "", ""
	}
	return object, nil
}
