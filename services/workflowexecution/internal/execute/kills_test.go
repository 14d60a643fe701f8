//go:build integration

package execute_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"go.uber.org/zap"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/workflowexecution/internal/auditevents"
	"kubernaut.ai/services/workflowexecution/internal/execute"
)

var errKilled = errors.New("the process is dead")

// process is a run of the service that dies at one of its calls: no call after it has an
// effect.
type process struct {
	*world

	// at is the call that it dies at, counted from 1; 0: it lives. With done the call still
	// has its effect, and its answer is lost.
	at   int
	done bool

	mu    sync.Mutex // some calls are made side by side
	calls []string   // guarded by mu, as what follows
	dead  bool
	// changes are the accepted writes to the target, and creations of Jobs.
	changes int
}

// calling counts the calls of a client.
type calling struct {
	client.Client

	process *process
	as      string
}

func (c *calling) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	return c.process.call(c.name("get", o), func() error { return c.Client.Get(ctx, key, o, opts...) })
}

func (c *calling) List(ctx context.Context, o client.ObjectList, opts ...client.ListOption) error {
	return c.process.call(c.name("list", o), func() error { return c.Client.List(ctx, o, opts...) })
}

func (c *calling) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	return c.process.call(c.name("create", o), func() error {
		err := c.Client.Create(ctx, o, opts...)
		if _, job := o.(*batchv1.Job); job && err == nil {
			c.process.changes++
		}
		return err
	})
}

func (c *calling) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	verb := "patch"
	dry := slices.Contains(opts, client.PatchOption(client.DryRunAll))
	if dry {
		verb = "try to patch"
	}
	return c.process.call(c.name(verb, o), func() error {
		err := c.Client.Patch(ctx, o, p, opts...)
		if err == nil && !dry && c.as == "account" {
			c.process.changes++
		}
		return err
	})
}

func (c *calling) name(verb string, o any) string { return fmt.Sprintf("%s: %s %T", c.as, verb, o) }

func (p *process) Client(ctx context.Context, account string, execution types.UID) (made client.Client, err error) {
	err = p.call("request a token", func() error {
		made, err = p.accounts.Client(ctx, account, execution)
		return err
	})
	return &calling{made, p, "account"}, err
}

func (p *process) Username(account string) string { return p.accounts.Username(account) }
func (p *process) Forget(execution types.UID)     { p.accounts.Forget(execution) }

func (p *process) Record(ctx context.Context, e *audit.Event) error {
	return p.call("record "+e.Type, func() error { return p.store.Record(ctx, e) })
}

func (p *process) RecordWith(ctx context.Context, e *audit.Event, d audit.Durability) error {
	return p.call("record "+e.Type+" "+d.String(), func() error { return p.store.RecordWith(ctx, e, d) })
}

func (p *process) Acquire(ctx context.Context, wfe *v1alpha1.WorkflowExecution) (held bool, err error) {
	err = p.call("acquire the Lease", func() error {
		held, err = p.world.Acquire(ctx, wfe)
		return err
	})
	return held, err
}

func (p *process) Release(ctx context.Context, wfe *v1alpha1.WorkflowExecution) error {
	return p.call("release the Lease", func() error { return p.world.Release(ctx, wfe) })
}

func (p *process) call(name string, f func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return errKilled
	}
	p.calls = append(p.calls, name)
	if len(p.calls) == p.at {
		p.dead = true
		if !p.done {
			return errKilled
		}
	}
	err := f()
	if p.dead {
		return errKilled
	}
	return err
}

// run takes the execution as far as it gets, or until the process dies.
func (p *process) run(wfe *v1alpha1.WorkflowExecution) {
	p.t.Helper()
	service := &calling{p.WithWatch, p, "service"}
	stage := execute.New(execute.Parts{
		Live: service, Writer: service, Accounts: p, Planner: p.planner, Rails: p, Pause: p, Decisions: p, Logs: p,
		Audit: p, Namespace: p.workflows, Clock: clock.RealClock{}, Log: zap.NewNop(),
	})
	for !p.dead {
		fresh := &v1alpha1.WorkflowExecution{}
		if err := service.Get(p.t.Context(), client.ObjectKeyFromObject(wfe), fresh); err != nil {
			p.survived(err)
			continue
		}
		fresh.DeepCopyInto(wfe)
		if fresh.Status.Phase == v1alpha1.ExecutionVerifying || fresh.Status.Reason == "JobCreated" {
			return
		}
		_, err := stage.Advance(p.t.Context(), fresh)
		if err == nil {
			err = p.call("write the status", func() error { return p.Status().Update(p.t.Context(), fresh) })
		}
		if !apierrors.IsConflict(err) {
			p.survived(err)
		}
	}
}

// survived fails the test for an error of a process that lives.
func (p *process) survived(err error) {
	p.t.Helper()
	if !p.dead {
		must(p.t, err)
	}
}

func TestAProcessMayDieBetweenAnyTwoCalls(t *testing.T) {
	for name, workflow := range map[string]func(*world) *v1alpha1.RemediationWorkflow{
		"action": func(w *world) *v1alpha1.RemediationWorkflow { return w.workflow(restart) },
		"job":    func(w *world) *v1alpha1.RemediationWorkflow { return w.jobWorkflow() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, everything)
			kills, changes := 0, 0
			for at, more := 1, true; more; at++ {
				for _, done := range []bool{false, true} {
					wfe := w.approve(workflow(w), w.deployment("shop:1"), "Deployment")
					first := &process{world: w, at: at, done: done}
					first.run(wfe)
					second := &process{world: w}
					second.run(wfe)
					if more = first.dead; more {
						kills++
						t.Logf("%2d %s, effect %t", at, first.calls[at-1], done)
					}
					changes += w.judge(wfe, first, second)
				}
			}
			t.Logf("killed %d times, %d changes", kills, changes)
		})
	}
}

// judge checks what two processes have done together; it returns how often they changed
// the world.
func (w *world) judge(wfe *v1alpha1.WorkflowExecution, first, second *process) int {
	w.t.Helper()
	want := whole
	if wfe.Status.Reason == "JobCreated" {
		want = []string{auditevents.TypeExecutionStarted}
	} else if wfe.Status.Phase != v1alpha1.ExecutionVerifying {
		w.t.Errorf("phase %s: %s", wfe.Status.Phase, wfe.Status.Message)
	}
	changes := first.changes + second.changes
	if got := w.trail(wfe); changes != 1 || !slices.Equal(got, want) {
		w.t.Errorf("%d changes, want 1; trail %v, want %v", changes, got, want)
	}
	return changes
}
