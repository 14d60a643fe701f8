package dedup_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/signalregister"
	"kubernaut.ai/services/gateway/internal/dedup"
	"kubernaut.ai/services/gateway/internal/quota"
)

const (
	modelNamespace   = "kubernaut-system"
	modelFingerprint = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	modelCoolDown    = 5 * time.Minute
)

func modelNow() time.Time { return time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC) }

var (
	errLost = errors.New("connection lost")
	errDead = errors.New("the process is dead")
)

// replica is one Gateway process. It reaches the cluster through steps only:
// each API call and each audit event waits until the scheduler releases it.
type replica struct {
	client.Client // nil: a call that the protocol does not need panics

	world  *world
	name   string
	opener *dedup.Opener
	// cache is what the informer has delivered so far.
	cache []v1alpha1.RemediationRequest
	// dead is set by the scheduler while all threads of the replica wait for it.
	dead    bool
	sound   bool     // no faults are injected
	created int      // objects, to derive UIDs
	timers  *thread  // takes the steps in which time passes
	faults  int      // injected so far
	history []string // steps and their results; with the stored objects it determines what the replica does next
}

func (w *world) newReplica(name string) *replica {
	r := &replica{world: w, name: name}
	unlimited, err := quota.New(quota.Options{
		Limits: quota.Limits{PerSender: 1000, PerNamespace: 1000, Total: 1000}, Clock: modelClock{replica: r}, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		panic(err)
	}
	r.opener = dedup.NewOpener(dedup.Options{
		Cache: informer{r}, Client: r, Clock: modelClock{replica: r}, Random: &names{replica: r}, Quota: unlimited,
		Namespace: modelNamespace, CoolDown: modelCoolDown,
	})
	r.opener.LookOnce()
	r.timers = &thread{world: w, name: name + "'s timer", replica: r}
	w.replicas = append(w.replicas, r)
	return r
}

func (r *replica) Get(ctx context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	err := r.world.step(ctx, r, stepRead, "get "+objectKey(object, key), func() (string, error) {
		if err := r.world.server.get(key, object); err != nil {
			return "", err
		}
		return string(object.GetUID()) + "@" + object.GetResourceVersion(), nil
	})
	if r.world.slowReads {
		arrived := r.world.step(ctx, r, stepEvent, "response about "+objectKey(object, key), func() (string, error) { return "", nil })
		return errors.Join(err, arrived)
	}
	return err
}

func (r *replica) Create(ctx context.Context, object client.Object, _ ...client.CreateOption) error {
	kind := stepWrite
	if _, ok := object.(*v1alpha1.RemediationRequest); ok {
		kind = stepCreate
	}
	return r.world.step(ctx, r, kind, "create "+objectKey(object, client.ObjectKeyFromObject(object)), func() (string, error) {
		uid := r.newUID()
		if err := r.world.server.create(object, uid); err != nil {
			return string(uid), err
		}
		switch o := object.(type) {
		case *v1alpha1.RemediationRequest:
			r.world.facts.created(threadOf(ctx), o)
		case *coordinationv1.Lease:
			r.world.facts.leaseWritten(nil, o)
		}
		return string(uid), nil
	})
}

func (r *replica) Update(ctx context.Context, object client.Object, _ ...client.UpdateOption) error {
	return r.world.step(ctx, r, stepWrite, "update "+objectKey(object, client.ObjectKeyFromObject(object)), func() (string, error) {
		before, _ := r.world.server.objects[objectKey(object, client.ObjectKeyFromObject(object))].(*coordinationv1.Lease)
		err := r.world.server.update(object)
		if lease, ok := object.(*coordinationv1.Lease); ok && err == nil {
			r.world.facts.leaseWritten(before, lease)
			return lease.ResourceVersion + " " + *lease.Spec.HolderIdentity + " " + lease.Annotations["kubernaut.ai/register-state"], nil
		}
		return object.GetResourceVersion(), err
	})
}

func (r *replica) Delete(ctx context.Context, object client.Object, options ...client.DeleteOption) error {
	var o client.DeleteOptions
	o.ApplyOptions(options)
	conditions := metav1.Preconditions{}
	if o.Preconditions != nil {
		conditions = *o.Preconditions
	}
	key := objectKey(object, client.ObjectKeyFromObject(object))
	return r.world.step(ctx, r, stepWrite, "delete "+key, func() (string, error) {
		stored := r.world.server.objects[key]
		err := r.world.server.delete(object, conditions)
		if err == nil && stored.GetDeletionTimestamp().IsZero() {
			r.world.facts.deletedByReplica(stored)
		}
		return "", err
	})
}

// List serves Sweep, in one page.
func (r *replica) List(ctx context.Context, list client.ObjectList, _ ...client.ListOption) error {
	leases, ok := list.(*coordinationv1.LeaseList)
	if !ok {
		return fmt.Errorf("unexpected list of %T", list)
	}
	return r.world.step(ctx, r, stepRead, "list leases", func() (string, error) {
		stored := r.world.server.leases()
		leases.Items = nil
		versions := make([]string, 0, len(stored))
		for _, lease := range stored {
			leases.Items = append(leases.Items, *lease.DeepCopy())
			versions = append(versions, string(lease.UID)+"@"+lease.ResourceVersion)
		}
		return strings.Join(versions, ","), nil
	})
}

func (r *replica) newUID() types.UID {
	r.created++
	return types.UID(fmt.Sprintf("%s-%d", r.name, r.created))
}

// informer serves the replica's cache. Reading it is not a step: its content
// changes only when the script says so.
type informer struct{ replica *replica }

func (informer) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("unexpected read from the cache")
}

