package mustgather

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/mustgather/redact"
)

const (
	// tool and version are the first lines of the archive's version file.
	tool, version = "kubernaut/must-gather", "0.2.0"
	// ours selects the objects of the deployment.
	ours = "app.kubernetes.io/part-of=kubernaut"
	// maxNamespaces bounds the namespaces that are found by their pods.
	maxNamespaces = 50
)

// run is one collection.
type run struct {
	Options

	files *archive
	began time.Time

	config *rest.Config // nil without a cluster
	client kubernetes.Interface
	lists  kubernetes.Interface // likewise, for long lists: it takes less to read them
	http   *http.Client         // for pods, through the API server

	storage *storage // nil if DataStorage does not answer
	tunnels *steps   // what goes through port-forwards, which take long and hold little

	mu       sync.Mutex
	failures []failure
	pods     []corev1.Pod
	// podObjects are the pods as the API server wrote them.
	podObjects []*unstructured.Unstructured
	events     []corev1.Event
	requests   []request
	service    *corev1.Service                         // DataStorage's
	states     map[string]map[string]*dto.MetricFamily // the metrics of pods, by namespace/name
}

// Run collects, and returns the path of the archive. When ctx ends, it archives
// what it has. An error means that there is no archive.
func Run(ctx context.Context, o Options) (archivePath string, err error) {
	if err := o.complete(); err != nil {
		return "", err
	}
	redactor, err := redact.New()
	if err != nil {
		return "", fmt.Errorf("prepare redaction: %w", err)
	}
	redactor.Sensitive = o.ShowSensitive
	files, err := newArchive(o.Dest, redactor)
	if err != nil {
		return "", err
	}
	r := &run{Options: o, files: files, began: time.Now(), states: map[string]map[string]*dto.MetricFamily{}}
	r.Namespaces = slices.Compact(slices.Sorted(slices.Values(o.Namespaces)))
	started := r.began.UTC().Format(time.RFC3339)
	if err := errors.Join(files.write("version", tool+"\n"+version+"\n"), files.draft("timestamp", "start "+started+"\n")); err != nil {
		files.discard()
		return "", err
	}
	r.sayf("collecting into %s", files.dir)
	r.collect(ctx)
	if ctx.Err() != nil {
		r.sayf("interrupted")
		r.missed("all that was under way or to come",
			fmt.Sprintf("interrupted after %s: %v", time.Since(r.began).Round(time.Second), context.Cause(ctx)), "kubernaut must-gather")
	}
	return r.finish(started)
}

// collect runs all steps. A later phase uses what the earlier ones found.
func (r *run) collect(ctx context.Context) {
	connected := r.connect(ctx)
	if connected && len(r.Namespaces) == 0 {
		r.step(ctx, "namespaces", findNamespaces)
	}
	everything, objects := r.begin(ctx), r.begin(ctx)
	r.tunnels = r.begin(ctx)
	if r.ExtraLogs != "" {
		everything.do("logs of other processes", collectExtra)
	}
	var starting sync.WaitGroup
	if connected {
		r.sayf("namespaces: %s", strings.Join(r.Namespaces, " "))
		// Most objects need not wait for the pods to be found.
		starting.Go(func() {
			r.clusterSteps(objects)
			for _, namespace := range r.Namespaces {
				r.namespaceSteps(objects, namespace)
			}
		})
		r.findAll(ctx)
		r.sayf("%d pods: logs, probes and metrics; events and objects", len(r.pods))
		r.tunnels.do("connection to DataStorage", connectStorage)
		r.podSteps(everything)
		everything.do("pods", writePods)
	} else {
		r.tunnels.do("connection to DataStorage", connectStorage)
	}
	starting.Wait()
	objects.wait()
	everything.wait()
	r.tunnels.wait() // steps add to them
	if r.storage != nil {
		defer r.storage.close()
	}
	timelines := r.timelines()
	r.sayf("timelines: %d", len(timelines))
	last := r.begin(ctx)
	last.do("table of audit stores", summarizeStores)
	last.do("state of DataStorage", summarizeStorage)
	for _, t := range timelines {
		last.do("timeline of "+t.id, t.make)
	}
	last.wait()
}

