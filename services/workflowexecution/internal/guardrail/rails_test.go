package guardrail_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/guardrail"
)

const (
	workflows = "kubernaut-workflows"
	coolDown  = 30 * time.Minute
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// recorder keeps the guard rails that were recorded.
type recorder []string

func (r *recorder) Record(_ context.Context, e *audit.Event) error {
	*r = append(*r, fmt.Sprintf("%s %s", e.Type, e.Data))
	return nil
}

// earlier is an execution that was started, or ended, before.
type earlier struct {
	namespace, workflow, request string
	target                       types.UID
	started, finished            time.Duration // before now; 0: not
	outcome                      v1alpha1.Outcome
}

func (e *earlier) object(i int) *v1alpha1.WorkflowExecution {
	wfe := &v1alpha1.WorkflowExecution{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: fmt.Sprintf("earlier-%d", i), UID: types.UID(fmt.Sprintf("earlier-%d", i))},
		Spec: v1alpha1.WorkflowExecutionSpec{
			Request:  v1alpha1.ObjectRef{Name: e.request},
			Workflow: v1alpha1.WorkflowRef{Name: e.workflow},
			Target:   v1alpha1.ExecutionTarget{Kind: "Deployment", Namespace: e.namespace, Name: "shop", UID: e.target},
		},
		Status: v1alpha1.WorkflowExecutionStatus{Outcome: e.outcome},
	}
	if e.started != 0 {
		wfe.Status.StartedAt = ago(e.started)
	}
	if e.finished != 0 {
		wfe.Status.FinishedAt = ago(e.finished)
	}
	return wfe
}

func ago(d time.Duration) *metav1.MicroTime {
	t := metav1.NewMicroTime(now.Add(-d))
	return &t
}

// rails are guard rails over a cluster with the workflow "restart", which cools down.
func rails(t *testing.T, o guardrail.Options, objects ...client.Object) (*guardrail.GuardRails, *recorder) {
	t.Helper()
	scheme, err := kube.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	wf := &v1alpha1.RemediationWorkflow{ObjectMeta: metav1.ObjectMeta{Namespace: workflows, Name: "restart"}}
	wf.Spec.CoolDown.Duration = coolDown
	recorded := &recorder{}
	cluster := fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(objects, wf)...).Build()
	return &guardrail.GuardRails{
		Options: o, Audit: recorded, WorkflowsNamespace: workflows, Now: clocktesting.NewFakePassiveClock(now), Reader: cluster, Cached: cluster,
	}, recorded
}

// counted counts the lists of each kind.
type counted struct {
	client.Reader

	mu    sync.Mutex
	lists map[string]int // guarded by mu
}

func (c *counted) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	c.mu.Lock()
	c.lists[fmt.Sprintf("%T", list)]++
	c.mu.Unlock()
	return c.Reader.List(ctx, list, opts...)
}

