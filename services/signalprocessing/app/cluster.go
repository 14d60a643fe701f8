package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
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
	"kubernaut.ai/internal/signalregister"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/signalprocessing/internal/classify"
	"kubernaut.ai/services/signalprocessing/internal/enrich"
	"kubernaut.ai/services/signalprocessing/internal/processing"
	"kubernaut.ai/services/signalprocessing/internal/remediationrequest"
	"kubernaut.ai/services/signalprocessing/internal/retention"
)

const (
	leaseName = "signalprocessing.kubernaut.ai"
	// eventSource is who emits Kubernetes events.
	eventSource = "signalprocessing"
)

// controllers are the manager with its controllers, and the informers of its
// caches.
type controllers struct {
	app      *App
	store    *audit.Store
	policies *policy.Source // written by loadPolicies

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
		Cache:                         cache.Options{DefaultNamespaces: a.namespaces(), DefaultTransform: slim},
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
	for _, object := range []client.Object{&v1alpha1.RemediationRequest{}, &v1alpha1.SignalProcessing{}} {
		// Asked for here, the caches are filled on replicas that are not the leader, too.
		informer, err := c.manager.GetCache().GetInformer(ctx, object, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("set up cache: %w", err)
		}
		informers = append(informers, informer)
	}
	c.informers.Store(&informers)
	return a.register(c.manager, c.store, c.policies)
}

func (a *App) register(m manager.Manager, store *audit.Store, policies *policy.Source) error {
	classifier, err := classify.New(policies.Current, classify.Options{Deadline: a.options.PolicyDeadline})
	if err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	stepMetrics, err := processing.NewMetrics(a.registry)
	if err != nil {
		return fmt.Errorf("processing: %w", err)
	}
	processor, err := processing.New(processing.Parts{
		Live:       m.GetAPIReader(),
		Writer:     m.GetClient(),
		Enricher:   enrich.New(m.GetAPIReader(), a.options.Clock),
		Classifier: classifier,
		Audit:      store,
		Events:     m.GetEventRecorder(eventSource),
		Metrics:    stepMetrics,
		Clock:      a.options.Clock,
		Log:        a.options.Log.Named("processing"),
	}, processing.Options{
		MaxAttempts:      int32(a.options.MaxAttempts), //nolint:gosec // checked by New
		GatewayNamespace: a.options.GatewayNamespace,
		FirstBackoff:     a.options.RetryBackoff,
		MaxBackoff:       a.options.MaxRetryBackoff,
	})
	if err != nil {
		return fmt.Errorf("processing: %w", err)
	}
	requests, err := remediationrequest.New(remediationrequest.Parts{
		Live:        m.GetAPIReader(),
		Cached:      m.GetCache(),
		Writer:      m.GetClient(),
		Processor:   processor,
		Clock:       a.options.Clock,
		Log:         a.options.Log.Named("request"),
		Concurrency: a.options.Concurrency,
	})
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if err := requests.Register(m); err != nil {
		return err //nolint:wrapcheck // of this module
	}
	return a.registerRetention(m, store)
}

// registerRetention adds the controllers that end and delete requests.
func (a *App) registerRetention(m manager.Manager, store *audit.Store) error {
	counters, err := retention.NewMetrics(a.registry)
	if err != nil {
		return fmt.Errorf("retention: %w", err)
	}
	register := signalregister.New(signalregister.Options{
		Reader: m.GetAPIReader(), Writer: m.GetClient(), Namespace: a.options.GatewayNamespace, Clock: a.options.Clock, Random: rand.Reader,
	})
	retained, err := retention.New(retention.Parts{
		Live:     m.GetAPIReader(),
		Cached:   m.GetCache(),
		Writer:   m.GetClient(),
		Register: register,
		Audit:    store,
		Events:   m.GetEventRecorder(eventSource),
		Metrics:  counters,
		Clock:    a.options.Clock,
		Log:      a.options.Log.Named("retention"),
	}, retention.Options{
		StaleAfter:       a.options.StaleAfter,
		LeaveClassified:  a.options.LeaveClassified,
		FinishedTTL:      a.options.FinishedTTL,
		GatewayNamespace: a.options.GatewayNamespace,
	})
	if err != nil {
		return fmt.Errorf("retention: %w", err)
	}
	return retained.SetUp(m) //nolint:wrapcheck // of this module
}

func (a *App) namespaces() map[string]cache.Config {
	if len(a.options.WatchNamespaces) == 0 {
		return nil
	}
	watched := make(map[string]cache.Config, len(a.options.WatchNamespaces))
	for _, name := range a.options.WatchNamespaces {
		watched[name] = cache.Config{}
	}
	return watched
}

// slim removes from cached objects what the controllers read live, or do not need any
// more: the signal of a request is kept until the request is classified. Of a request's
// firing instances it keeps the one that was seen last.
func slim(object any) (any, error) {
	switch o := object.(type) {
	case *v1alpha1.RemediationRequest:
		o.ManagedFields = nil
		signal := o.Spec.Signal
		if remediationrequest.Begun(o.Status.Phase) {
			signal = v1alpha1.Signal{SignalType: signal.SignalType, ReceivedTime: signal.ReceivedTime}
		}
		o.Spec = v1alpha1.RemediationRequestSpec{Signal: signal}
		if s := o.Status.Signals; s != nil && len(s.Instances) > 1 {
			last := slices.MaxFunc(s.Instances, func(a, b v1alpha1.SignalInstance) int { return a.LastSeenAt.Compare(b.LastSeenAt.Time) })
			s.Instances = []v1alpha1.SignalInstance{last}
		}
	case *v1alpha1.SignalProcessing:
		o.ManagedFields = nil
		o.Spec = v1alpha1.SignalProcessingSpec{}
		o.Status.Context = nil
	}
	return object, nil
}