// findAll finds what other steps start from.
func (r *run) findAll(ctx context.Context) {
	found := r.begin(ctx)
	if r.DataStorageURL == "" {
		found.do("DataStorage's Service", findService)
	}
	for _, namespace := range r.Namespaces {
		found.do("pods in "+namespace, func(ctx context.Context, s *step) error { return s.findPods(ctx, namespace) })
	}
	found.wait()
}

// connect checks that the API server answers, so that the steps need not all time out.
func (r *run) connect(ctx context.Context) bool {
	const command = "kubectl get --raw /version"
	err := func() error {
		config, err := r.Options.config()
		if err != nil {
			return err
		}
		if r.client, err = kubernetes.NewForConfig(config); err != nil {
			return fmt.Errorf("find the cluster: %w", err)
		}
		binary := rest.CopyConfig(config)
		binary.ContentType = runtime.ContentTypeProtobuf
		if r.lists, err = kubernetes.NewForConfig(binary); err != nil {
			return fmt.Errorf("find the cluster: %w", err)
		}
		if r.http, err = rest.HTTPClientFor(config); err != nil {
			return fmt.Errorf("find the cluster: %w", err)
		}
		r.config = config
		ctx, cancel := context.WithTimeout(ctx, r.TimeLimit)
		defer cancel()
		err = r.client.CoreV1().RESTClient().Get().AbsPath("/version").Do(ctx).Error()
		if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
			return nil // somebody answers
		}
		return err //nolint:wrapcheck // named with its command
	}()
	if err == nil {
		return true
	}
	if ctx.Err() == nil {
		r.fail("the cluster", by(err, command))
		r.sayf("the cluster does not respond")
	}
	r.config = nil
	return false
}

// findNamespaces adds the namespaces of our pods, and those of workflows, to the usual one. A namespace of
// workflows has no pods while no Job runs.
func findNamespaces(ctx context.Context, s *step) error {
	s.Namespaces = []string{Home}
	list, err := s.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{LabelSelector: ours})
	errs := []error{by(err, "kubectl get pods -A --selector %s", ours)}
	if err == nil {
		for i := range list.Items {
			s.Namespaces = append(s.Namespaces, list.Items[i].Namespace)
		}
	}
	workflows := schema.GroupVersionResource{Group: group, Version: "v1alpha1", Resource: resourceWorkflows}
	errs = append(errs, s.each(ctx, workflows, "", "", func(workflow *unstructured.Unstructured) error {
		s.Namespaces = append(s.Namespaces, workflow.GetNamespace())
		return nil
	}))
	slices.Sort(s.Namespaces)
	s.Namespaces = slices.Compact(s.Namespaces)
	if extra := len(s.Namespaces) - maxNamespaces; extra > 0 {
		s.Namespaces = s.Namespaces[:maxNamespaces]
		errs = append(errs, by(fmt.Errorf("%d more namespaces have pods or workflows of Kubernaut", extra), "kubernaut must-gather --namespace NS"))
	}
	return errors.Join(errs...)
}

// finish writes the summary and the archive.
func (r *run) finish(started string) (string, error) {
	_ = r.files.save("summary.txt", r.summary(started)) // the next write tells
	r.sayf("not collected: %d (see not-collected.txt)", len(r.failures))
	err := errors.Join(
		r.files.save("not-collected.txt", r.notCollected()),
		r.files.write("timestamp", "start "+started+"\nend "+time.Now().UTC().Format(time.RFC3339)+"\n"),
	)
	if err != nil {
		r.files.discard()
		return "", err
	}
	path, err := r.files.pack()
	if err != nil {
		return "", err
	}
	_, _ = fmt.Fprintln(r.Out, path) // a terminal may have gone away
	return path, nil
}