func TestWhatHoldsBackAnExecution(t *testing.T) {
	t.Parallel()
	second := time.Second
	for name, tt := range map[string]struct {
		earlier []earlier
		rail    string
		retry   time.Duration
	}{
		"nothing":                          {},
		"the end of the cool-down is near": {[]earlier{{"shop", "restart", "", "target", coolDown + time.Minute, coolDown - second, ""}}, v1alpha1.RailCoolDown, second},
		"the cool-down is over":            {earlier: []earlier{{"shop", "restart", "", "target", coolDown + time.Minute, coolDown, ""}}},
		"one that is under way":            {[]earlier{{"shop", "restart", "", "target", second, 0, ""}}, v1alpha1.RailCoolDown, coolDown - second},
		"another workflow cools down":      {earlier: []earlier{{"shop", "rollback", "", "target", second, second, ""}}},
		"another target cools down":        {earlier: []earlier{{"shop", "restart", "", "other", second, second, ""}}},
		"one that never started":           {earlier: []earlier{{"shop", "restart", "", "target", 0, second, ""}}},
		"enough in the namespace": {
			[]earlier{{"shop", "rollback", "", "a", second, second, ""}, {"shop", "rollback", "", "b", time.Hour - second, second, ""}},
			v1alpha1.RailNamespaceMaximum, time.Minute,
		},
		"enough, but one of them an hour ago": {
			earlier: []earlier{{"shop", "rollback", "", "a", second, second, ""}, {"shop", "rollback", "", "b", time.Hour, second, ""}},
		},
		"enough in the cluster": {
			[]earlier{{"a", "x", "", "a", second, second, ""}, {"b", "x", "", "b", second, second, ""}, {"c", "x", "", "c", second, second, ""}},
			v1alpha1.RailClusterMaximum, time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects := make([]client.Object, 0, len(tt.earlier))
			for i := range tt.earlier {
				objects = append(objects, tt.earlier[i].object(i))
			}
			g, recorded := rails(t, guardrail.Options{PerNamespace: 2, PerCluster: 3}, objects...)
			wfe := (&earlier{namespace: "shop", workflow: "restart", target: "target"}).object(-1)
			meta.SetStatusCondition(&wfe.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionGuardRail, Status: metav1.ConditionTrue, Reason: "Before"})
			why, retry, err := g.Blocked(t.Context(), wfe)
			if err != nil || (why != "") != (tt.rail != "") || retry != tt.retry {
				t.Fatalf("blocked: %q, again in %s, error %v; want %q, %s", why, retry, err, tt.rail, tt.retry)
			}
			shown := meta.FindStatusCondition(wfe.Status.Conditions, v1alpha1.ConditionGuardRail)
			if tt.rail == "" {
				if shown != nil || len(*recorded) > 0 {
					t.Errorf("condition %v, events %v; want none", shown, *recorded)
				}
				return
			}
			if shown == nil || shown.Reason != tt.rail || shown.Message != why {
				t.Errorf("condition %v, want %s: %s", shown, tt.rail, why)
			}
			if len(*recorded) != 1 || !strings.HasPrefix((*recorded)[0], auditevents.TypeGuardRailTriggered) || !strings.Contains((*recorded)[0], `"rail":"`+tt.rail+`"`) {
				t.Errorf("events %v, want one of %s", *recorded, tt.rail)
			}
		})
	}
}

func TestAPersonDecidesAfterExecutionsThatDidNotHelp(t *testing.T) {
	t.Parallel()
	bad := func(request string) earlier {
		return earlier{"shop", "restart", request, "any", time.Hour, 50 * time.Minute, v1alpha1.OutcomeIneffective}
	}
	with := func(e earlier, change func(*earlier)) earlier {
		change(&e)
		return e
	}
	effective := func(finished time.Duration) func(*earlier) {
		return func(e *earlier) { e.outcome, e.finished = v1alpha1.OutcomeEffective, finished }
	}
	for name, tt := range map[string]struct {
		earlier []earlier
		want    bool
	}{
		"none":                                   {},
		"one too few":                            {earlier: []earlier{bad("same")}},
		"enough":                                 {[]earlier{bad("same"), bad("now")}, true},
		"of another problem":                     {earlier: []earlier{bad("same"), bad("other")}},
		"an inconclusive one":                    {earlier: []earlier{bad("same"), with(bad("same"), func(e *earlier) { e.outcome = v1alpha1.OutcomeInconclusive })}},
		"an effective one":                       {earlier: []earlier{bad("same"), with(bad("same"), effective(2*coolDown))}},
		"an effective one, and a recurrence":     {[]earlier{bad("same"), with(bad("same"), effective(coolDown-time.Second))}, true},
		"a recurrence at the end of a cool-down": {earlier: []earlier{bad("same"), with(bad("same"), effective(coolDown))}},
		"a recurrence before the end":            {earlier: []earlier{bad("same"), with(bad("same"), effective(-time.Second))}},
		"a workflow that is gone":                {earlier: []earlier{bad("same"), with(bad("same"), func(e *earlier) { effective(time.Second)(e); e.workflow = "gone" })}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request := func(name, fingerprint string, firing time.Duration) *v1alpha1.RemediationRequest {
				rr := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}
				rr.Spec.SignalFingerprint, rr.Spec.FiringTime = fingerprint, *ago(firing)
				return rr
			}
			current := request("now", "problem", 0)
			objects := make([]client.Object, 0, 3+len(tt.earlier))
			objects = append(objects, current, request("same", "problem", 24*time.Hour), request("other", "other", 0))
			for i := range tt.earlier {
				objects = append(objects, tt.earlier[i].object(i))
			}
			g, recorded := rails(t, guardrail.Options{MaxIneffective: 2}, objects...)
			why, err := g.Disappointed(t.Context(), current)
			if err != nil || (why != "") != tt.want || len(*recorded) > 0 {
				t.Errorf("why %q, error %v, events %v; want one: %t, without an event", why, err, *recorded, tt.want)
			}
			wfe := (&earlier{namespace: "shop", workflow: "restart", request: "now"}).object(-1)
			why, err = g.RequiresPerson(t.Context(), wfe)
			shown := meta.IsStatusConditionTrue(wfe.Status.Conditions, v1alpha1.ConditionGuardRail)
			if err != nil || (why != "") != tt.want || (len(*recorded) == 1) != tt.want || shown != tt.want {
				t.Errorf("why %q, error %v, events %v, condition %t; want all: %t", why, err, *recorded, shown, tt.want)
			}
		})
	}
}

