package selection_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/plan"
	"kubernaut.ai/services/workflowexecution/internal/selection"
)

var errBroken = errors.New("broken on purpose")

const (
	selected = "remediation.workflow.selected"
	rail     = "remediation.guardrail.triggered"
	asked    = "remediation.approval.requested"
)

// in moves the request and its target to another namespace.
func (s *scene) in(namespace string) {
	s.rr.Namespace, s.processing.Namespace, s.rr.Spec.TargetResource.Namespace = namespace, namespace, namespace
	s.namespace.Name, s.target.Namespace = namespace, namespace
}

// label labels the namespace; an empty value removes the label.
func (s *scene) label(value string) {
	if s.namespace.Labels[v1alpha1.LabelRemediation] = value; value == "" {
		s.namespace.Labels = nil
	}
}

func TestWhoDecidesOnAProposal(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change   func(*scene)
		approval v1alpha1.ApprovalMode
		says     string
	}{
		"the policy":                           {func(*scene) {}, v1alpha1.ApprovalAuto, "the policy approves"},
		"in mode approve":                      {func(s *scene) { s.options.Mode = selection.ModeApprove }, v1alpha1.ApprovalRequired, "mode approve"},
		"in mode observe":                      {func(s *scene) { s.options.Mode = selection.ModeObserve }, v1alpha1.ApprovalNone, "mode observe"},
		"of a workflow of medium risk":         {func(s *scene) { s.workflows[0].Spec.Risk = v1alpha1.RiskMedium }, v1alpha1.ApprovalRequired, "the policy requires a person"},
		"in production":                        {func(s *scene) { s.processing.Status.Environment.Value = "production" }, v1alpha1.ApprovalRequired, "the policy requires a person"},
		"in a test that only the name says":    {func(s *scene) { s.processing.Status.Environment.Source = "namespace-name" }, v1alpha1.ApprovalRequired, "the policy requires a person"},
		"in a namespace that is only enabled":  {func(s *scene) { s.label(v1alpha1.RemediationEnabled) }, v1alpha1.ApprovalRequired, "the policy requires a person"},
		"in a namespace that is paused":        {func(s *scene) { s.label(v1alpha1.RemediationPaused) }, v1alpha1.ApprovalRequired, "the policy requires a person"},
		"in a namespace that has not opted in": {func(s *scene) { s.label("") }, v1alpha1.ApprovalNone, "has not opted in: label it kubernaut.ai/remediation=enabled"},
		"in a namespace with another value":    {func(s *scene) { s.label("yes") }, v1alpha1.ApprovalNone, "has not opted in"},
		"where another policy approves it": {func(s *scene) {
			s.label(v1alpha1.RemediationEnabled)
			s.decision = `decision := {"workflow": "restart", "parameters": {}, "approval": "auto", "reason": "always"}`
		}, v1alpha1.ApprovalRequired, "the namespace is not labeled kubernaut.ai/remediation=auto"},
		"in a namespace of Kubernetes":  {func(s *scene) { s.in("kube-system") }, v1alpha1.ApprovalNone, "Kubernetes' own"},
		"in the platform's namespace":   {func(s *scene) { s.in(platform) }, v1alpha1.ApprovalNone, "the platform's own"},
		"in the namespace of workflows": {func(s *scene) { s.in(workflows) }, v1alpha1.ApprovalNone, "the platform's own"},
		"in the database's namespace":   {func(s *scene) { s.in("database") }, v1alpha1.ApprovalNone, "the database's"},
		"about a target elsewhere":      {func(s *scene) { s.rr.Namespace, s.processing.Namespace = platform, platform }, v1alpha1.ApprovalNone, "the target is in namespace shop, and the request is not"},
		"about another cluster":         {func(s *scene) { s.rr.Spec.Labels["cluster"] = "there" }, v1alpha1.ApprovalNone, `the signal is about cluster "there"`},
		"about this cluster":            {func(s *scene) { s.rr.Spec.Labels["cluster_name"] = "here" }, v1alpha1.ApprovalAuto, ""},
		"about a target of Argo CD":     {func(s *scene) { s.target.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": "web"} }, v1alpha1.ApprovalNone, "manages the target"},
		"about one, and that is allowed": {func(s *scene) {
			s.target.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": "web"}
			s.workflows[0].Spec.GitOps = v1alpha1.GitOpsAllow
		}, v1alpha1.ApprovalAuto, ""},
		"after executions that did not help": {func(s *scene) { s.disappointed = "three did not help" }, v1alpha1.ApprovalRequired, "three did not help"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene()
			test.change(s)
			wfe := s.selects(t).Execution
			if wfe == nil || wfe.Spec.Approval != test.approval || !strings.Contains(wfe.Spec.ApprovalReason, test.says) {
				t.Fatalf("%+v, want %s and %q", wfe, test.approval, test.says)
			}
			want := []string{selected, asked}
			switch {
			case test.approval == v1alpha1.ApprovalNone:
				want = []string{selected}
			case s.disappointed != "":
				want = []string{selected, rail, asked}
			}
			if got := s.recorded(); !slices.Equal(got, want) {
				t.Errorf("recorded %v, want %v", got, want)
			}
			if asks := test.approval != v1alpha1.ApprovalNone; asks != (wfe.Spec.Admission == "admission") {
				t.Errorf("admission %q", wfe.Spec.Admission)
			}
		})
	}
}

