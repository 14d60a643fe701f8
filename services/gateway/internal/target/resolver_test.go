package target_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/gateway/internal/target"
	"kubernaut.ai/services/gateway/internal/target/rules"
)

type (
	labels = map[string]string
	object = v1alpha1.TargetResource
)

// server answers with the controller of each "Kind name", and counts the reads.
type server struct {
	client.Reader

	mu          sync.Mutex
	controllers map[string]*metav1.OwnerReference // guarded by mu
	errs        map[string]error                  // guarded by mu
	nodes       []corev1.Node                     // guarded by mu
	kinds       []*metav1.APIResourceList         // guarded by mu
	kindsErr    error                             // guarded by mu
	reads       []string                          // guarded by mu
	wait        chan struct{}                     // if it is not nil, reads wait for it

	slow  chan struct{}                  // guarded by mu: if it is not nil, discovery waits for it
	clock *clocktesting.FakePassiveClock // set by newResolver
}

func (s *server) Get(ctx context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if s.wait != nil {
		select {
		case <-s.wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := into.GetObjectKind().GroupVersionKind().Kind + " " + key.Name
	s.reads = append(s.reads, name)
	if err := s.errs[name]; err != nil {
		return err
	}
	controller, ok := s.controllers[name]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	if controller != nil {
		into.SetOwnerReferences([]metav1.OwnerReference{*controller})
	}
	if pod, ok := into.(*corev1.Pod); ok {
		pod.Spec.NodeName = "node-of-" + key.Name
	}
	return nil
}

func (s *server) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads = append(s.reads, "list")
	nodes, _ := into.(*corev1.NodeList)
	nodes.Items = s.nodes
	return s.errs["list"]
}

func (s *server) ServerPreferredResourcesWithContext(ctx context.Context) ([]*metav1.APIResourceList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slow := s.slow; slow != nil {
		s.mu.Unlock()
		select {
		case <-slow:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
	s.reads = append(s.reads, "discover")
	return s.kinds, s.kindsErr
}

// pass lets time pass.
func (s *server) pass(d time.Duration) { s.clock.SetTime(s.clock.Now().Add(d)) }

// set changes what the server has.
func (s *server) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// took returns the reads since the last call.
func (s *server) took() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	reads := s.reads
	s.reads = nil
	return reads
}

func controlledBy(apiVersion, kind, name string) *metav1.OwnerReference {
	yes := true
	return &metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: name, Controller: &yes}
}

func newResolver(t *testing.T, s *server) *target.Resolver {
	t.Helper()
	set, err := rules.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	if s.kinds == nil {
		s.kinds = []*metav1.APIResourceList{}
	}
	s.clock = clocktesting.NewFakePassiveClock(time.Unix(1_790_000_000, 0))
	r, err := target.NewResolver(target.Options{
		Reader: s, Discovery: s, Rules: set, Clock: s.clock, Log: zap.NewNop(), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// given resolves a target that the source names.
func given(t *testing.T, r *target.Resolver, o object) target.Resolution {
	t.Helper()
	found, err := r.Resolve(t.Context(), target.Signal{Name: "A", Given: &o})
	if err != nil {
		t.Fatal(err)
	}
	if found.Target != o || found.Rule != target.RuleGiven {
		t.Errorf("got target %+v by rule %s, want it as given", found.Target, found.Rule)
	}
	return found
}

func pod(name string) object {
	return object{APIVersion: "v1", Kind: "Pod", Name: name, Namespace: "a"}
}

func TestTopOwners(t *testing.T) {
	t.Parallel()
	forbidden := apierrors.NewForbidden(schema.GroupResource{}, "", nil)
	deployment := object{APIVersion: "apps/v1", Kind: "Deployment", Name: "d", Namespace: "a"}
	replicaSet := object{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "r", Namespace: "a"}
	rollout := object{APIVersion: "argoproj.io/v1", Kind: "Rollout", Name: "r", Namespace: "a"}
	node := object{APIVersion: "v1", Kind: "Node", Name: "n"}
	secret := object{APIVersion: "v1", Kind: "Secret", Name: "s", Namespace: "a"}
	ofDeployment := map[string]*metav1.OwnerReference{
		"Pod p": controlledBy("apps/v1", "ReplicaSet", "r"), "ReplicaSet r": controlledBy("apps/v1", "Deployment", "d"), "Deployment d": nil,
	}
	tests := map[string]struct {
		controllers map[string]*metav1.OwnerReference
		errs        map[string]error
		target      object
		want        object
		known       bool
		reads       int
	}{
		"of a pod of a deployment":  {ofDeployment, nil, pod("p"), deployment, true, 3},
		"of a pod without one":      {map[string]*metav1.OwnerReference{"Pod p": nil}, nil, pod("p"), pod("p"), true, 1},
		"of a pod that is gone":     {nil, nil, pod("p"), pod("p"), false, 1},
		"of a forbidden pod":        {nil, map[string]error{"Pod p": forbidden}, pod("p"), pod("p"), false, 1},
		"of a static pod on a node": {map[string]*metav1.OwnerReference{"Pod p": controlledBy("v1", "Node", "n")}, nil, pod("p"), pod("p"), true, 1},
		"of a node":                 {nil, nil, node, node, true, 0},
		"of a secret":               {nil, nil, secret, secret, true, 0},
		"of a pod whose replica set is gone": {
			map[string]*metav1.OwnerReference{"Pod p": controlledBy("apps/v1", "ReplicaSet", "r")}, nil, pod("p"), replicaSet, false, 2,
		},
		"of a forbidden owner": {
			map[string]*metav1.OwnerReference{"Pod p": controlledBy("apps/v1", "ReplicaSet", "r")},
			map[string]error{"ReplicaSet r": forbidden},
			pod("p"), replicaSet, true, 2,
		},
		"of an owner that may not be read": {
			map[string]*metav1.OwnerReference{"Pod p": controlledBy("argoproj.io/v1", "Rollout", "r")},
			map[string]error{"Rollout r": forbidden},
			pod("p"), rollout, true, 3, // one of them discovery
		},
		"above a secret": {
			map[string]*metav1.OwnerReference{"Pod p": controlledBy("v1", "ConfigMap", "c")},
			nil, pod("p"),
			object{APIVersion: "v1", Kind: "ConfigMap", Name: "c", Namespace: "a"},
			true, 1,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &server{controllers: test.controllers, errs: test.errs}
			found := given(t, newResolver(t, s), test.target)
			if found.Owner != test.want || found.OwnerKnown != test.known {
				t.Errorf("got %+v, known %v; want %+v, %v", found.Owner, found.OwnerKnown, test.want, test.known)
			}
			if reads := s.took(); len(reads) != test.reads {
				t.Errorf("read %v, want %d reads", reads, test.reads)
			}
		})
	}
}

func TestCyclicOwnerReferencesAreBounded(t *testing.T) {
	t.Parallel()
	s := &server{controllers: map[string]*metav1.OwnerReference{
		"Pod p": controlledBy("v1", "Pod", "q"), "Pod q": controlledBy("v1", "Pod", "p"),
	}}
	given(t, newResolver(t, s), pod("p"))
	if reads := s.took(); len(reads) != 2 {
		t.Errorf("read %v", reads)
	}
}

func TestAStormOfDuplicatesReadsNothing(t *testing.T) {
	t.Parallel()
	s := &server{controllers: map[string]*metav1.OwnerReference{"Pod live": nil}}
	r := newResolver(t, s)
	for range 100 {
		given(t, r, pod("live"))
		given(t, r, pod("gone"))
	}
	if reads := s.took(); !slices.Equal(reads, []string{"Pod live", "Pod gone"}) {
		t.Errorf("read %v, want each once", reads)
	}
	for _, step := range []struct {
		after time.Duration
		want  []string
	}{
		{30*time.Second - 1, nil},
		{1, []string{"Pod gone"}},
		{9*time.Minute + 30*time.Second - 1, []string{"Pod gone"}},
		{1, []string{"Pod live"}},
	} {
		s.pass(step.after)
		given(t, r, pod("live"))
		given(t, r, pod("gone"))
		if reads := s.took(); !slices.Equal(reads, step.want) {
			t.Errorf("%v later: read %v, want %v", step.after, reads, step.want)
		}
	}
}

func TestAPodThatIsCreatedIsNoticed(t *testing.T) {
	t.Parallel()
	s := &server{controllers: map[string]*metav1.OwnerReference{}}
	r := newResolver(t, s)
	if found := given(t, r, pod("p")); found.OwnerKnown {
		t.Errorf("got %+v", found)
	}
	s.set(func() { s.controllers["Pod p"] = controlledBy("apps/v1", "StatefulSet", "s") })
	s.set(func() { s.controllers["StatefulSet s"] = nil })
	s.pass(30 * time.Second)
	if found := given(t, r, pod("p")); found.Owner.Name != "s" || !found.OwnerKnown {
		t.Errorf("got %+v", found)
	}
}

func TestTheOwnerOfAPodThatIsGoneIsRemembered(t *testing.T) {
	t.Parallel()
	s := &server{controllers: map[string]*metav1.OwnerReference{
		"Pod p": controlledBy("apps/v1", "StatefulSet", "s"), "StatefulSet s": nil,
	}}
	r := newResolver(t, s)
	given(t, r, pod("p"))
	s.set(func() { delete(s.controllers, "Pod p") })
	for range 4 { // longer than anything is cached, because signals go on
		s.pass(30 * time.Minute)
		if found := given(t, r, pod("p")); found.Owner.Name != "s" || !found.OwnerKnown {
			t.Errorf("got %+v", found)
		}
	}
	s.pass(time.Hour + 1)
	if found := given(t, r, pod("p")); found.OwnerKnown {
		t.Errorf("got %+v an hour after the last signal", found)
	}
}

func TestConcurrentSignalsShareReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{controllers: map[string]*metav1.OwnerReference{"Pod p": nil, "Pod q": nil}, wait: make(chan struct{})}
		r := newResolver(t, s)
		impatient, leave := context.WithCancel(t.Context())
		go func() {
			p := pod("p")
			if _, err := r.Resolve(impatient, target.Signal{Name: "A", Given: &p}); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the caller's own end", err)
			}
		}()
		synctest.Wait()
		var callers sync.WaitGroup
		for i := range 100 {
			callers.Go(func() { given(t, r, pod([]string{"p", "q"}[i%2])) })
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(s.wait)
		callers.Wait()
		reads := s.took()
		slices.Sort(reads)
		if !slices.Equal(reads, []string{"Pod p", "Pod q"}) {
			t.Errorf("read %v, want each once", reads)
		}
	})
}

