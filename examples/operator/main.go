// Command operator is the example of docs/recording.md: it records each change
// of a tracked ConfigMap.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/flushhttp"
)

// options are the program's flags.
type options struct {
	store     storeOptions
	listen    string
	clusterID string
	grace     time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.store.dataStorageURL, "datastorage-url", "", "base URL of DataStorage (required)")
	flag.StringVar(&o.store.tokenFile, "datastorage-token-file", "", "file with the bearer token for DataStorage")
	flag.StringVar(&o.store.caFile, "datastorage-ca-file", "", "PEM file with the authority of DataStorage's certificate")
	flag.StringVar(&o.store.spoolDir, "audit-spool", "", "directory for accepted events, for this process alone (required)")
	flag.StringVar(&o.store.producerID, "audit-producer", "configtrail", "name of this replica in the trail")
	flag.StringVar(&o.listen, "management-listen", ":9090", "host:port of probes, metrics and POST /audit/flush")
	flag.StringVar(&o.clusterID, "cluster-id", "", "name of the cluster in the trail")
	flag.DurationVar(&o.grace, "grace", 20*time.Second, "time for the last flush after SIGTERM")
	flag.Parse()

	logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	config, err := ctrl.GetConfig()
	if err == nil {
		err = run(ctrl.SetupSignalHandler(), config, &o, logger)
	}
	if err != nil {
		logger.Error("operator failed", slog.Any("error", err))
		os.Exit(1)
	}
}

// run works until ctx ends.
func run(ctx context.Context, config *rest.Config, o *options, logger *slog.Logger) error {
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	sink, err := newSink(&o.store)
	if err != nil {
		return err
	}
	store, err := newStore(sink, &o.store, metrics.Registry, logger)
	if err != nil {
		return err
	}
	err = work(ctx, config, o, store)
	err = errors.Join(err, closeStore(store, o.grace))
	sink.CloseIdleConnections()
	return err
}

// work runs the manager until ctx ends. When it returns, nothing records any more.
func work(ctx context.Context, config *rest.Config, o *options, store *audit.Store) error {
	tracked := labels.SelectorFromSet(labels.Set{trackedLabel: "true"})
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Cache: cache.Options{ByObject: map[client.Object]cache.ByObject{&corev1.ConfigMap{}: {Label: tracked}}},
		Metrics: metricsserver.Options{
			BindAddress: o.listen,
			ExtraHandlers: map[string]http.Handler{
				"/audit/flush": flushhttp.Handler(store),
				"/healthz":     healthz.CheckHandler{Checker: healthz.Ping},
			},
		},
	})
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	events, err := audit.NewDefaults(store, audit.Event{
		Category: "configtrail", ActorType: "service", ActorID: "configtrail", ClusterID: o.clusterID,
	})
	if err != nil {
		return fmt.Errorf("audit events: %w", err)
	}
	reconciler := &Reconciler{Client: manager.GetClient(), Audit: events, Now: time.Now}
	if err := ctrl.NewControllerManagedBy(manager).For(&corev1.ConfigMap{}).Complete(reconciler); err != nil {
		return fmt.Errorf("make the controller: %w", err)
	}
	if err := manager.Start(ctx); err != nil {
		return fmt.Errorf("manager: %w", err)
	}
	return nil
}
