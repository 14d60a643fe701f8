package dedup

import (
	"context"
	"encoding/hex"
	"fmt"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/gateway/internal/quota"
)

// The overflow request of a namespace, as people see it.
const (
	overflowName   = "Overflow"
	overflowSource = "kubernaut-gateway"
)

// member is a signal that becomes part of an overflow request.
type member struct {
	spec *v1alpha1.RemediationRequestSpec
	// namespace of the overflow request.
	namespace string
}

// toOverflow adds the signal to the overflow request of a namespace. There is
// one for each namespace that exists, so the number of overflow requests does
// not depend on what senders send.
func (a *attempt) toOverflow(ctx context.Context, namespace string, why *quota.ExceededError) (Result, error) {
	overflow := &attempt{
		Opener: a.Opener,
		signal: Signal{Spec: overflowSpec(a.options.Cluster, namespace, a.signal.Spec)},
		trail:  a.trail,
		member: &member{spec: a.signal.Spec, namespace: namespace},
	}
	result, err := overflow.run(ctx)
	a.received = overflow.received
	if err != nil {
		return Result{}, fmt.Errorf("overflow of namespace %s: %w", namespace, err)
	}
	if err := a.options.Overflows.Exceeded(ctx, result.Request, why); err != nil {
		return Result{}, fmt.Errorf("overflow of namespace %s: %w", namespace, err)
	}
	result.Overflow = true
	return result, nil
}

// OverflowFingerprint is the fingerprint of a namespace's overflow request.
func OverflowFingerprint(cluster, namespace string) string {
	sum := wire.NewDigest("overflow", cluster, namespace).Sum()
	return hex.EncodeToString(sum[:])
}

// overflowSpec is the spec of the overflow request that a first member opens.
func overflowSpec(cluster, namespace string, first *v1alpha1.RemediationRequestSpec) *v1alpha1.RemediationRequestSpec {
	return &v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{
		SignalFingerprint: OverflowFingerprint(cluster, namespace),
		SignalName:        overflowName,
		SignalType:        v1alpha1.SignalTypeOverflow,
		SignalSource:      overflowSource,
		Severity:          first.Severity,
		TargetResource:    v1alpha1.TargetResource{APIVersion: "v1", Kind: "Namespace", Name: namespace},
		FiringTime:        first.FiringTime,
		ReceivedTime:      first.ReceivedTime,
		Labels:            map[string]string{"namespace": namespace},
		Annotations: map[string]string{
			"summary": "More problems are reported than may have requests of their own. The status lists those beyond the bound.",
		},
	}}
}