func (i informer) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	requests, ok := list.(*v1alpha1.RemediationRequestList)
	if !ok {
		return fmt.Errorf("unexpected list of %T", list)
	}
	for _, cached := range i.replica.cache {
		requests.Items = append(requests.Items, *cached.DeepCopy())
	}
	return nil
}

// modelClock stands still. Timers fire when the scheduler says so.
type modelClock struct {
	clock.Clock // nil: a method that the protocol does not need panics

	replica *replica
}

func (modelClock) Now() time.Time                  { return modelNow() }
func (modelClock) Since(t time.Time) time.Duration { return modelNow().Sub(t) }
func (c modelClock) NewTimer(time.Duration) clock.Timer {
	r := c.replica
	s := &step{
		thread: r.timers, replica: r, kind: stepEvent, what: "time passes", timer: true,
		do: func() (string, error) { return "", nil }, done: make(chan struct{}),
	}
	timer := modelTimer{fired: make(chan time.Time, 1)}
	if r.dead {
		timer.fired <- modelNow()
		return timer
	}
	r.world.ask(s)
	go func() {
		<-s.done
		timer.fired <- modelNow()
	}()
	return timer
}

type modelTimer struct {
	clock.Timer // nil

	fired chan time.Time
}

func (t modelTimer) C() <-chan time.Time { return t.fired }
func (modelTimer) Stop() bool            { return false }

// names is the random source of a replica: its names depend on nothing else.
type names struct {
	replica *replica
	given   byte
}

func (n *names) Read(p []byte) (int, error) {
	clear(p)
	copy(p, n.replica.name)
	n.given++
	p[len(p)-1] = n.given
	return len(p), nil
}

func isOpen(r *v1alpha1.RemediationRequest) bool {
	return r.DeletionTimestamp.IsZero() && !r.Status.Phase.Terminal()
}

// thread is one sequence of actions: the calls of one sender to one replica,
// or the acts of somebody else in the cluster. It implements dedup.Trail.
type thread struct {
	world   *world
	name    string
	replica *replica // nil for somebody else
	script  []action
	done    bool
	steps   int
	// The rest is about the current call of Open.
	faults   int // of the replica when the call began
	received map[types.NamespacedName]bool
	arriving bool               // until the first API call, which is when the call counts as begun
	usable   map[types.UID]bool // requests that took signals at some time during the call
}

type threadContextKey struct{}

func threadOf(ctx context.Context) *thread {
	t, ok := ctx.Value(threadContextKey{}).(*thread)
	if !ok {
		panic("API call without a thread")
	}
	return t
}

func (t *thread) Received(ctx context.Context, request types.NamespacedName, _ *v1alpha1.RemediationRequestSpec) error {
	return t.world.step(ctx, t.replica, stepAudit, "record received under "+request.Name, func() (string, error) {
		t.received[request] = true
		return "", nil
	})
}