// What the informers do not know yet counts at the start, for which each list is read once.
func TestAnApprovalByThePolicyIsCheckedAgainLiveAtTheStart(t *testing.T) {
	t.Parallel()
	rr := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "now"}}
	elsewhere := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "till", Name: "now"}}
	ineffective := func(namespace string) client.Object {
		e := earlier{namespace, "rollback", "now", "any", 3 * time.Hour, 2 * time.Hour, v1alpha1.OutcomeIneffective}
		return e.object(0)
	}
	options := guardrail.Options{PerNamespace: 1, PerCluster: 1, MaxIneffective: 1}
	for name, tt := range map[string]struct {
		by   []v1alpha1.Decider
		now  client.Object
		want bool
	}{
		"an execution did not help":               {now: ineffective("shop"), want: true},
		"one in another namespace did not help":   {now: ineffective("till")},
		"one did not help, but a person approved": {by: []v1alpha1.Decider{{Name: "ada"}}, now: ineffective("shop")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g, recorded := rails(t, options, rr, elsewhere, tt.now)
			live := &counted{Reader: g.Reader, lists: map[string]int{}}
			before, _ := rails(t, options, rr)
			g.Reader, g.Cached = live, before.Cached
			wfe := (&earlier{namespace: "shop", workflow: "restart", request: "now", target: "target"}).object(-1)
			wfe.Status.Approval = &v1alpha1.ExecutionApproval{By: tt.by}

			if why, err := g.Disappointed(t.Context(), rr); why != "" || err != nil {
				t.Errorf("a proposal: %q, %v", why, err)
			}
			if why, err := g.RequiresPerson(t.Context(), wfe); why != "" || err != nil {
				t.Errorf("an approval: %q, %v", why, err)
			}
			why, retry, err := g.Blocked(t.Context(), wfe)
			if err != nil || retry != 0 || strings.Contains(why, "a person decides") != tt.want || (why != "") != tt.want || (len(*recorded) > 0) != tt.want {
				t.Errorf("a start: %q, again in %s, error %v, events %v", why, retry, err, *recorded)
			}
			want := map[string]int{"*v1alpha1.WorkflowExecutionList": 1}
			if len(tt.by) == 0 {
				want["*v1alpha1.RemediationRequestList"] = 1
			}
			if !maps.Equal(live.lists, want) {
				t.Errorf("lists %v, want %v", live.lists, want)
			}
		})
	}
}

func TestNobodyButAPersonDecidesOnARequestThatIsGone(t *testing.T) {
	t.Parallel()
	g, _ := rails(t, guardrail.Options{MaxIneffective: 2})
	why, err := g.RequiresPerson(t.Context(), (&earlier{namespace: "shop", request: "gone"}).object(0))
	if err != nil || why == "" {
		t.Errorf("why %q, error %v", why, err)
	}
}
