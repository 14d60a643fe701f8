package selection_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/policy"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/workflowexecution/internal/catalog"
	"kubernaut.ai/services/workflowexecution/internal/metrics"
	"kubernaut.ai/services/workflowexecution/internal/plan"
	"kubernaut.ai/services/workflowexecution/internal/requests"
	"kubernaut.ai/services/workflowexecution/internal/selection"
)

const (
	workflows = "kubernaut-workflows"
	platform  = "kubernaut-system"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// scene is a classified request about a Deployment, and what its selection depends on.
type scene struct {
	rr         *v1alpha1.RemediationRequest
	processing *v1alpha1.SignalProcessing
	namespace  *corev1.Namespace
	target     *appsv1.Deployment
	workflows  []*v1alpha1.RemediationWorkflow
	others     []client.Object
	options    selection.Options
	// decision is the answer of a policy in place of the built-in one; empty for that.
	decision string
	// unplanned is the error of the planner, disappointed why a person has to decide.
	unplanned    error
	disappointed string
	hooks        interceptor.Funcs

	// events are what was recorded; record is the error of Record.
	events []*audit.Event
	record error
	client client.WithWatch
}

func (s *scene) Record(_ context.Context, e *audit.Event) error {
	if s.record == nil {
		s.events = append(s.events, e)
	}
	return s.record
}

func (s *scene) Make(
	_ context.Context, wf *v1alpha1.RemediationWorkflow, target *unstructured.Unstructured, _ []v1alpha1.ExecutionParameter, _ time.Time,
) (plan.Plan, error) {
	return plan.Plan{Change: wf.Name + " of " + target.GetName(), Digest: "digest"}, s.unplanned
}

func (s *scene) Disappointed(context.Context, *v1alpha1.RemediationRequest) (string, error) {
	return s.disappointed, nil
}

// newScene is a scene in which the built-in policy approves workflow restart.
func newScene() *scene {
	return &scene{
		rr: &v1alpha1.RemediationRequest{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr", UID: "uid-rr", CreationTimestamp: metav1.NewTime(noon)},
			Spec: v1alpha1.RemediationRequestSpec{Signal: v1alpha1.Signal{
				SignalName: "Down", Labels: map[string]string{}, Annotations: map[string]string{},
				TargetResource: v1alpha1.TargetResource{APIVersion: "apps/v1", Kind: "Deployment", Name: "web", Namespace: "shop"},
			}},
			Status: v1alpha1.RemediationRequestStatus{Phase: v1alpha1.RemediationClassified, Severity: v1alpha1.SeverityLow, SignalProcessingRef: "rr"},
		},
		processing: &v1alpha1.SignalProcessing{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rr"},
			Status: v1alpha1.SignalProcessingStatus{
				Environment: &v1alpha1.EnvironmentDecision{Value: "test", Decision: v1alpha1.Decision{Source: "namespace-label"}},
			},
		},
		namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: "shop", Labels: map[string]string{v1alpha1.LabelRemediation: v1alpha1.RemediationAuto},
		}},
		target:    &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "uid-web", Generation: 3}},
		workflows: []*v1alpha1.RemediationWorkflow{restart()},
		options: selection.Options{
			Mode: selection.ModeAuto, WorkflowsNamespace: workflows, PlatformNamespace: platform, DatabaseNamespace: "database",
			ClusterNames: []string{"here"}, Expiry: time.Hour, Deadline: time.Minute,
		},
	}
}

func restart() *v1alpha1.RemediationWorkflow {
	return &v1alpha1.RemediationWorkflow{
		ObjectMeta: metav1.ObjectMeta{Namespace: workflows, Name: "restart"},
		Spec: v1alpha1.RemediationWorkflowSpec{
			Description: "Restarts it.", Risk: v1alpha1.RiskLow, Action: &v1alpha1.WorkflowAction{Restart: &v1alpha1.RestartAction{}},
			AppliesTo: v1alpha1.AppliesTo{Signals: []string{"Down"}, Kinds: []v1alpha1.WorkflowKind{{APIVersion: "apps/v1", Kind: "Deployment"}}},
		},
	}
}

// isValid marks workflows as the catalog does.
func isValid(t *testing.T, wf *v1alpha1.RemediationWorkflow) {
	t.Helper()
	digest, err := catalog.Digest(&wf.Spec)
	if err != nil {
		t.Fatal(err)
	}
	wf.Status.SHA256 = digest
	wf.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionValid, Status: metav1.ConditionTrue, Reason: "Valid"}}
}

// builtIn is compiled once: that runs the tests of its policies.
var builtIn = sync.OnceValues(func() (*policy.Set, error) { return policy.BuiltInSet(context.Background()) })

// policies are the policies in force.
func (s *scene) policies(t *testing.T) *policy.Set {
	t.Helper()
	if s.decision == "" {
		set, err := builtIn()
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	bundle, err := policy.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	bundle.Modules["remediation.rego"], bundle.Tests = "package kubernaut.remediation\n\n"+s.decision+"\n", nil
	set, err := policy.Compile(t.Context(), bundle)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// selector makes the selector that looks at the scene.
func (s *scene) selector(t *testing.T) *selection.Selector {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	objects := append([]client.Object{s.rr, s.processing}, s.others...)
	if s.namespace != nil {
		objects = append(objects, s.namespace)
	}
	if s.target != nil {
		objects = append(objects, s.target)
	}
	for _, wf := range s.workflows {
		objects = append(objects, wf)
	}
	s.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	counted, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	set, c := s.policies(t), interceptor.NewClient(s.client, s.hooks)
	return selection.New(selection.Parts{
		Live: c, Cached: c, Writer: c, Policies: func() *policy.Set { return set }, Planner: s, Rails: s, Audit: s, Metrics: counted,
		Admission: func(context.Context) (string, string, error) { return "admission", "", nil },
		Clock:     clocktesting.NewFakePassiveClock(noon.Add(time.Minute)), Log: zap.NewNop(),
	}, s.options)
}

// selects selects once, with workflows that are valid.
func (s *scene) selects(t *testing.T) requests.Selected {
	t.Helper()
	for _, wf := range s.workflows {
		isValid(t, wf)
	}
	selected, err := s.selector(t).Select(t.Context(), s.rr)
	if err != nil {
		t.Fatal(err)
	}
	return selected
}

// recorded are the types of the events.
func (s *scene) recorded() []string {
	types := make([]string, 0, len(s.events))
	for _, e := range s.events {
		types = append(types, e.Type)
	}
	return types
}