func TestAProposalSaysWhatWouldBeDone(t *testing.T) {
	t.Parallel()
	s := newScene()
	s.rr.Spec.Annotations["runbook_url"] = "https://runbooks.example.org/down"
	wfe := s.selects(t).Execution
	target := v1alpha1.ExecutionTarget{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web", UID: "uid-web", Generation: 3}
	spec := &wfe.Spec
	if wfe.Name != "rr-1" || !metav1.IsControlledBy(wfe, s.rr) || wfe.Labels[v1alpha1.LabelRequest] != "rr" || spec.Target != target {
		t.Errorf("%s of %+v, labels %v", wfe.Name, spec.Target, wfe.Labels)
	}
	if spec.Change != "restart of web" || spec.PlanDigest != "digest" || spec.RunbookURL != "https://runbooks.example.org/down" || spec.Policy == nil {
		t.Errorf("%+v", spec)
	}
	if want := noon.Add(time.Hour + time.Minute); !spec.ExpiresAt.Time.Equal(want) {
		t.Errorf("expires at %v, want %v", spec.ExpiresAt, want)
	}
}

func TestOnlyAddressesOfTheWebAreRunbooks(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"javascript:alert(1)", "ftp://example.org", "runbook", "http://[", "https://example.org/" + strings.Repeat("x", 2048)} {
		s := newScene()
		s.rr.Spec.Annotations["runbook_url"] = address
		if got := s.selects(t).Execution.Spec.RunbookURL; got != "" {
			t.Errorf("%s is a runbook", got)
		}
	}
}

func TestWhatCannotBeSelectedSaysWhy(t *testing.T) {
	t.Parallel()
	hpa := &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-hpa"},
		Spec:       autoscalingv2.HorizontalPodAutoscalerSpec{ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "web"}},
	}
	answer := func(text string) func(*scene) {
		return func(s *scene) { s.decision = "decision := " + text }
	}
	for name, test := range map[string]struct {
		change       func(*scene)
		reason, says string
	}{
		"no target": {func(s *scene) { s.target = nil }, v1alpha1.ReasonNoWorkflow, "Deployment shop/web is not in this cluster"},
		"no API version": {func(s *scene) {
			s.rr.Spec.TargetResource = v1alpha1.TargetResource{Kind: "Rollout", Name: "web", Namespace: "shop"}
		}, v1alpha1.ReasonNoWorkflow, "the API version of Rollout web is not known"},
		"a secret target": {func(s *scene) {
			s.hooks.Get = func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if key.Name == "web" {
					return apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "web", errBroken)
				}
				return c.Get(ctx, key, o, opts...)
			}
		}, v1alpha1.ReasonNoWorkflow, "may not be read"},
		"no workflow": {func(s *scene) { s.workflows = nil }, v1alpha1.ReasonNoWorkflow, "no valid workflow applies to signal Down on Deployment web"},
		"a target elsewhere": {
			func(s *scene) { s.rr.Namespace, s.processing.Namespace = "other", "other" },
			v1alpha1.ReasonNoWorkflow, "the target is in namespace shop, and the request is not, so nothing was read there",
		},
		"a workflow elsewhere": {func(s *scene) { s.workflows[0].Namespace = "shop" }, v1alpha1.ReasonNoWorkflow, "no valid workflow applies"},
		"another signal":       {func(s *scene) { s.rr.Spec.SignalName = "Up" }, v1alpha1.ReasonNoWorkflow, "no valid workflow applies to signal Up"},
		"scaled by an HPA": {func(s *scene) {
			s.workflows[0].Spec.Action = &v1alpha1.WorkflowAction{Scale: &v1alpha1.ScaleAction{MinReplicas: 1, MaxReplicas: 3}}
			s.others = append(s.others, hpa)
		}, v1alpha1.ReasonNoWorkflow, "1 would scale it, which HorizontalPodAutoscaler web-hpa does"},
		"a value that nobody knows": {func(s *scene) {
			s.workflows[0].Spec.Parameters = []v1alpha1.WorkflowParameter{{Name: "zone", Type: v1alpha1.ParameterString, Required: true}}
		}, v1alpha1.ReasonNoWorkflow, "no workflow applies without values for its parameters"},
		"a plan that does not apply": {func(s *scene) { s.unplanned = &plan.NotApplicableError{} }, v1alpha1.ReasonNoWorkflow, "workflow restart cannot be applied"},
		"a plan that is forbidden": {func(s *scene) {
			s.unplanned = apierrors.NewForbidden(schema.GroupResource{Resource: "deployments"}, "web", errBroken)
		}, v1alpha1.ReasonNoWorkflow, "workflow restart cannot be applied"},
		"no answer":            {answer(`1`), v1alpha1.ReasonPolicyError, "is no answer"},
		"an undefined answer":  {func(s *scene) { s.decision = "decision := {} if input.nothing" }, v1alpha1.ReasonPolicyError, "is undefined"},
		"a failing policy":     {func(s *scene) { s.decision = "decision := 1\n\ndecision := 2" }, v1alpha1.ReasonPolicyError, "evaluation failed"},
		"another approval":     {answer(`{"workflow": "restart", "parameters": {}, "approval": "none", "reason": ""}`), v1alpha1.ReasonPolicyError, `answers approval "none"`},
		"an unknown workflow":  {answer(`{"workflow": "reboot", "parameters": {}, "approval": "auto", "reason": ""}`), v1alpha1.ReasonPolicyError, `selects workflow "reboot"`},
		"an unknown parameter": {answer(`{"workflow": "restart", "parameters": {"a": "b"}, "approval": "auto", "reason": ""}`), v1alpha1.ReasonPolicyError, "unusable parameters"},
		"a long reason": {
			answer(fmt.Sprintf(`{"workflow": "restart", "parameters": {}, "approval": "auto", "reason": "%s"}`, strings.Repeat("x", 1025))),
			v1alpha1.ReasonPolicyError, "more than 1024 characters",
		},
		"a policy that selects nothing": {answer(`{"workflow": "", "parameters": {}, "approval": "required", "reason": "never here"}`), v1alpha1.ReasonNoWorkflow, "never here"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene()
			test.change(s)
			got := s.selects(t)
			if got.Execution != nil || got.Reason != test.reason || !strings.Contains(got.Message, test.says) {
				t.Errorf("%+v, want %s and %q", got, test.reason, test.says)
			}
			if slices.Contains(s.recorded(), asked) {
				t.Errorf("recorded %v", s.recorded())
			}
		})
	}
}

