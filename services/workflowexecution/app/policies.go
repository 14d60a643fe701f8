package app

import (
	"context"
	"fmt"
	"os"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/policy"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
)

// reasonPolicyRejected is the reason of the Kubernetes event about unusable policies.
const reasonPolicyRejected = "PolicyRejected"

// maxNote bounds the note of a Kubernetes event, in bytes; the API server takes 1 KiB.
const maxNote = 1000

// loadPolicies loads the policies. Nothing is recorded about them before the
// controllers are about to start.
func (c *controllers) loadPolicies(ctx context.Context) error {
	o := &c.app.options
	source, err := policy.NewSource(ctx, policy.SourceOptions{
		Dir: o.PolicyDir, Service: eventSource, Report: c.reportPolicies,
		Clock: o.Clock, Log: o.Log.Named("policies"), Registerer: c.app.registry,
	})
	switch {
	case err != nil && o.PolicyDir != "":
		return cli.Usagef("--policy-dir: %w: try them with `kubernaut policy test %s`", err, o.PolicyDir)
	case err != nil:
		return fmt.Errorf("policies: %w", err)
	}
	c.policies = source
	return nil
}

// reportPolicies records a bundle before it is put in force, or that it is rejected.
func (c *controllers) reportPolicies(ctx context.Context, change policy.Change) error {
	event, err := auditevents.Policy(auditevents.PolicyChange{
		SHA256: change.Policy.SHA256, Origin: change.Policy.Origin, InForceSHA256: change.InForce.SHA256, Err: change.Err,
	})
	if err != nil {
		return err //nolint:wrapcheck // says what failed
	}
	if err := c.store.Record(ctx, event); err != nil {
		return fmt.Errorf("record the policies: %w", err)
	}
	if change.Err != nil {
		c.emitRejected(ctx, change.Err)
	}
	return nil
}

// emitRejected emits a Kubernetes event about the service's pod, where it runs in one.
func (c *controllers) emitRejected(ctx context.Context, why error) {
	namespace, err := kube.PodNamespace(kube.PodNamespaceFile)
	if err != nil {
		return // not in a pod: the log says it
	}
	name, err := os.Hostname()
	if err != nil {
		return
	}
	var pod corev1.Pod
	if err := c.manager.GetAPIReader().Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &pod); err != nil {
		c.app.options.Log.Warn("could not emit a Kubernetes event about the policies", zap.Error(err))
		return
	}
	c.manager.GetEventRecorder(eventSource).Eventf(&pod, nil, corev1.EventTypeWarning, reasonPolicyRejected, "Reload",
		"%s", wire.Truncate("the older policies stay in force: "+why.Error(), maxNote))
}
