// Package policyaudit loads the policies of a service, and tells of each bundle that is found:
// on the audit trail, and by a Kubernetes event if it is rejected.
package policyaudit

import (
	"context"
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/policy"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/wire"
)

// reasonRejected is the reason of the Kubernetes event about unusable policies.
const reasonRejected = "PolicyRejected"

// maxNote bounds the note of a Kubernetes event, in bytes; the API server takes 1 KiB.
const maxNote = 1000

// Options are all required, except that an empty Dir stands for the built-in policies.
type Options struct {
	// Dir is the service's --policy-dir.
	Dir string
	// Service is the name of the service: the prefix of its metrics, the category and the actor of
	// its audit events, and the source of its Kubernetes events.
	Service string
	// Loaded and Rejected are the types of the service's audit events.
	Loaded, Rejected string
	// Record records an audit event.
	Record func(context.Context, *audit.Event) error
	// Manager is called when there is something to tell, after the source is started.
	Manager    func() manager.Manager
	Clock      clock.WithTicker
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Load loads the policies. Nothing is recorded about them before the source is started. An
// unusable directory is a *cli.UsageError that names the flag.
func Load(ctx context.Context, o Options) (*policy.Source, error) {
	source, err := policy.NewSource(ctx, policy.SourceOptions{
		Dir: o.Dir, Service: o.Service, Report: o.report,
		Clock: o.Clock, Log: o.Log.Named("policies"), Registerer: o.Registerer,
	})
	switch {
	case err != nil && o.Dir != "":
		return nil, cli.Usagef("--policy-dir: %w: try them with `kubernaut policy test %s`", err, o.Dir)
	case err != nil:
		return nil, fmt.Errorf("policies: %w", err)
	}
	return source, nil
}

// report records a bundle before it is put in force, or that it is rejected.
func (o *Options) report(ctx context.Context, change policy.Change) error {
	event, err := o.event(change)
	if err != nil {
		return err
	}
	if err := o.Record(ctx, event); err != nil {
		return fmt.Errorf("record the policies: %w", err)
	}
	if change.Err != nil {
		o.emitRejected(ctx, change.Err)
	}
	return nil
}

// emitRejected emits a Kubernetes event about the service's pod, where it runs in one.
func (o *Options) emitRejected(ctx context.Context, why error) {
	namespace, err := kube.PodNamespace(kube.PodNamespaceFile)
	if err != nil {
		return // not in a pod: the log says it
	}
	name, err := os.Hostname()
	if err != nil {
		return
	}
	m := o.Manager()
	var pod corev1.Pod
	if err := m.GetAPIReader().Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &pod); err != nil {
		o.Log.Warn("could not emit a Kubernetes event about the policies", zap.Error(err))
		return
	}
	m.GetEventRecorder(o.Service).Eventf(&pod, nil, corev1.EventTypeWarning, reasonRejected, "Reload",
		"%s", wire.Truncate("the older policies stay in force: "+why.Error(), maxNote))
}