func TestWorkflowsThatAreNotValidAreNotSelected(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*v1alpha1.RemediationWorkflow){
		"not looked at":   func(wf *v1alpha1.RemediationWorkflow) { wf.Status = v1alpha1.RemediationWorkflowStatus{} },
		"found invalid":   func(wf *v1alpha1.RemediationWorkflow) { wf.Status.Conditions[0].Status = metav1.ConditionFalse },
		"changed since":   func(wf *v1alpha1.RemediationWorkflow) { wf.Spec.Description = "Does something else." },
		"of a generation": func(wf *v1alpha1.RemediationWorkflow) { wf.Generation = 2 },
		"without a selector": func(wf *v1alpha1.RemediationWorkflow) {
			wf.Spec.AppliesTo.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
			isValid(t, wf)
		},
	} {
		s := newScene()
		isValid(t, s.workflows[0])
		change(s.workflows[0])
		got, err := s.selector(t).Select(t.Context(), s.rr)
		if err != nil || got.Execution != nil || !strings.Contains(got.Message, "1 would apply, but are not valid") {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

func TestTheTopOwnerIsTheTarget(t *testing.T) {
	t.Parallel()
	s := newScene()
	s.rr.Spec.TargetResource = v1alpha1.TargetResource{APIVersion: "v1", Kind: "Pod", Name: "web-1", Namespace: "shop"}
	s.processing.Status.Context = &v1alpha1.EnrichedContext{OwnerChain: []v1alpha1.OwnerReference{{Kind: "ReplicaSet", Name: "web-x"}, {Kind: "Deployment", Name: "web"}}}
	if got := s.selects(t).Execution.Spec.Target; got.Kind != "Deployment" || got.Name != "web" || got.APIVersion != "apps/v1" {
		t.Errorf("target %+v", got)
	}
}

func TestClusterScopedTargetsAreOnlyProposedAbout(t *testing.T) {
	t.Parallel()
	s := newScene()
	s.rr.Spec.TargetResource = v1alpha1.TargetResource{Kind: "Node", Name: "n-1"}
	s.others = append(s.others, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n-1", UID: "uid-n"}})
	s.workflows[0].Spec.AppliesTo.Kinds = []v1alpha1.WorkflowKind{{APIVersion: "v1", Kind: "Node"}}
	wfe := s.selects(t).Execution
	if wfe == nil || wfe.Spec.Approval != v1alpha1.ApprovalNone || wfe.Spec.ApprovalReason != "the target is cluster-scoped" {
		t.Errorf("%+v", wfe)
	}
}

// A crash after the creation of a proposal leaves the request without it.
func TestARepeatedSelectionFindsItsProposal(t *testing.T) {
	t.Parallel()
	s := newScene()
	made := &v1alpha1.WorkflowExecution{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr-1"}}
	made.Spec.Request.UID = s.rr.UID
	s.others = append(s.others, made)
	if got := s.selects(t); got.Execution == nil || got.Execution.Name != made.Name || len(s.events) != 0 {
		t.Errorf("%+v, recorded %v", got, s.recorded())
	}
}

func TestFailuresOfASelection(t *testing.T) {
	t.Parallel()
	fails := func(which func(client.Object) bool) func(*scene) {
		return func(s *scene) {
			s.hooks.Get = func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if which(o) {
					return errBroken
				}
				return c.Get(ctx, key, o, opts...)
			}
		}
	}
	for name, test := range map[string]struct {
		change func(*scene)
		want   string
	}{
		"somebody else's execution has the name": {func(s *scene) {
			s.others = append(s.others, &v1alpha1.WorkflowExecution{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr-1"}})
		}, "WorkflowExecution shop/rr-1 is about another request: delete it"},
		"no execution can be read": {fails(func(o client.Object) bool { _, ok := o.(*v1alpha1.WorkflowExecution); return ok }), "read WorkflowExecution shop/rr-1"},
		"no namespace can be read": {fails(func(o client.Object) bool { _, ok := o.(*corev1.Namespace); return ok }), "read namespace shop"},
		"no target can be read": {fails(func(o client.Object) bool {
			return o.GetObjectKind().GroupVersionKind() == appsv1.SchemeGroupVersion.WithKind("Deployment")
		}), "read Deployment shop/web"},
		"the signal's is missing": {func(s *scene) { s.processing.Name = "other" }, "read SignalProcessing shop/rr"},
		"nothing can be listed": {func(s *scene) {
			s.hooks.List = func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
				return errBroken
			}
		}, "list the workflows of namespace kubernaut-workflows"},
		"nothing can be planned":  {func(s *scene) { s.unplanned = errBroken }, "plan workflow restart"},
		"nothing can be recorded": {func(s *scene) { s.record = errBroken }, "record remediation.workflow.selected"},
		"nothing can be created": {func(s *scene) {
			s.hooks.Create = func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return errBroken }
		}, "create WorkflowExecution shop/rr-1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene()
			isValid(t, s.workflows[0])
			test.change(s)
			got, err := s.selector(t).Select(t.Context(), s.rr)
			if err == nil || !strings.Contains(err.Error(), test.want) || got.Execution != nil || got.Reason != "" {
				t.Errorf("%+v %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestARollbackIsProposedWithoutThePolicy(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*scene)
		made   bool
	}{
		"as a proposal on which a person decides": {func(*scene) {}, true},
		"not if it does not apply":                {func(s *scene) { s.workflows[1].Spec.AppliesTo.Signals = []string{"Up"} }, false},
		"not if it needs a value": {func(s *scene) {
			s.workflows[1].Spec.Parameters = []v1alpha1.WorkflowParameter{{Name: "zone", Type: v1alpha1.ParameterString, Required: true}}
		}, false},
		"not if it cannot be planned": {func(s *scene) { s.unplanned = &plan.NotApplicableError{} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene()
			undo := restart()
			undo.Name = "undo"
			s.workflows, s.rr.Status.ExecutionRef = append(s.workflows, undo), "rr-1"
			test.change(s)
			for _, wf := range s.workflows {
				isValid(t, wf)
			}
			c := s.selector(t)
			for range 2 { // a repetition finds it
				if err := c.Propose(t.Context(), s.rr, undo.Name, "rr-1"); err != nil {
					t.Fatal(err)
				}
			}
			var all v1alpha1.WorkflowExecutionList
			if err := s.client.List(t.Context(), &all); err != nil {
				t.Fatal(err)
			}
			if !test.made {
				if len(all.Items) != 0 {
					t.Errorf("%+v", all.Items)
				}
				return
			}
			if len(all.Items) != 1 || !slices.Equal(s.recorded(), []string{selected, asked}) {
				t.Fatalf("%d proposals, recorded %v", len(all.Items), s.recorded())
			}
			wfe := &all.Items[0]
			if wfe.Name != "rr-2" || wfe.Spec.RollbackOf != "rr-1" || wfe.Spec.Workflow.Name != undo.Name || wfe.Spec.Approval != v1alpha1.ApprovalRequired {
				t.Errorf("%s: %+v", wfe.Name, wfe.Spec)
			}
		})
	}
}
