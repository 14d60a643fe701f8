package metrics

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
)

// collectTimeout bounds the reads of a scrape, which are answered by the caches.
const collectTimeout = 5 * time.Second

// ages are the ages that open proposals are counted from.
var ages = []time.Duration{0, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour}

// held are the reasons for which an approved execution waits.
var held = []string{v1alpha1.ReasonTargetBusy, v1alpha1.ReasonGuardRail, v1alpha1.ReasonPaused, v1alpha1.ReasonTrailUnavailable}

// Waiting shows, from the caches, what waits. Every replica shows the same: take the maximum.
type Waiting struct {
	// Cached reads from the informers.
	Cached client.Reader
	Clock  clock.PassiveClock

	proposals, oldest, executions, paused, valid *prometheus.Desc
}

// NewWaiting makes the collector.
func NewWaiting(cached client.Reader, c clock.PassiveClock) *Waiting {
	return &Waiting{
		Cached: cached, Clock: c,
		proposals: prometheus.NewDesc("workflowexecution_open_proposals",
			"Proposals that wait for a decision and are at least this many seconds old.", []string{"age_seconds"}, nil),
		oldest: prometheus.NewDesc("workflowexecution_oldest_proposal_age_seconds",
			"Age of the oldest proposal that waits for a decision; 0 if none does.", nil, nil),
		executions: prometheus.NewDesc("workflowexecution_waiting_executions",
			"Approved executions that are kept from starting, by reason.", []string{"reason"}, nil),
		paused: prometheus.NewDesc("workflowexecution_paused",
			"1 while the cluster's PauseSwitch keeps executions from starting.", nil, nil),
		valid: prometheus.NewDesc("workflowexecution_workflow_valid",
			"1 if a workflow can be selected, 0 if it is wrong, by workflow.", []string{labelWorkflow}, nil),
	}
}

// Describe implements prometheus.Collector.
func (w *Waiting) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{w.proposals, w.oldest, w.executions, w.paused, w.valid} {
		to <- d
	}
}

// Collect implements prometheus.Collector. What cannot be read is left out, never shown as 0.
func (w *Waiting) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	w.collectPaused(ctx, to)
	w.collectWorkflows(ctx, to)
	var all v1alpha1.WorkflowExecutionList
	if err := w.Cached.List(ctx, &all); err != nil {
		return
	}
	now := w.Clock.Now()
	open, waiting, oldest := make([]int, len(ages)), map[string]int{}, time.Duration(0)
	for i := range all.Items {
		wfe := &all.Items[i]
		switch wfe.Status.Phase {
		case v1alpha1.ExecutionApproved:
			waiting[wfe.Status.Reason]++
		case "", v1alpha1.ExecutionProposed:
			if wfe.Spec.Approval == v1alpha1.ApprovalNone {
				continue
			}
			age := max(0, now.Sub(wfe.CreationTimestamp.Time))
			oldest = max(oldest, age)
			for i, from := range ages {
				if age >= from {
					open[i]++
				}
			}
		case v1alpha1.ExecutionExecuting, v1alpha1.ExecutionVerifying, v1alpha1.ExecutionSucceeded, v1alpha1.ExecutionFailed,
			v1alpha1.ExecutionRejected, v1alpha1.ExecutionExpired, v1alpha1.ExecutionInvalidated:
		}
	}
	for i, from := range ages {
		to <- gauge(w.proposals, float64(open[i]), strconv.Itoa(int(from.Seconds())))
	}
	to <- gauge(w.oldest, oldest.Seconds())
	for _, reason := range held {
		to <- gauge(w.executions, float64(waiting[reason]), reason)
	}
}

func (w *Waiting) collectPaused(ctx context.Context, to chan<- prometheus.Metric) {
	pause := &v1alpha1.PauseSwitch{}
	err := w.Cached.Get(ctx, client.ObjectKey{Name: v1alpha1.PauseSwitchName}, pause)
	if client.IgnoreNotFound(err) != nil {
		return
	}
	value := 0.0
	if err == nil && pause.Spec.Paused {
		value = 1
	}
	to <- gauge(w.paused, value)
}

// collectWorkflows shows workflows that were looked at as they are.
func (w *Waiting) collectWorkflows(ctx context.Context, to chan<- prometheus.Metric) {
	var all v1alpha1.RemediationWorkflowList
	if err := w.Cached.List(ctx, &all); err != nil {
		return
	}
	for i := range all.Items {
		wf := &all.Items[i]
		c := meta.FindStatusCondition(wf.Status.Conditions, v1alpha1.ConditionValid)
		if c == nil || c.ObservedGeneration != wf.Generation {
			continue
		}
		value := 0.0
		if c.Status == metav1.ConditionTrue {
			value = 1
		}
		to <- gauge(w.valid, value, wf.Name)
	}
}

func gauge(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}
