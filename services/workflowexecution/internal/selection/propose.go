package selection

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/executions"
	"kubernaut.ai/services/workflowexecution/internal/plan"
)

const (
	// fieldManager is the name under which this service writes.
	fieldManager = "workflowexecution"
	// maxURL bounds the address of a runbook.
	maxURL = 2048
	// annotationRunbook is the alert's own annotation.
	annotationRunbook = "runbook_url"
)

// propose makes the plan, and records and creates the proposal.
func (s *Selector) propose(
	ctx context.Context, rr *v1alpha1.RemediationRequest, f *situation, choice auditevents.Choice, parameters []v1alpha1.ExecutionParameter, rollbackOf string,
) (*v1alpha1.WorkflowExecution, error) {
	wf := f.workflow(choice.Workflow)
	approval, why := s.approval(rr, f, wf, choice)
	var safe safeguards
	var reading sync.WaitGroup
	if approval != v1alpha1.ApprovalNone {
		reading.Go(func() { safe = s.safeguards(ctx, rr) })
	}
	planned, err := s.Planner.Make(ctx, wf, f.target, parameters, decidedAt(rr))
	if reading.Wait(); err != nil {
		return nil, unplanned(wf.Name, err)
	}
	wfe := &v1alpha1.WorkflowExecution{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: rr.Namespace, Name: executions.NextName(rr), Labels: map[string]string{v1alpha1.LabelRequest: rr.Name},
		},
		Spec: v1alpha1.WorkflowExecutionSpec{
			Request: v1alpha1.ObjectRef{Name: rr.Name, UID: rr.UID},
			Target: v1alpha1.ExecutionTarget{
				APIVersion: f.target.GetAPIVersion(), Kind: f.target.GetKind(), Namespace: f.target.GetNamespace(), Name: f.target.GetName(),
				UID: f.target.GetUID(), Generation: f.target.GetGeneration(),
			},
			Workflow:   v1alpha1.WorkflowRef{Name: wf.Name, SHA256: wf.Status.SHA256, Risk: wf.Spec.Risk},
			Parameters: parameters,
			Reason:     choice.Reason,
			Policy:     f.policy,
			Change:     planned.Change,
			PlanDigest: planned.Digest,
			RunbookURL: runbook(rr.Spec.Annotations[annotationRunbook]),
			RollbackOf: rollbackOf,
			ExpiresAt:  metav1.NewMicroTime(s.Clock.Now().Add(s.options.Expiry)),
		},
	}
	telemetry.CopyMark(rr, wfe)
	wfe.Spec.Approval, wfe.Spec.ApprovalReason = approval, why
	if err := controllerutil.SetControllerReference(rr, wfe, s.Writer.Scheme()); err != nil {
		return nil, fmt.Errorf("set the owner of WorkflowExecution %s: %w", wfe.Name, err)
	}
	if wfe.Spec.Approval != v1alpha1.ApprovalNone {
		if err := s.request(ctx, rr, wfe, safe); err != nil {
			return nil, err
		}
	}
	if err := s.Writer.Create(ctx, wfe, client.FieldOwner(fieldManager)); err != nil {
		return nil, fmt.Errorf("create WorkflowExecution %s/%s: %w", wfe.Namespace, wfe.Name, err)
	}
	if rr.Status.ExecutionRef == "" {
		s.Metrics.FirstProposal(s.Clock.Since(rr.CreationTimestamp.Time))
	}
	s.Log.Info("workflow proposed", zap.String("namespace", wfe.Namespace), zap.String("name", wfe.Name),
		zap.String("workflow", wf.Name), zap.String("approval", string(wfe.Spec.Approval)))
	return wfe, nil
}

// safeguards are what a proposal refers to that somebody decides on.
type safeguards struct {
	// admission is the digest of the admission policies on decisions.
	admission string
	// person says why a person has to decide; empty if nobody has to.
	person string
	err    error
}

// safeguards looks at the admission policies, and at the executions that did not help.
func (s *Selector) safeguards(ctx context.Context, rr *v1alpha1.RemediationRequest) safeguards {
	var found safeguards
	group, reading := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if found.admission, _, err = s.Admission(reading); err != nil {
			return fmt.Errorf("look at the admission policies on decisions: %w", err)
		}
		return nil
	})
	group.Go(func() (err error) {
		if found.person, err = s.Rails.Disappointed(reading, rr); err != nil {
			return fmt.Errorf("check whether a person has to decide: %w", err)
		}
		return nil
	})
	found.err = group.Wait()
	return found
}