func TestFailedReadsAreNotCached(t *testing.T) {
	t.Parallel()
	unavailable := errors.New("unavailable")
	s := &server{errs: map[string]error{"Pod p": unavailable}, controllers: map[string]*metav1.OwnerReference{"Pod p": nil}}
	r := newResolver(t, s)
	p := pod("p")
	if _, err := r.Resolve(t.Context(), target.Signal{Name: "A", Given: &p}); !errors.Is(err, unavailable) {
		t.Errorf("got %v", err)
	}
	s.set(func() { s.errs = nil })
	if found := given(t, r, p); !found.OwnerKnown {
		t.Errorf("got %+v", found)
	}
}

func resolve(t *testing.T, r *target.Resolver, l labels) target.Resolution {
	t.Helper()
	found, err := r.Resolve(t.Context(), target.Signal{Name: "A", Labels: l})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func rolloutKind() []*metav1.APIResourceList {
	return []*metav1.APIResourceList{{GroupVersion: "argoproj.io/v1alpha1", APIResources: []metav1.APIResource{
		{Name: "rollouts", SingularName: "rollout", Kind: "Rollout", Namespaced: true, Verbs: metav1.Verbs{"get"}},
		{Name: "rollouts/status", Kind: "Rollout", Namespaced: true, Verbs: metav1.Verbs{"get"}},
		{Name: "clusterthings", SingularName: "clusterthing", Kind: "ClusterThing", Verbs: metav1.Verbs{"get"}},
	}}}
}

func TestCustomResourcesAreFoundThroughDiscovery(t *testing.T) {
	t.Parallel()
	forbidden := apierrors.NewForbidden(schema.GroupResource{}, "", nil)
	s := &server{
		kinds: rolloutKind(), errs: map[string]error{"Rollout hidden": forbidden},
		controllers: map[string]*metav1.OwnerReference{"Rollout web": nil, "ClusterThing x": nil},
	}
	r := newResolver(t, s)
	for _, test := range []struct {
		labels labels
		want   object
		known  bool
	}{
		{labels{"namespace": "a", "rollout": "web"}, object{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Namespace: "a", Name: "web"}, true},
		{labels{"namespace": "a", "rollout": "hidden"}, object{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Namespace: "a", Name: "hidden"}, false},
		{labels{"namespace": "a", "rollout": "gone"}, object{APIVersion: "argoproj.io/v1alpha1", Kind: "Rollout", Namespace: "a", Name: "gone"}, false},
		{labels{"namespace": "a", "rollout": "gone", "service": "s"}, object{APIVersion: "v1", Kind: "Service", Namespace: "a", Name: "s"}, false},
		{labels{"namespace": "a", "clusterthing": "x"}, object{APIVersion: "argoproj.io/v1alpha1", Kind: "ClusterThing", Name: "x"}, true},
		{labels{"namespace": "a", "pod": "p"}, pod("p"), false},
		{
			labels{"namespace": "a", "job": "kube-state-metrics", "customresource_group": "g.io", "customresource_kind": "Foo", "name": "f"},
			object{Kind: "Foo", Namespace: "a", Name: "f"},
			false,
		},
	} {
		found := resolve(t, r, test.labels)
		if found.Target != test.want || found.OwnerKnown != test.known {
			t.Errorf("%v: got %+v, owner known %v; want %+v, %v", test.labels, found.Target, found.OwnerKnown, test.want, test.known)
		}
	}
	if reads := s.took(); slices.Index(reads, "discover") < 0 || slices.Contains(reads[1:], "discover") {
		t.Errorf("read %v, want one discovery", reads)
	}
}

func TestANewCustomResourceIsKnownAfterAMinute(t *testing.T) {
	t.Parallel()
	s := &server{controllers: map[string]*metav1.OwnerReference{"Rollout web": nil}}
	r := newResolver(t, s)
	l := labels{"namespace": "a", "rollout": "web"}
	if found := resolve(t, r, l); found.Target.Kind != target.KindUnknown {
		t.Errorf("got %+v", found.Target)
	}
	s.set(func() { s.kinds = rolloutKind() })
	s.pass(time.Minute)
	if found := resolve(t, r, l); found.Target.Kind != "Rollout" {
		t.Errorf("got %+v", found.Target)
	}
	s.set(func() { s.kindsErr = errors.New("unavailable") })
	s.pass(time.Hour)
	if found := resolve(t, r, l); found.Target.Kind != "Rollout" {
		t.Errorf("got %+v with the old list of kinds", found.Target)
	}
}

func TestWithoutThePermissionForDiscoveryThereAreNoCustomResources(t *testing.T) {
	t.Parallel()
	s := &server{kindsErr: apierrors.NewForbidden(schema.GroupResource{}, "", nil)}
	if found := resolve(t, newResolver(t, s), labels{"namespace": "a", "rollout": "web"}); found.Target.Kind != target.KindUnknown {
		t.Errorf("got %+v", found.Target)
	}
}

func TestASlowDiscoveryDelaysASignalForASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{kinds: rolloutKind(), controllers: map[string]*metav1.OwnerReference{"Rollout web": nil}}
		r := newResolver(t, s)
		l := labels{"namespace": "a", "rollout": "web"}
		resolve(t, r, l)
		s.set(func() { s.slow = make(chan struct{}) })
		s.pass(time.Hour)
		began := time.Now()
		if found := resolve(t, r, l); found.Target.Kind != "Rollout" {
			t.Errorf("got %+v with the old list of kinds", found.Target)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v", took)
		}
		close(s.slow)
	})
}

