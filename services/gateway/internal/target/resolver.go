package target

import (
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/printable"
	"kubernaut.ai/services/gateway/internal/target/rules"
)

// KindUnknown is the kind of a target that no label names.
const KindUnknown = "Unknown"

// RuleGiven is the rule's name of a target that the source names itself.
const RuleGiven = "given"

// maxDepth bounds the length of the owner chain, in case references form a cycle.
const maxDepth = 10

// Signal is what the resolver needs to know of a signal.
type Signal struct {
	Name   string
	Labels map[string]string
	// Given is the target that the source names itself; nil if labels have to tell.
	Given *v1alpha1.TargetResource
	// Foreign marks a signal of another cluster, whose objects cannot be looked up.
	Foreign bool
}

// Resolution is what a signal is about.
type Resolution struct {
	Target v1alpha1.TargetResource
	// Owner is the top controlling owner of the target; the target itself if it has
	// none.
	Owner v1alpha1.TargetResource
	// OwnerKnown is false if the target could not be read, so that it may have an
	// owner that nobody can tell.
	OwnerKnown bool
	// Rule is the rule that named the target.
	Rule string
	// Failures are the rules that could not be evaluated.
	Failures []rules.Failure
}

// Options of a Resolver. All fields are required.
type Options struct {
	// Reader reads from the API server, without a cache in between.
	Reader    client.Reader
	Discovery Discovery
	Rules     *rules.Set
	Clock     clock.PassiveClock
	// Log gets the rules that cannot be evaluated, each once.
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Resolver finds targets and their owners. It is safe for concurrent use.
type Resolver struct {
	kinds   *kindIndex
	objects *lookups
	nodes   *nodeIndex
	metrics *metrics
	log     *zap.Logger

	mu     sync.Mutex
	rules  *rules.Set      // guarded by mu
	logged map[string]bool // guarded by mu: the rules whose failure was logged
}

// NewResolver returns a resolver.
func NewResolver(o Options) (*Resolver, error) {
	r := &Resolver{
		kinds:   newKindIndex(o.Discovery, o.Clock),
		objects: &lookups{reader: o.Reader, clock: o.Clock, cached: cache.NewLRUExpireCacheWithClock(maxCached, o.Clock)},
		nodes:   newNodeIndex(o.Reader, o.Clock),
		log:     o.Log,
	}
	var err error
	if r.metrics, err = newMetrics(o.Registerer, r.objects); err != nil {
		return nil, err
	}
	r.Use(o.Rules)
	return r, nil
}

// Use replaces the rules for the signals that come after.
func (r *Resolver) Use(set *rules.Set) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rules, r.logged = set, map[string]bool{}
	r.metrics.use(set)
}

// Resolve finds out what a signal is about. An error means that the API server
// did not answer; trying again may help.
func (r *Resolver) Resolve(ctx context.Context, s Signal) (Resolution, error) {
	found := Resolution{Rule: RuleGiven, OwnerKnown: true}
	if s.Given != nil {
		found.Target = *s.Given
	} else if err := r.decide(ctx, s, &found); err != nil {
		return Resolution{}, fmt.Errorf("target of %s: %w", s.Name, err)
	}
	found.Owner = found.Target
	if s.Foreign || found.Target.Kind == KindUnknown {
		return found, nil
	}
	var err error
	if found.Owner, found.OwnerKnown, err = r.top(ctx, found.Target); err != nil {
		return Resolution{}, fmt.Errorf("owner of %s %s: %w", found.Target.Kind, found.Target.Name, err)
	}
	return found, nil
}

func (r *Resolver) current() *rules.Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rules
}

// decide applies the rules.
func (r *Resolver) decide(ctx context.Context, s Signal, found *Resolution) error {
	var cluster rules.Cluster = asked{r}
	if s.Foreign {
		cluster = rules.Nowhere{}
	}
	decision, err := r.current().Evaluate(ctx, s.Labels, cluster)
	if err != nil {
		return err //nolint:wrapcheck // names the rule
	}
	found.Rule, found.Failures = decision.Rule, decision.Failures
	r.report(decision)
	if !decision.Known {
		found.Target = v1alpha1.TargetResource{Kind: KindUnknown, Name: s.Name, Namespace: printable.Line(decision.Namespace)}
		return nil
	}
	found.Target, err = r.complete(ctx, decision.Object, s.Foreign)
	return err
}

// report counts a decision, and logs the first failure of each rule.
func (r *Resolver) report(d rules.Decision) {
	r.metrics.decided(d)
	for _, f := range d.Failures {
		r.mu.Lock()
		known := r.logged[f.Rule]
		r.logged[f.Rule] = true
		r.mu.Unlock()
		if !known {
			r.log.Warn("a target rule cannot be evaluated; it names nothing", zap.String("rule", f.Rule), zap.Error(f.Err))
		}
	}
}

