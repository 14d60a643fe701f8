package chaos

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/devstack/supervise"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	"kubernaut.ai/test/testenv"
)

// The kinds of workflows.
const (
	kindAction = "action"
	kindJob    = "job"
	account    = "worker"
)

// maxExecutions is more than all executions of a run.
const maxExecutions = "1000000"

// lane is a namespace with a Gateway and a SignalProcessing, and the processes of a
// WorkflowExecution, one after the other.
type lane struct {
	*remediations

	number              int
	pipeline            *testenv.Pipeline
	workflows, platform string
	dir                 *supervise.Dir
	current             *running
	started             int
	endPods             context.CancelFunc
	// over are names of remediations that have ended.
	over []string
}

// running is a process behind its gate.
type running struct {
	*process

	gate  *gate
	ready <-chan addresses
	at    *addresses
}

// newLane makes the namespaces and workflows, and starts the first process. The caller closes it.
func (s *remediations) newLane(ctx context.Context, number int) (l *lane, err error) {
	l = &lane{remediations: s, number: number}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close(context.WithoutCancel(ctx)))
		}
	}()
	if l.dir, err = supervise.Temporary(ctx, "kill"); err != nil {
		return l, fmt.Errorf("make directory: %w", err)
	}
	if l.pipeline, err = s.Env.NewPipeline(ctx, testenv.PipelineOptions{
		Labels:           map[string]string{v1alpha1.LabelRemediation: v1alpha1.RemediationAuto, "kubernaut.ai/environment": "test"},
		SignalProcessing: func(o *signalprocessing.Options) { o.LeaveClassified = true },
	}); err != nil {
		return l, fmt.Errorf("prepare: %w", err)
	}
	for _, name := range []*string{&l.workflows, &l.platform} {
		if *name, err = s.Env.NewNamespace(ctx, nil, nil); err != nil {
			return l, fmt.Errorf("prepare: %w", err)
		}
	}
	if err := controlplane.CreateProbe(ctx, s.Env, l.workflows); err != nil {
		return l, err
	}
	if err := l.start(nil); err != nil {
		return l, err
	}
	var playing context.Context
	playing, l.endPods = context.WithCancel(ctx)
	go func() {
		if err := l.runPods(playing); err != nil {
			s.abort(err)
		}
	}()
	return l, l.createWorkflows(ctx)
}

// close ends the process without a flush.
func (l *lane) close(ctx context.Context) error {
	var errs []error
	if l.endPods != nil {
		l.endPods()
	}
	if l.current != nil {
		if !closed(l.current.Done()) {
			errs = append(errs, l.current.finish(ctx))
		}
		l.current.gate.close()
	}
	if l.pipeline != nil {
		errs = append(errs, l.pipeline.Stop())
	}
	if l.dir != nil {
		errs = append(errs, l.dir.Close())
	}
	return errors.Join(errs...)
}

// start starts a process that dies at a call, or lives if d is nil. It does not wait for readiness.
//
// There is no leader election: each of two processes believes that it leads, which is what a
// Lease cannot exclude.
func (l *lane) start(d *death) error {
	g, err := newGate(l.Env.Config, l.Env.DataStorage.URL)
	if err != nil {
		return err
	}
	l.started++
	name := strconv.Itoa(l.started)
	config := l.dir.Join("kubeconfig-" + name)
	if err := g.kubeconfig(config); err != nil {
		g.close()
		return err
	}
	spool := l.dir.Join("spool")
	if l.current != nil && !closed(l.current.Done()) {
		spool += "-" + name // the other process has it
	}
	p := &processes{Options: l.Options, name: "workflowexecution", dir: l.dir, args: []string{
		"serve", "--datastorage-url", g.storage.URL, "--kubeconfig", config, "--management-listen", "127.0.0.1:0",
		"--leader-elect=false", "--audit-spool", spool, "--mode", "auto",
		"--watch-namespace", l.pipeline.Namespace, "--workflows-namespace", l.workflows, "--platform-namespace", l.platform,
		"--max-executions-per-namespace", maxExecutions, "--max-executions-per-cluster", maxExecutions,
	}}
	if l.current != nil {
		g.arm(d, l.over)
	}
	g.mu.Lock() // nothing passes before the process is known
	defer g.mu.Unlock()
	started, ready, err := p.serve(syscall.SIGTERM)
	if err != nil {
		return err
	}
	g.process = started
	l.current = &running{process: started, gate: g, ready: ready}
	return nil
}

