package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/cmd/kubernaut/requests"
	"kubernaut.ai/cmd/kubernaut/stack"
	"kubernaut.ai/cmd/kubernaut/trail"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/pkg/audittrail"
)

// ErrIncomplete means that the trail lacks an event, or holds one twice.
var ErrIncomplete = errors.New("the audit trail is not complete")

// Options of Run.
type Options struct {
	// At is where the stack is.
	At stack.Addresses
	// Out receives the story.
	Out io.Writer
	// Auto approves as stack.AutoUser, without asking.
	Auto bool
	// Ask asks the person who runs the demo a question. Its context ends when nobody has to
	// answer any more. It is required unless Auto is set.
	Ask func(ctx context.Context, question string) (bool, error)
}

// demo is one run.
type demo struct {
	Options

	// cluster acts with the administrator's rights, person with those of an approver.
	cluster client.WithWatch
	person  *requests.Person
	// app is the name of the Deployment.
	app   string
	alert alert
	// parts is the number of parts that the story has so far.
	parts int
}

// Run sends an alert to the stack, and writes what becomes of it until the request has ended. It
// returns ErrIncomplete when the trail has a gap.
func Run(ctx context.Context, o Options) error {
	d := &demo{Options: o}
	if err := d.connect(ctx); err != nil {
		return err
	}
	if err := d.createWorkload(ctx); err != nil {
		return err
	}
	if err := d.copyWorkflow(ctx); err != nil {
		return err
	}
	pod, err := d.awaitPod(ctx, "")
	if err != nil {
		return err
	}
	if err := d.reportCrashing(ctx, pod); err != nil {
		return err
	}

	d.heading("The alert")
	d.alert = alertAbout(pod, time.Now())
	key, err := d.send(ctx)
	if err != nil {
		return err
	}
	request, err := d.awaitRequest(ctx, key, towards, v1alpha1.RemediationAwaitingApproval)
	if err != nil {
		return err
	}
	processing := &v1alpha1.SignalProcessing{}
	if err := d.cluster.Get(ctx, key, processing); err != nil {
		return fmt.Errorf("read the classification of %s: %w", key.Name, err)
	}
	printRequest(d.Out, request, processing)

	d.heading("The proposal, as kubernaut approve shows it")
	execution, err := d.decide(ctx, request)
	if err != nil {
		return err
	}
	expected := remediated
	if execution.Status.Phase == v1alpha1.ExecutionRejected {
		expected = rejected
		err = d.repair(ctx, key, pod)
	} else {
		err = d.watchExecution(ctx, execution, pod)
	}
	if err != nil {
		return err
	}
	return d.tell(ctx, key.Name, expected)
}

// connect connects as the administrator and as the person who decides.
func (d *demo) connect(ctx context.Context) error {
	config, err := d.config("")
	if err != nil {
		return err
	}
	scheme, err := kube.Scheme()
	if err != nil {
		return fmt.Errorf("connect to the control plane: %w", err)
	}
	if d.cluster, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("connect to the control plane: %w", err)
	}
	who := d.At.User
	if d.Auto {
		who = stack.AutoUser
	}
	if config, err = d.config(who); err != nil {
		return err
	}
	if d.person, err = requests.NewPerson(ctx, config, namespace, stack.WorkflowsNamespace); err != nil {
		return fmt.Errorf("connect to the control plane as %s: %w", who, err)
	}
	return nil
}

// config reads a context of the stack's kubeconfig; none stands for the administrator's.
func (d *demo) config(name string) (*rest.Config, error) {
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: d.At.Kubeconfig}, &clientcmd.ConfigOverrides{CurrentContext: name}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", d.At.Kubeconfig, err)
	}
	config.WarningHandlerWithContext = rest.NoWarnings{}
	return config, nil
}

// tell flushes the services, tells the trail, and checks that nothing of it is missing.
func (d *demo) tell(ctx context.Context, request string, expected []string) error {
	reader, err := audittrail.NewReader(audittrail.Options{
		DataStorageURL: d.At.DataStorage,
		ManagementURLs: slices.Sorted(maps.Values(d.At.Management)),
	})
	if err != nil {
		return fmt.Errorf("read the audit trail: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	events, err := reader.Read(ctx, request)
	if err != nil {
		return fmt.Errorf("read the audit trail: %w", err)
	}
	story, _ := audittrail.Story(events)
	d.heading(fmt.Sprintf("The audit trail: %d events, as kubernaut trail tells them", len(story)))
	if err := trail.Tell(events, d.Out); err != nil {
		return err //nolint:wrapcheck // says what
	}
	if missing := gaps(story, expected); len(missing) > 0 {
		return fmt.Errorf("%w: %s", ErrIncomplete, strings.Join(missing, ", "))
	}
	d.sayf("\nThe trail is complete: each service proved by its flush that none of its events is pending, and one query found them all.")
	return nil
}

func (d *demo) sayf(format string, args ...any) { linef(d.Out, format, safe(args)...) }

// heading begins the next part of the story.
func (d *demo) heading(text string) {
	d.parts++
	linef(d.Out, "\n%d. %s", d.parts, text)
}