func TestTheNodeOfAnAgentThatIsGoneIsRemembered(t *testing.T) {
	t.Parallel()
	s := &server{controllers: map[string]*metav1.OwnerReference{"Pod exporter-1": nil}}
	r := newResolver(t, s)
	l := labels{"namespace": "monitoring", "job": "node-exporter", "pod": "exporter-1"}
	for range 2 {
		if found := resolve(t, r, l); found.Target.Name != "node-of-exporter-1" {
			t.Errorf("got %+v", found.Target)
		}
		s.set(func() { s.controllers = nil })
		s.pass(time.Hour)
	}
}

func TestWithoutAnyDiscoveryTheSignalIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := &server{kindsErr: errors.New("unavailable")}
	_, err := newResolver(t, s).Resolve(t.Context(), target.Signal{Name: "A", Labels: labels{"namespace": "a", "rollout": "web"}})
	if !errors.Is(err, s.kindsErr) {
		t.Errorf("got %v", err)
	}
}

func TestNodesOfAgents(t *testing.T) {
	t.Parallel()
	s := &server{
		controllers: map[string]*metav1.OwnerReference{"Node worker-1": nil, "Pod exporter-1": nil},
		nodes: []corev1.Node{{
			ObjectMeta: metav1.ObjectMeta{Name: "worker-3"},
			Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Address: "10.0.0.33"}, {Address: "10.0.0.99"}}},
		}, {
			ObjectMeta: metav1.ObjectMeta{Name: "worker-4"},
			Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Address: "10.0.0.99"}}},
		}},
	}
	r := newResolver(t, s)
	agent := func(pod, instance, nodename string) labels {
		return labels{"namespace": "monitoring", "job": "node-exporter", "pod": pod, "instance": instance, "nodename": nodename}
	}
	for _, test := range []struct {
		labels labels
		want   string
	}{
		{agent("exporter-1", "10.0.0.31:9100", "worker-1"), "worker-1"},
		{agent("exporter-1", "worker-1:9100", ""), "worker-1"},
		{agent("exporter-1", "10.0.0.31:9100", "host-1"), "node-of-exporter-1"},
		{agent("exporter-gone", "10.0.0.33:9100", ""), "worker-3"},
		{agent("exporter-gone", "10.0.0.99:9100", ""), "A"}, // of two nodes
		{agent("exporter-gone", "10.0.0.34:9100", ""), "A"},
	} {
		found := resolve(t, r, test.labels)
		if found.Target.Name != test.want {
			t.Errorf("%v: got %+v by %s, want %s", test.labels, found.Target, found.Rule, test.want)
		}
	}
	var lists int
	for _, read := range s.took() {
		if read == "list" {
			lists++
		}
	}
	if lists != 1 {
		t.Errorf("listed the nodes %d times", lists)
	}
}