// await waits until the process is ready.
func (p *running) await(ctx context.Context) error {
	if p.at != nil {
		return nil
	}
	at, err := awaitReady(ctx, p.process, p.ready)
	if err == nil {
		p.at = &at
	}
	return err
}

// createWorkflows makes a workflow of each kind, with the rights that it needs, and waits until
// the service has found both valid.
func (l *lane) createWorkflows(ctx context.Context) error {
	name := testenv.Unique("torture-*")
	objects := []client.Object{
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: l.workflows, Name: account}},
		&rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Namespace: l.pipeline.Namespace, Name: name},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{appsv1.GroupName}, Resources: []string{"deployments"}, Verbs: []string{"get", "patch"}}},
		},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: l.pipeline.Namespace, Name: name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: l.workflows, Name: account}},
		},
	}
	made := []*v1alpha1.RemediationWorkflow{l.workflow(kindAction), l.workflow(kindJob)}
	for _, o := range append(objects, made[0], made[1]) {
		if err := l.Env.Create(ctx, o, client.FieldOwner("testenv")); err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
	}
	for _, wf := range made {
		valid := ""
		if err := testenv.WaitFor(ctx, l.Env, wf, func(wf *v1alpha1.RemediationWorkflow) bool {
			c := meta.FindStatusCondition(wf.Status.Conditions, v1alpha1.ConditionValid)
			if c != nil && c.Status != metav1.ConditionTrue {
				valid = c.Message
			}
			return c != nil
		}); err != nil {
			return fmt.Errorf("prepare: %w%s", err, l.current.LastLines())
		}
		if valid != "" {
			return fmt.Errorf("prepare: workflow %s is not valid: %s", wf.Name, valid)
		}
	}
	return nil
}

// signalOf is the signal that the workflow of a kind applies to.
func signalOf(kind string) string { return "Torture" + strings.ToUpper(kind[:1]) + kind[1:] }

// workflow restarts a Deployment, or runs a Job.
func (l *lane) workflow(kind string) *v1alpha1.RemediationWorkflow {
	wf := &v1alpha1.RemediationWorkflow{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.workflows, Name: kind},
		Spec: v1alpha1.RemediationWorkflowSpec{
			Description: "Changes a Deployment.", ServiceAccountName: account, Risk: v1alpha1.RiskLow,
			AppliesTo: v1alpha1.AppliesTo{
				Signals: []string{signalOf(kind)}, Kinds: []v1alpha1.WorkflowKind{{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "Deployment"}},
			},
			Timeout: metav1.Duration{Duration: executionTimeout}, CoolDown: metav1.Duration{Duration: executionTimeout},
			Verification: v1alpha1.WorkflowVerification{Condition: "target.metadata.name == before.metadata.name"},
		},
	}
	if kind == kindAction {
		wf.Spec.Action = &v1alpha1.WorkflowAction{Restart: &v1alpha1.RestartAction{}}
		return wf
	}
	seccomp := &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	wf.Spec.Job = &v1alpha1.WorkflowJob{RepeatIsHarmless: "each run only writes a line to its log", Template: batchv1.JobTemplateSpec{
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: seccomp},
			Containers: []corev1.Container{{
				Name: "work", Image: "localhost/work:1",
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("16Mi")},
				},
			}},
		}}},
	}}
	return wf
}