// request completes a proposal that somebody decides on, and records who. After executions that
// did not help, that is a person.
func (s *Selector) request(ctx context.Context, rr *v1alpha1.RemediationRequest, wfe *v1alpha1.WorkflowExecution, safe safeguards) error {
	if safe.err != nil {
		return safe.err
	}
	wfe.Spec.Admission = safe.admission
	why := safe.person
	if why != "" {
		wfe.Spec.GuardRail = v1alpha1.RailIneffective
		wfe.Spec.Approval, wfe.Spec.ApprovalReason = v1alpha1.ApprovalRequired, wire.TruncateCharacters(why, maxReason)
		e, err := auditevents.PersonRequired(rr, wfe, why)
		if err := auditevents.Record(ctx, s.Audit, e, err); err != nil {
			return err
		}
	}
	e, err := auditevents.ApprovalRequested(rr, wfe)
	return auditevents.Record(ctx, s.Audit, e, err)
}

// unplanned tells what a person has to solve from what passes.
func unplanned(workflow string, err error) error {
	if _, ok := errors.AsType[*plan.NotApplicableError](err); ok || apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsNotFound(err) {
		return nonef(v1alpha1.ReasonNoWorkflow, "workflow %s cannot be applied: %v", workflow, err)
	}
	return fmt.Errorf("plan workflow %s: %w", workflow, err)
}

// approval says who decides on a proposal, and why. The policy can ask for more approval than
// the mode and the namespace do, never for less.
func (s *Selector) approval(
	rr *v1alpha1.RemediationRequest, f *situation, wf *v1alpha1.RemediationWorkflow, choice auditevents.Choice,
) (v1alpha1.ApprovalMode, string) {
	if why := s.forbidden(rr, f, wf); why != "" {
		return v1alpha1.ApprovalNone, wire.TruncateCharacters(why, maxReason)
	}
	switch {
	case choice.Approval != string(v1alpha1.ApprovalAuto):
		return v1alpha1.ApprovalRequired, "the policy requires a person"
	case s.options.Mode != ModeAuto:
		return v1alpha1.ApprovalRequired, "the service runs in mode " + string(s.options.Mode)
	case f.optIn() != v1alpha1.RemediationAuto:
		return v1alpha1.ApprovalRequired, "the namespace is not labeled " + v1alpha1.LabelRemediation + "=" + v1alpha1.RemediationAuto
	}
	return v1alpha1.ApprovalAuto, "the policy approves: " + wire.TruncateCharacters(choice.Reason, maxReason/2)
}

// forbidden says why nobody may execute a workflow here; empty if it is allowed.
func (s *Selector) forbidden(rr *v1alpha1.RemediationRequest, f *situation, wf *v1alpha1.RemediationWorkflow) string {
	if s.options.Mode == ModeObserve {
		return "the service runs in mode observe"
	}
	if cluster := s.foreignCluster(rr.Spec.Labels); cluster != "" {
		return fmt.Sprintf("the signal is about cluster %q, and this cluster is not called so (--cluster-name)", cluster)
	}
	if f.namespace == nil {
		return "the target is cluster-scoped"
	}
	switch name := f.namespace.Name; {
	case strings.HasPrefix(name, "kube-"):
		return "namespace " + name + " is Kubernetes' own"
	case name == s.options.PlatformNamespace || name == s.options.WorkflowsNamespace:
		return "namespace " + name + " is the platform's own"
	case name == s.options.DatabaseNamespace:
		return "namespace " + name + " is the database's"
	case name != rr.Namespace:
		return fmt.Sprintf("the target is in namespace %s, and the request is not: whoever may decide here may not decide there", name)
	}
	switch f.optIn() {
	case v1alpha1.RemediationEnabled, v1alpha1.RemediationAuto, v1alpha1.RemediationPaused:
	default:
		return fmt.Sprintf("namespace %s has not opted in: label it %s=%s", f.namespace.Name, v1alpha1.LabelRemediation, v1alpha1.RemediationEnabled)
	}
	if f.gitOps != "" && wf.Spec.GitOps != v1alpha1.GitOpsAllow {
		return f.gitOps + " manages the target and would undo the change: change the manifest in its repository"
	}
	return ""
}

// foreignCluster is the cluster that a signal names, unless it is this one.
func (s *Selector) foreignCluster(labels map[string]string) string {
	for _, label := range []string{"cluster", "cluster_name", "kubernaut.ai/cluster"} {
		if named := labels[label]; named != "" && !slices.Contains(s.options.ClusterNames, named) {
			return named
		}
	}
	return ""
}

// runbook is the address of a runbook if it is one.
func runbook(address string) string {
	u, err := url.Parse(address)
	if err != nil || len(address) > maxURL || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	return address
}