func (t *thread) Created(ctx context.Context, request *v1alpha1.RemediationRequest) error {
	return t.world.step(ctx, t.replica, stepAudit, "record creation of "+request.Name, func() (string, error) {
		t.world.facts.recorded(request)
		return "", nil
	})
}

func (t *thread) run(ctx context.Context) {
	ctx = context.WithValue(ctx, threadContextKey{}, t)
	for _, act := range t.script {
		act(ctx, t)
	}
	t.world.finished(t)
}

// action is one entry of a thread's script.
type action func(ctx context.Context, t *thread)

// deliver sends the signal to the replica once.
func deliver(ctx context.Context, t *thread) { deliverOnce(ctx, t) }

// deliverPersistently sends it up to three times, until it is accepted.
func deliverPersistently(ctx context.Context, t *thread) {
	for range 3 {
		if deliverOnce(ctx, t) {
			return
		}
	}
}

// deliverOnce reports whether the sender is done: the signal was accepted, or
// the replica is dead.
func deliverOnce(ctx context.Context, t *thread) bool {
	begun := t.world.step(ctx, t.replica, stepLocal, "signal arrives", func() (string, error) {
		t.faults, t.received, t.arriving = t.replica.faults, map[types.NamespacedName]bool{}, true
		return "", nil
	})
	if begun != nil {
		return true
	}
	spec := t.world.spec()
	result, err := t.replica.opener.Open(ctx, dedup.Signal{Spec: &spec}, t)
	accepted := false
	ended := t.world.step(ctx, t.replica, stepLocal, "response", func() (string, error) {
		accepted = err == nil
		return t.world.facts.responded(t, result, err), nil
	})
	return accepted || ended != nil
}

// resolve sends the end of the problem to the replica once.
func resolve(ctx context.Context, t *thread) {
	if t.world.step(ctx, t.replica, stepLocal, "resolved signal arrives", func() (string, error) { return "", nil }) != nil {
		return
	}
	spec := t.world.spec()
	found, err := t.replica.opener.Current(ctx, &spec)
	_ = t.world.step(ctx, t.replica, stepLocal, "response", func() (string, error) {
		return t.world.facts.resolved(t, found.Key, err), nil
	})
}

// syncCache lets the replica's informer deliver all that happened so far.
func syncCache(ctx context.Context, t *thread) {
	_ = t.world.step(ctx, t.replica, stepEvent, "cache catches up", func() (string, error) {
		stored := t.world.server.requests()
		t.replica.cache = nil
		versions := make([]string, 0, len(stored))
		for _, r := range stored {
			t.replica.cache = append(t.replica.cache, *r.DeepCopy())
			versions = append(versions, string(r.UID)+"@"+r.ResourceVersion)
		}
		return strings.Join(versions, ","), nil
	})
}

// collect lets signal processing remove the requests that have ended: it closes
// their registers first.
func collect(ctx context.Context, t *thread) {
	register := signalregister.New(signalregister.Options{
		Reader: t.replica, Writer: t.replica, Namespace: modelNamespace, Clock: modelClock{replica: t.replica},
	})
	var ended []*v1alpha1.RemediationRequest
	_ = t.world.step(ctx, t.replica, stepEvent, "look for ended requests", func() (string, error) {
		var uids []string
		for _, r := range t.world.server.requests() {
			if !isOpen(r) {
				ended = append(ended, r.DeepCopy())
				uids = append(uids, string(r.UID))
			}
		}
		return strings.Join(uids, ","), nil
	})
	for _, r := range ended {
		if register.Close(ctx, r) != nil {
			continue
		}
		_ = t.world.step(ctx, t.replica, stepEvent, "remove "+r.Name, func() (string, error) {
			if stored, ok := t.world.server.objects[requestKey(r)]; ok && stored.GetUID() == r.UID {
				delete(t.world.server.objects, requestKey(r))
			}
			return "", nil
		})
	}
}

// sweep lets the replica delete old Leases.
func sweep(ctx context.Context, t *thread) {
	if _, err := t.replica.opener.Sweep(ctx); err != nil && t.replica.faults == 0 {
		_ = t.world.step(ctx, t.replica, stepLocal, "sweep fails", func() (string, error) {
			t.world.facts.violatef("sweep failed without a fault: %v", err)
			return "", nil
		})
	}
}
