package testenv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/pkg/audittrail"
	gateway "kubernaut.ai/services/gateway/app"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
)

// NamespaceLabel marks namespaces that suites made, for people who inspect a cluster.
const NamespaceLabel = "kubernaut.ai/testenv"

// PipelineOptions of a Pipeline. The zero value describes the pipeline that
// every process has.
type PipelineOptions struct {
	// Labels and Annotations of the namespace.
	Labels, Annotations map[string]string
	// DataStorage to record in; nil selects the shared one.
	DataStorage *DataStorage
	// Gateway and SignalProcessing change the options of the services.
	Gateway          func(*gateway.Options)
	SignalProcessing func(*signalprocessing.Options)
	// WorkflowExecution changes the options of the service that remediates. It is started if
	// this is not nil: requests stay classified without it.
	WorkflowExecution func(*workflowexecution.Options)
}

// Pipeline is a Gateway and a SignalProcessing that work in one namespace, the
// DataStorage that they record in, and a WorkflowExecution if it is asked for.
type Pipeline struct {
	// Namespace of the pipeline's requests.
	Namespace string
	// WorkflowsNamespace is that of its workflows; empty without a WorkflowExecution.
	WorkflowsNamespace string
	// PlatformNamespace is that of its WorkflowExecution; empty without one.
	PlatformNamespace string
	// GatewayURL is the address of the Gateway's API.
	GatewayURL string
	// ManagementURLs are those of the services that may have pending events.
	ManagementURLs []string
	// ControlURLs are those of their control listeners, in the same order.
	ControlURLs []string
	// DataStorage is where the services record.
	DataStorage *DataStorage

	trail    *audittrail.Reader
	services []*lifecycle.Running
}

// NewPipeline makes a namespace and starts a Gateway and a SignalProcessing
// for it. The caller stops it.
func (e *Env) NewPipeline(ctx context.Context, o PipelineOptions) (*Pipeline, error) {
	if o.DataStorage == nil {
		o.DataStorage = e.shared
	}
	namespace, err := e.NewNamespace(ctx, o.Labels, o.Annotations)
	if err != nil {
		return nil, err
	}
	p := &Pipeline{Namespace: namespace, DataStorage: o.DataStorage}
	if err := errors.Join(p.startGateway(ctx, e, &o), p.startSignalProcessing(ctx, e, &o), p.startWorkflowExecution(ctx, e, &o)); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	p.trail, err = audittrail.NewReader(audittrail.Options{DataStorageURL: o.DataStorage.URL, ManagementURLs: p.ManagementURLs, ControlURLs: p.ControlURLs})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read trails: %w", err), p.Stop())
	}
	return p, nil
}

// AuditTrail flushes every service of the pipeline for a correlation id and
// then queries its events once. The trail is complete for everything that was
// observed before the call.
func (p *Pipeline) AuditTrail(ctx context.Context, correlationID string) (Trail, error) {
	events, err := p.trail.Read(ctx, correlationID)
	if err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	return events, nil
}

// Stop stops the services. Its error tells which events they could not store.
func (p *Pipeline) Stop() error {
	var errs []error
	for _, s := range slices.Backward(p.services) {
		errs = append(errs, s.Stop())
	}
	p.services = nil
	return errors.Join(errs...)
}

// NewNamespace makes a namespace with a random name. It is not
// removed: a control plane without controllers cannot empty a namespace.
func (e *Env) NewNamespace(ctx context.Context, labels, annotations map[string]string) (string, error) {
	name := "test-" + random()
	marked := map[string]string{NamespaceLabel: "true"}
	maps.Copy(marked, labels)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: marked, Annotations: annotations}}
	if err := e.Create(ctx, namespace, client.FieldOwner("testenv")); err != nil {
		return "", fmt.Errorf("make namespace %s: %w", name, err)
	}
	return name, nil
}

// Unique replaces the asterisk of a name with a random part that no other spec,
// process or run uses.
func Unique(name string) string { return strings.Replace(name, "*", random(), 1) }

// random returns a part of a name that no other spec, process or run uses.
func random() string { return strings.ToLower(rand.Text()[:16]) }

func (p *Pipeline) startGateway(ctx context.Context, e *Env, o *PipelineOptions) error {
	options := gateway.Options{
		DataStorageURL: p.DataStorage.URL, Listen: anyPort, ManagementListen: anyPort, ControlListen: anyPort,
		RESTConfig: e.Config, Namespace: p.Namespace, WatchNamespaces: []string{p.Namespace}, Log: e.log.Named("gateway"),
	}
	if o.Gateway != nil {
		o.Gateway(&options)
	}
	a, err := gateway.New(options)
	if err != nil {
		return fmt.Errorf("start Gateway: %w", err)
	}
	s, err := lifecycle.Start(ctx, "Gateway", a)
	if err != nil {
		return err
	}
	p.services = append(p.services, s)
	p.GatewayURL = a.APIURL()
	p.ManagementURLs = append(p.ManagementURLs, a.ManagementURL())
	p.ControlURLs = append(p.ControlURLs, a.ControlURL())
	return nil
}

func (p *Pipeline) startSignalProcessing(ctx context.Context, e *Env, o *PipelineOptions) error {
	options := signalprocessing.Options{
		DataStorageURL: p.DataStorage.URL, ManagementListen: anyPort, ControlListen: anyPort,
		RESTConfig: e.Config, WatchNamespaces: []string{p.Namespace}, GatewayNamespace: p.Namespace, Log: e.log.Named("signalprocessing"),
		LeaveClassified: o.WorkflowExecution != nil,
	}
	if o.SignalProcessing != nil {
		o.SignalProcessing(&options)
	}
	a, err := signalprocessing.New(options)
	if err != nil {
		return fmt.Errorf("start SignalProcessing: %w", err)
	}
	s, err := lifecycle.Start(ctx, "SignalProcessing", a)
	if err != nil {
		return err
	}
	p.services = append(p.services, s)
	p.ManagementURLs = append(p.ManagementURLs, a.ManagementURL())
	p.ControlURLs = append(p.ControlURLs, a.ControlURL())
	return nil
}

// startWorkflowExecution starts the service with a namespace of workflows of its own.
func (p *Pipeline) startWorkflowExecution(ctx context.Context, e *Env, o *PipelineOptions) error {
	if o.WorkflowExecution == nil {
		return nil
	}
	workflows, err := e.NewNamespace(ctx, nil, nil)
	if err != nil {
		return err
	}
	p.WorkflowsNamespace = workflows
	if err := controlplane.CreateProbe(ctx, e, workflows); err != nil {
		return err
	}
	platform, err := e.NewNamespace(ctx, nil, nil) // has the Leases of executions
	if err != nil {
		return err
	}
	p.PlatformNamespace = platform
	options := workflowexecution.Options{
		DataStorageURL: p.DataStorage.URL, ManagementListen: anyPort, ControlListen: anyPort,
		RESTConfig: e.Config, WatchNamespaces: []string{p.Namespace}, WorkflowsNamespace: workflows,
		PlatformNamespace: platform, Log: e.log.Named("workflowexecution"),
	}
	o.WorkflowExecution(&options)
	a, err := workflowexecution.New(options)
	if err != nil {
		return fmt.Errorf("start WorkflowExecution: %w", err)
	}
	s, err := lifecycle.Start(ctx, "WorkflowExecution", a)
	if err != nil {
		return err
	}
	p.services = append(p.services, s)
	p.ManagementURLs = append(p.ManagementURLs, a.ManagementURL())
	p.ControlURLs = append(p.ControlURLs, a.ControlURL())
	return nil
}