func TestSignalsOfAnotherClusterAreNotLookedUp(t *testing.T) {
	t.Parallel()
	s := &server{}
	r := newResolver(t, s)
	found, err := r.Resolve(t.Context(), target.Signal{Name: "A", Labels: labels{"namespace": "a", "pod": "p"}, Foreign: true})
	if err != nil || found.Target != pod("p") || found.Owner != found.Target || !found.OwnerKnown {
		t.Errorf("got %+v, %v", found, err)
	}
	if reads := s.took(); len(reads) > 0 {
		t.Errorf("read %v", reads)
	}
}

func TestRulesAreReplaced(t *testing.T) {
	t.Parallel()
	builtIn, err := rules.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	r := newResolver(t, &server{})
	set, err := rules.Parse("file", []byte("rules:\n- name: q\n  target: object(\"Deployment\", labels.queue)\n"), builtIn)
	if err != nil {
		t.Fatal(err)
	}
	l := labels{"namespace": "a", "queue": "q"}
	for i, step := range []struct {
		use  *rules.Set
		want string
	}{{nil, "Unknown"}, {set, "Deployment"}, {builtIn, "Unknown"}} {
		if step.use != nil {
			r.Use(step.use)
		}
		if found := resolve(t, r, l); found.Target.Kind != step.want {
			t.Errorf("step %d: got %+v", i, found.Target)
		}
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	set, err := rules.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{}
	r, err := target.NewResolver(target.Options{
		Reader: s, Discovery: s, Rules: set, Clock: clock.RealClock{}, Log: zap.NewNop(), Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20_010 {
		given(t, r, pod(fmt.Sprintf("p%d", i)))
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "gateway_target_cached_objects" && family.GetMetric()[0].GetGauge().GetValue() != 20_000 {
			t.Errorf("got %v", family)
		}
	}
}