// complete adds the API version of an object, and drops the namespace if its kind
// has none.
func (r *Resolver) complete(ctx context.Context, o rules.Object, foreign bool) (v1alpha1.TargetResource, error) {
	kind, _ := o.SplitKind()
	// A name that is not visible is that of no object.
	t := v1alpha1.TargetResource{Kind: printable.Line(kind), Namespace: printable.Line(o.Namespace), Name: printable.Line(o.Name)}
	if foreign {
		if known, ok := rules.BuiltInKind(o.Kind); ok {
			t.APIVersion = known.GroupVersion().String()
		}
		return t, nil
	}
	known, served, err := r.kinds.find(ctx, o.Kind)
	if err != nil || !served {
		return t, err
	}
	t.APIVersion = known.GroupVersion().String()
	if !known.Namespaced {
		t.Namespace = ""
	}
	return t, nil
}

// top returns the top controlling owner, and whether the target could be read.
func (r *Resolver) top(ctx context.Context, t v1alpha1.TargetResource) (v1alpha1.TargetResource, bool, error) {
	kind, readable, err := r.readable(ctx, t)
	if err != nil || !readable {
		return t, !mayHaveOwner(t), err
	}
	top := t
	for range maxDepth {
		found, err := r.objects.get(ctx, objectKey{GroupVersionKind: kind, namespace: top.Namespace, name: top.Name})
		if err != nil {
			return t, false, err
		}
		if found.state != rules.Exists && !found.remembered {
			// A controller that we may not read ends the chain, and is known by name.
			return top, top != t && found.state == rules.Unreadable, nil
		}
		// A static pod is controlled by its Node, which is not a workload.
		if found.controller == nil || found.controller.Kind == "Node" {
			return top, true, nil
		}
		if top, kind, err = r.owner(ctx, top, found.controller); err != nil {
			return t, false, err
		}
		if neverRead(kind) {
			return top, true, nil
		}
	}
	return top, true, nil
}

// owner returns the object that an owner reference names.
func (r *Resolver) owner(
	ctx context.Context, of v1alpha1.TargetResource, ref *metav1.OwnerReference,
) (v1alpha1.TargetResource, schema.GroupVersionKind, error) {
	kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind)
	t := v1alpha1.TargetResource{APIVersion: ref.APIVersion, Kind: ref.Kind, Name: ref.Name, Namespace: of.Namespace}
	known, served, err := r.kinds.find(ctx, kind.GroupKind().String())
	if err != nil {
		return t, kind, err
	}
	if served && !known.Namespaced {
		t.Namespace = ""
	}
	return t, kind, nil
}

// readable returns the kind of a target that may be read and can have an owner.
func (r *Resolver) readable(ctx context.Context, t v1alpha1.TargetResource) (schema.GroupVersionKind, bool, error) {
	if t.APIVersion == "" {
		known, served, err := r.kinds.find(ctx, t.Kind)
		return known.GroupVersionKind, served && mayHaveOwner(t) && !neverRead(known.GroupVersionKind), err
	}
	kind := schema.FromAPIVersionAndKind(t.APIVersion, t.Kind)
	return kind, mayHaveOwner(t) && !neverRead(kind), nil
}

// mayHaveOwner reports whether objects of the kind can have an owner that matters.
// Kubernetes' own kinds without namespace have none, and permissions and Leases are
// not read.
func mayHaveOwner(t v1alpha1.TargetResource) bool {
	known, ok := rules.BuiltInKind(t.Kind)
	switch {
	case !ok:
		return true
	case t.Kind == "Role", t.Kind == "RoleBinding", t.Kind == "Lease":
		return false
	default:
		return known.Namespaced && !neverRead(known.GroupVersionKind)
	}
}

// neverRead are the kinds of which not even the metadata is read.
func neverRead(kind schema.GroupVersionKind) bool {
	return kind.Group == "" && (kind.Kind == "Secret" || kind.Kind == "ConfigMap")
}

// asked answers the questions of rules.
type asked struct{ *Resolver }

// State implements rules.Cluster.
func (a asked) State(ctx context.Context, o rules.Object) (rules.State, error) {
	kind, served, err := a.kinds.find(ctx, o.Kind)
	if err != nil || !served || neverRead(kind.GroupVersionKind) {
		return rules.Unreadable, err
	}
	if !kind.Namespaced {
		o.Namespace = ""
	}
	found, err := a.objects.get(ctx, objectKey{GroupVersionKind: kind.GroupVersionKind, namespace: o.Namespace, name: o.Name})
	if err != nil {
		return rules.Unreadable, err
	}
	return found.state, nil
}

// CustomKind implements rules.Cluster.
func (a asked) CustomKind(ctx context.Context, singular string) (string, error) {
	kind, ok, err := a.kinds.singular(ctx, singular)
	if err != nil || !ok {
		return "", err
	}
	return kind.Kind + "." + kind.Group, nil
}

// NodeOfPod implements rules.Cluster.
func (a asked) NodeOfPod(ctx context.Context, namespace, name string) (string, error) {
	if o := (rules.Object{Kind: "Pod", Namespace: namespace, Name: name}); namespace == "" || !o.Valid() {
		return "", nil
	}
	pod, _ := rules.BuiltInKind("Pod")
	found, err := a.objects.get(ctx, objectKey{GroupVersionKind: pod.GroupVersionKind, namespace: namespace, name: name, withNode: true})
	if err != nil {
		return "", err
	}
	return found.node, nil // also of a pod that is gone, if it was seen
}

// NodeAt implements rules.Cluster.
func (a asked) NodeAt(ctx context.Context, address string) (string, error) {
	return a.nodes.at(ctx, address)
}
