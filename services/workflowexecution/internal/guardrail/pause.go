package guardrail

import (
	"context"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// Pause reads whether executions are paused: in a namespace by its label, in the cluster by
// the PauseSwitch.
type Pause struct {
	// Live reads from the API server.
	Live client.Reader
}

// State reports whether no execution may start in a namespace, and why. What cannot be read
// is paused.
func (p *Pause) State(ctx context.Context, namespace string) (paused bool, why string) {
	found := &corev1.Namespace{}
	var unknown error // about the namespace
	var reading sync.WaitGroup
	if namespace != "" {
		reading.Go(func() { unknown = p.Live.Get(ctx, client.ObjectKey{Name: namespace}, found) })
	}
	pause := &v1alpha1.PauseSwitch{}
	err := p.Live.Get(ctx, client.ObjectKey{Name: v1alpha1.PauseSwitchName}, pause)
	reading.Wait()
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return true, fmt.Sprintf("the PauseSwitch cannot be read: %v", err)
	case pause.Spec.Paused:
		return true, fmt.Sprintf("%s paused the cluster: %s", pause.Spec.ChangedBy.Name, pause.Spec.Reason)
	}
	switch {
	case unknown != nil:
		return true, fmt.Sprintf("namespace %s cannot be read: %v", namespace, unknown)
	case found.Labels[v1alpha1.LabelRemediation] == v1alpha1.RemediationPaused:
		return true, fmt.Sprintf("namespace %s is labeled %s=%s", namespace, v1alpha1.LabelRemediation, v1alpha1.RemediationPaused)
	}
	return false, ""
}
