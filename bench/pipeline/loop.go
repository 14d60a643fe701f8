package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
)

// loopStop bounds the stop of the status loop.
const loopStop = 10 * time.Second

// statusLoop is the least that a controller with seven status writes can do: each
// reconcile reads the cached object and writes the next number into its status.
type statusLoop struct{ client client.Client }

// Reconcile makes one step.
func (l statusLoop) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	rr := &v1alpha1.RemediationRequest{}
	if err := l.client.Get(ctx, req.NamespacedName, rr); err != nil {
		return reconcile.Result{}, fmt.Errorf("read: %w", client.IgnoreNotFound(err))
	}
	if looped(rr) {
		return reconcile.Result{}, nil
	}
	step, err := strconv.Atoi("0" + rr.Status.Message)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("read the step: %w", err)
	}
	rr.Status.Message = strconv.Itoa(step + 1)
	if err := l.client.Status().Update(ctx, rr); err != nil {
		return reconcile.Result{}, fmt.Errorf("write: %w", err)
	}
	return reconcile.Result{}, nil
}

// looped holds for an object that the loop has finished.
func looped(rr *v1alpha1.RemediationRequest) bool {
	return rr.Status.Message == strconv.Itoa(maxWrites)
}

// startLoop runs the status loop with as many workers as SignalProcessing has.
func (p *processing) startLoop(ctx context.Context, namespace string) (func() error, error) {
	types, err := kube.Scheme()
	if err != nil {
		return nil, fmt.Errorf("configure the status loop: %w", err)
	}
	skipNameValidation, grace := true, loopStop
	m, err := manager.New(p.config, manager.Options{
		Scheme: types, Logger: logr.Discard(), Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
		Cache:                   cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		Controller:              config.Controller{SkipNameValidation: &skipNameValidation},
		GracefulShutdownTimeout: &grace,
	})
	if err != nil {
		return nil, fmt.Errorf("configure the status loop: %w", err)
	}
	err = builder.ControllerManagedBy(m).Named("status-loop").For(&v1alpha1.RemediationRequest{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: signalprocessing.Defaults().Concurrency}).
		Complete(statusLoop{m.GetClient()})
	if err != nil {
		return nil, fmt.Errorf("configure the status loop: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- m.Start(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}, nil
}
