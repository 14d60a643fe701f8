package demo

import (
	"bytes"
	"context"
	_ "embed" // for alert
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/clientcmd"
	watchtools "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/cmd/kubernaut/stack"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/pkg/audittrail"
)

// alert is a webhook body as an unmodified Alertmanager v0.34.2 sent it.
//
//go:embed alert.json
var alert []byte

// maxAnswer bounds what is read of the Gateway's answer.
const maxAnswer = 1 << 20

// ErrIncomplete means that the trail lacks an event, or holds one twice.
var ErrIncomplete = errors.New("the audit trail is not complete")

// Run sends the alert to the stack and writes what becomes of it. It returns
// ErrIncomplete when the trail has a gap.
func Run(ctx context.Context, at stack.Addresses, out io.Writer) error {
	c, err := kubernetes(at.Kubeconfig)
	if err != nil {
		return err
	}
	if err := createWorkload(ctx, c); err != nil {
		return fmt.Errorf("create the workload that the alert is about: %w", err)
	}
	key, err := send(ctx, at.Gateway, out)
	if err != nil {
		return err
	}
	request, err := awaitDecided(ctx, c, key)
	if err != nil {
		return err
	}
	processing := &v1alpha1.SignalProcessing{}
	if err := c.Get(ctx, key, processing); err != nil {
		return fmt.Errorf("read the classification of %s: %w", key.Name, err)
	}
	printRequest(out, request, processing)

	reader, err := audittrail.NewReader(audittrail.Options{
		DataStorageURL: at.DataStorage,
		ManagementURLs: slices.Sorted(maps.Values(at.Management)),
	})
	if err != nil {
		return fmt.Errorf("read the audit trail: %w", err)
	}
	events, err := reader.Read(ctx, request.Name)
	if err != nil {
		return fmt.Errorf("read the audit trail: %w", err)
	}
	printTrail(out, request.Name, events)
	if missing := gaps(storyOf(events)); len(missing) > 0 {
		return fmt.Errorf("%w: %s", ErrIncomplete, strings.Join(missing, ", "))
	}
	linef(out, "\nThe trail is complete: each service proved by its flush that none of its events is pending, and one query found them all.")
	return nil
}

func kubernetes(kubeconfig string) (client.WithWatch, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	scheme, err := kube.Scheme()
	if err != nil {
		return nil, fmt.Errorf("connect to the control plane: %w", err)
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to the control plane: %w", err)
	}
	return c, nil
}

// send posts the alert and returns the request that the Gateway made of it.
func send(ctx context.Context, gateway string, out io.Writer) (types.NamespacedName, error) {
	address := gateway + "/api/v1/signals/prometheus"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(alert))
	if err != nil {
		return types.NamespacedName{}, fmt.Errorf("send the alert to %s: %w", address, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return types.NamespacedName{}, fmt.Errorf("send the alert: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return types.NamespacedName{}, fmt.Errorf("read the Gateway's answer: %w", err)
	}
	var answer struct {
		Status    string `json:"status"`
		Name      string `json:"remediationRequestName"`
		Namespace string `json:"remediationRequestNamespace"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Name == "" {
		return types.NamespacedName{}, fmt.Errorf("the Gateway answered %s: %s", resp.Status, strings.TrimSpace(string(body)))
	}
	linef(out, "POST %s\n  alert KubePodCrashLooping, pod %s/%s, as Alertmanager sends it\n  %s: %s", address, namespace, pod, resp.Status, answer.Status)
	return types.NamespacedName{Namespace: answer.Namespace, Name: answer.Name}, nil
}

// awaitDecided watches the request until it is classified and a workflow was looked for.
func awaitDecided(ctx context.Context, c client.WithWatch, key types.NamespacedName) (*v1alpha1.RemediationRequest, error) {
	list := &v1alpha1.RemediationRequestList{}
	byName := &client.ListOptions{Namespace: key.Namespace, FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, key.Name)}
	if err := c.List(ctx, list, byName); err != nil {
		return nil, fmt.Errorf("list request %s: %w", key, err)
	}
	for i := range list.Items {
		if decided(&list.Items[i]) {
			return &list.Items[i], nil
		}
	}
	event, err := watchtools.Until(ctx, list.ResourceVersion, watcher{c, byName}, func(e watch.Event) (bool, error) {
		request, ok := e.Object.(*v1alpha1.RemediationRequest)
		return ok && decided(request), nil
	})
	if err != nil {
		return nil, fmt.Errorf("wait until a workflow is looked for, for %s: %w", key, err)
	}
	request, ok := event.Object.(*v1alpha1.RemediationRequest)
	if !ok {
		return nil, fmt.Errorf("wait until a workflow is looked for, for %s: the watch brought a %T", key, event.Object)
	}
	return request, nil
}

func decided(r *v1alpha1.RemediationRequest) bool {
	switch r.Status.Phase {
	case "", v1alpha1.RemediationPending, v1alpha1.RemediationProcessing, v1alpha1.RemediationClassified:
		return false
	case v1alpha1.RemediationAwaitingApproval, v1alpha1.RemediationApproved, v1alpha1.RemediationExecuting,
		v1alpha1.RemediationVerifying, v1alpha1.RemediationManualReview, v1alpha1.RemediationCompleted, v1alpha1.RemediationSkipped:
	}
	return true
}

// watcher watches what a list showed.
type watcher struct {
	client client.WithWatch
	list   *client.ListOptions
}

func (w watcher) Watch(options metav1.ListOptions) (watch.Interface, error) {
	return w.WatchWithContext(context.Background(), options)
}

func (w watcher) WatchWithContext(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
	o := *w.list
	o.Raw = &options
	stream, err := w.client.Watch(ctx, &v1alpha1.RemediationRequestList{}, &o)
	if err != nil {
		return nil, fmt.Errorf("watch requests: %w", err)
	}
	return stream, nil
}
