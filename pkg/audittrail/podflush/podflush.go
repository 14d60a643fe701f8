package podflush

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	appsv1 "k8s.io/client-go/kubernetes/typed/apps/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/control"
	"kubernaut.ai/pkg/audit/flushhttp"
	"kubernaut.ai/pkg/audittrail"
)

const (
	defaultPort        = "management"
	defaultConcurrency = 16
)

// Options of a Flusher.
type Options struct {
	// Config reaches the API server; required.
	Config *rest.Config
	// Workloads to flush; at least one.
	Workloads []Workload
	// Port is the name or the number of the pods' management port;
	// "management" if it is empty.
	Port string
	// Timeout bounds the flush of each pod, at most 5 minutes; the pod's own
	// default, 30 s, if it is 0. A pod that still has pending events by then
	// responds with their number, which is unknown if the context ends earlier.
	Timeout time.Duration
	// Concurrency bounds the requests in flight; 16 if it is 0.
	Concurrency int
	// ControlPort is the number of the pods' control listener, 9093 if it is 0. A
	// flush that fails reads from it, by port-forward, which events are concerned.
	ControlPort int
}

// Flusher flushes all pods of workloads. It is safe for concurrent use.
type Flusher struct {
	apps      appsv1.AppsV1Interface
	core      corev1.CoreV1Interface
	http      *http.Client
	workloads []Workload
	port      string
	timeout   time.Duration
	inFlight  *semaphore.Weighted // the requests in flight

	config      *rest.Config // for port-forwards
	controlPort int
}

var _ audittrail.Flusher = (*Flusher)(nil)

// PodReceipt is the receipt of one pod.
type PodReceipt struct {
	audit.Receipt

	Namespace, Pod string
	UID            types.UID
}

// New makes a flusher, or returns an error for unusable options. It makes no request.
func New(o Options) (*Flusher, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("pod flusher: %w", err)
	}
	config := rest.CopyConfig(o.Config)
	config.UserAgent = "kubernaut-podflush"
	config.WarningHandlerWithContext = rest.NoWarnings{}
	if config.QPS == 0 {
		config.QPS = -1 // the API server's priority and fairness limits clients better than they can
	}
	shared, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("pod flusher: %w", err)
	}
	client := *shared
	// A pod must not send the caller's credentials elsewhere.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	apps, appsErr := appsv1.NewForConfigAndClient(config, &client)
	core, coreErr := corev1.NewForConfigAndClient(config, &client)
	if err := errors.Join(appsErr, coreErr); err != nil {
		return nil, fmt.Errorf("pod flusher: %w", err)
	}
	return &Flusher{
		apps: apps, core: core, http: &client, workloads: slices.Clone(o.Workloads),
		port: o.Port, timeout: o.Timeout, inFlight: semaphore.NewWeighted(int64(o.Concurrency)),
		config: config, controlPort: o.ControlPort,
	}, nil
}

// complete sets defaults and rejects unusable options.
func (o *Options) complete() error {
	if o.Config == nil {
		return errors.New("the configuration of the API server's client is missing")
	}
	if err := validateWorkloads(o.Workloads); err != nil {
		return err
	}
	if o.Port == "" {
		o.Port = defaultPort
	}
	if err := validatePort(o.Port); err != nil {
		return fmt.Errorf("port %q: %w", o.Port, err)
	}
	if o.Timeout < 0 || o.Timeout > flushhttp.MaxTimeout {
		return fmt.Errorf("timeout %v: must be at most %v, and not negative", o.Timeout, flushhttp.MaxTimeout)
	}
	if o.Concurrency < 0 {
		return fmt.Errorf("concurrency %d: must not be negative", o.Concurrency)
	}
	if o.Concurrency == 0 {
		o.Concurrency = defaultConcurrency
	}
	if o.ControlPort == 0 {
		o.ControlPort = control.DefaultPort
	}
	if problems := validation.IsValidPortNum(o.ControlPort); len(problems) > 0 {
		return fmt.Errorf("control port %d: %s", o.ControlPort, strings.Join(problems, "; "))
	}
	return nil
}

func validatePort(port string) error {
	problems := validation.IsValidPortName(port)
	if number, err := strconv.Atoi(port); err == nil {
		problems = validation.IsValidPortNum(number)
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	return nil
}

// FlushPods waits until every workload is stable and flushes all of its pods,
// and looks for volumes of replicas that no longer exist, for one correlation id, or for everything if that is empty. A nil error
// proves that every event that any of the workloads' pods had accepted before
// the call is stored, and visible to a query at the receipts' consistency
// tokens. The context bounds all of it.
//
// The error is an *Error that names every workload and pod that failed; the
// receipts are then those of the pods that did not.
func (f *Flusher) FlushPods(ctx context.Context, correlationID string) ([]PodReceipt, error) {
	receipts := make([][]PodReceipt, len(f.workloads))
	failures := make([][]error, len(f.workloads))
	var all sync.WaitGroup
	for i, w := range f.workloads {
		all.Go(func() { receipts[i], failures[i] = f.flushWorkload(ctx, w, correlationID) })
	}
	all.Wait()
	if failed := slices.Concat(failures...); len(failed) > 0 {
		return slices.Concat(receipts...), &Error{Failures: failed}
	}
	return slices.Concat(receipts...), nil
}

// Flush is FlushPods for an audittrail.Reader.
func (f *Flusher) Flush(ctx context.Context, correlationID string) ([]audit.Receipt, error) {
	pods, err := f.FlushPods(ctx, correlationID)
	receipts := make([]audit.Receipt, 0, len(pods))
	for i := range pods {
		receipts = append(receipts, pods[i].Receipt)
	}
	return receipts, err
}

func (f *Flusher) flushWorkload(ctx context.Context, w Workload, correlationID string) ([]PodReceipt, []error) {
	asked, err := f.awaitStable(ctx, w)
	if err != nil {
		return nil, []error{err}
	}
	receipts, failures := f.flushEach(ctx, w, asked, correlationID)
	if err := f.noUnusedVolumes(ctx, w, &asked.workload); err != nil {
		failures = append(failures, err)
	}
	if err := f.unchanged(ctx, w, asked); err != nil {
		failures = append(failures, err)
	}
	return receipts, failures
}

func (f *Flusher) flushEach(ctx context.Context, w Workload, asked *view, correlationID string) ([]PodReceipt, []error) {
	names := asked.names()
	answers := make([]audit.Receipt, len(names))
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			if err := f.inFlight.Acquire(ctx, 1); err != nil {
				errs[i] = fmt.Errorf("not asked yet: %w", err)
				return
			}
			defer f.inFlight.Release(1)
			answers[i], errs[i] = flushhttp.AwaitTurn(ctx, func() (audit.Receipt, error) { return f.post(ctx, asked.pods[name], correlationID) })
			errs[i] = f.withNames(ctx, w.Namespace, name, correlationID, errs[i])
		})
	}
	all.Wait()
	var receipts []PodReceipt
	var failures []error
	for i, name := range names {
		if errs[i] != nil {
			failures = append(failures, &PodError{Workload: w, Pod: name, Err: errs[i]})
			continue
		}
		receipts = append(receipts, PodReceipt{Receipt: answers[i], Namespace: w.Namespace, Pod: name, UID: asked.pods[name].UID})
	}
	return receipts, failures
}
