package app

import (
	"context"
	"fmt"
	"os"

	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/signalprocessing/internal/classify"
	"kubernaut.ai/services/signalprocessing/internal/enrich"
	"kubernaut.ai/services/signalprocessing/internal/processing"
	"kubernaut.ai/services/signalprocessing/internal/remediationrequest"
)

const (
	userAgent = "kubernaut-signalprocessing"
	leaseName = "signalprocessing.kubernaut.ai"
)

// restConfig finds the cluster.
func (o *Options) restConfig() (*rest.Config, error) {
	c, err := kube.Config(o.RESTConfig, o.Kubeconfig, userAgent)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	if o.LeaderElect && o.LeaderElectionNamespace == "" {
		if _, err := os.Stat(kube.PodNamespaceFile); err != nil {
			return nil, cli.Usagef("--leader-elect outside of a pod needs --leader-election-namespace; a single replica can do with --leader-elect=false")
		}
	}
	return c, nil
}

// checkAPIServer makes sure that the API server answers, and knows our resources.
func (a *App) checkAPIServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.options.StartupTimeout)
	defer cancel()
	c := rest.CopyConfig(a.rest)
	c.GroupVersion = &schema.GroupVersion{}
	c.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	raw, err := rest.UnversionedRESTClientFor(c)
	if err != nil {
		return cli.Usagef("--kubeconfig: %w", err)
	}
	err = raw.Get().AbsPath("/apis/" + v1alpha1.GroupVersion.String()).MaxRetries(0).Do(ctx).Error()
	switch {
	case apierrors.IsNotFound(err):
		return fmt.Errorf("API server %s does not know %s: install the CustomResourceDefinitions first", a.rest.Host, v1alpha1.GroupVersion)
	case err != nil:
		return fmt.Errorf("API server %s cannot be used, see --kubeconfig: %w", a.rest.Host, err)
	}
	return nil
}

// newManager makes the manager with both controllers.
func (a *App) newManager(ctx context.Context, store *audit.Store) (manager.Manager, error) {
	types, err := kube.Scheme()
	if err != nil {
		return nil, fmt.Errorf("set up controllers: %w", err)
	}
	skipNameValidation := true
	workGrace := a.share(6)
	m, err := manager.New(a.rest, manager.Options{
		Scheme:                        types,
		Logger:                        zapr.NewLogger(quiet(a.options.Log.Named("controller"))),
		Metrics:                       metricsserver.Options{BindAddress: "0"},
		HealthProbeBindAddress:        "0",
		Cache:                         cache.Options{DefaultNamespaces: a.namespaces(), DefaultTransform: slim},
		LeaderElection:                a.options.LeaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionNamespace:       a.options.LeaderElectionNamespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &workGrace,
		Controller: config.Controller{
			// Several services may run in one process.
			SkipNameValidation: &skipNameValidation,
			CacheSyncTimeout:   a.options.StartupTimeout,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("set up controllers: %w", err)
	}
	for _, object := range []client.Object{&v1alpha1.RemediationRequest{}, &v1alpha1.SignalProcessing{}} {
		// Asked for now, the caches are filled on replicas that are not the leader, too.
		if _, err := m.GetCache().GetInformer(ctx, object, cache.BlockUntilSynced(false)); err != nil {
			return nil, fmt.Errorf("set up cache: %w", err)
		}
	}
	return m, a.register(ctx, m, store)
}

func (a *App) register(ctx context.Context, m manager.Manager, store *audit.Store) error {
	bundle, err := classify.BuiltIn()
	if err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	classifier, err := classify.New(ctx, bundle, classify.Options{Deadline: a.options.PolicyDeadline})
	if err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	stepMetrics, err := processing.NewMetrics(a.registry)
	if err != nil {
		return fmt.Errorf("processing: %w", err)
	}
	processor, err := processing.New(processing.Parts{
		Live:       m.GetAPIReader(),
		Cached:     m.GetCache(),
		Writer:     m.GetClient(),
		Enricher:   enrich.New(m.GetAPIReader()),
		Classifier: classifier,
		Audit:      store,
		Events:     m.GetEventRecorder("signalprocessing"),
		Metrics:    stepMetrics,
		Clock:      a.options.Clock,
		Log:        a.options.Log.Named("processing"),
	}, processing.Options{
		MaxAttempts:  int32(a.options.MaxAttempts), //nolint:gosec // checked by New
		FirstBackoff: a.options.RetryBackoff,
		MaxBackoff:   a.options.MaxRetryBackoff,
		Concurrency:  a.options.Concurrency,
	})
	if err != nil {
		return fmt.Errorf("processing: %w", err)
	}
	requests, err := remediationrequest.New(remediationrequest.Parts{
		Live:        m.GetAPIReader(),
		Cached:      m.GetCache(),
		Writer:      m.GetClient(),
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
	return processor.Register(m) //nolint:wrapcheck // of this module
}

// quiet keeps controller-runtime's progress reports for those who debug; its
// errors stay.
func quiet(log *zap.Logger) *zap.Logger {
	if log.Core().Enabled(zap.DebugLevel) {
		return log
	}
	return log.WithOptions(zap.IncreaseLevel(zap.WarnLevel))
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

// slim keeps in the caches what the controllers look at there; the large rest
// they read live.
func slim(object any) (any, error) {
	switch o := object.(type) {
	case *v1alpha1.RemediationRequest:
		o.ManagedFields = nil
		o.Spec = v1alpha1.RemediationRequestSpec{}
	case *v1alpha1.SignalProcessing:
		o.ManagedFields = nil
		o.Spec = v1alpha1.SignalProcessingSpec{}
		o.Status.Context = nil
	}
	return object, nil
}
