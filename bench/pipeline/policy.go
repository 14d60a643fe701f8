package main

import (
	"context"
	"fmt"
	"time"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/bench/ratio"
	"kubernaut.ai/services/signalprocessing/policybench"
)

const (
	// maxPolicyOverhead is what Classify may cost, in times of the bare queries.
	maxPolicyOverhead = 1.3
	// policyPairs of short trials: whatever else the machine does slows both of a pair.
	policyPairs = 51
)

// measurePolicy compares the classification of a signal with the two bare queries.
func measurePolicy(ctx context.Context, scale ratio.Scale, report *ratio.Report) error {
	subject := policybench.Signal{
		Signal: signalOf("prod-shop"),
		Context: v1alpha1.EnrichedContext{
			OwnerChain:      []v1alpha1.OwnerReference{{Kind: "ReplicaSet", Name: "web-1"}, {Kind: "Deployment", Name: web}},
			TargetLabels:    map[string]string{appLabel: web, "pod-template-hash": "6d4b75cb6d"},
			NamespaceLabels: map[string]string{"team": "checkout", "kubernetes.io/metadata.name": "prod-shop"},
			NodeName:        "node-1",
			NodeLabels:      map[string]string{"topology.kubernetes.io/zone": "a", "kubernetes.io/os": "linux"},
		},
	}
	evaluations, err := policybench.New(ctx, subject)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	calls := scale.Pick(50, 500)
	trial := func(evaluate func(context.Context) error) ratio.Trial {
		return func() (float64, error) {
			start := time.Now()
			for range calls {
				if err := evaluate(ctx); err != nil {
					return 0, err
				}
			}
			return float64(calls) / time.Since(start).Seconds(), nil
		}
	}
	compared, err := ratio.Compare(policyPairs, trial(evaluations.Classify), trial(evaluations.Bare))
	if err != nil {
		return fmt.Errorf("compare: %w", err)
	}
	report.Figuref("policies: %.0f classifications/s, bare queries for %.0f/s", compared.Ours, compared.Peer)
	report.AtMost("policy-eval-vs-bare", 1/compared.Ratio, maxPolicyOverhead)
	return nil
}
