package cluster

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/pkg/audittrail/podflush"
	"kubernaut.ai/test/testenv"
)

const managementPort = "9090"

// Pods are those of a workload, by name.
func (e *Env) Pods(ctx context.Context, w podflush.Workload) ([]corev1.Pod, error) {
	var pods corev1.PodList
	if err := e.List(ctx, &pods, podsOf(w)...); err != nil {
		return nil, fmt.Errorf("read pods of %s: %w", w, err)
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods.Items, nil
}

// StoreStates reads the state of the audit store of each pod of the Gateway and of
// SignalProcessing, without flushing it.
func (e *Env) StoreStates(ctx context.Context) []testenv.StoreState {
	var all []testenv.StoreState
	for _, w := range recording {
		pods, err := e.Pods(ctx, w)
		if err != nil {
			all = append(all, testenv.StoreState{Service: w.Name, Err: err})
			continue
		}
		for i := range pods {
			all = append(all, e.storeState(ctx, &pods[i]))
		}
	}
	return all
}

func (e *Env) storeState(ctx context.Context, pod *corev1.Pod) testenv.StoreState {
	metrics, err := e.Kubernetes.CoreV1().RESTClient().Get().Namespace(pod.Namespace).Resource("pods").
		Name(pod.Name + ":" + managementPort).SubResource("proxy").Suffix("metrics").DoRaw(ctx)
	if err != nil {
		return testenv.StoreState{Service: pod.Name, Err: fmt.Errorf("%w (it is %s)", err, stateOf(pod))}
	}
	return testenv.ReadStoreState(pod.Name, bytes.NewReader(metrics))
}

// stateOf describes the state of a pod.
func stateOf(pod *corev1.Pod) string {
	switch {
	case pod.DeletionTimestamp != nil:
		return "terminating"
	case unready(pod):
		return fmt.Sprintf("%s, not ready", pod.Status.Phase)
	}
	return "ready"
}

// Scale sets the number of replicas.
func (e *Env) Scale(ctx context.Context, w podflush.Workload, replicas int32) error {
	return e.patch(ctx, w, fmt.Sprintf(`{"spec":{"replicas":%d}}`, replicas))
}

// Restart replaces a workload's pods one after the other, as kubectl rollout
// restart does.
func (e *Env) Restart(ctx context.Context, w podflush.Workload) error {
	return e.patch(ctx, w, fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`,
		time.Now().UTC().Format(time.RFC3339Nano)))
}

func (e *Env) patch(ctx context.Context, w podflush.Workload, text string) error {
	if err := e.Patch(ctx, empty(w), client.RawPatch("application/merge-patch+json", []byte(text))); err != nil {
		return fmt.Errorf("change %s: %w", w, err)
	}
	return nil
}

// DeletePod deletes a pod without grace.
func (e *Env) DeletePod(ctx context.Context, pod *corev1.Pod) error {
	err := e.Delete(ctx, pod, client.GracePeriodSeconds(0), client.Preconditions{UID: &pod.UID})
	if err != nil {
		return fmt.Errorf("delete pod %s: %w", pod.Name, err)
	}
	return nil
}

// Bounds of the log lines shown for a pod: of those that contain an id, and of
// other warnings and errors.
const (
	maxLines    = 40
	maxProblems = 10
)

// Logs are the lines that the platform's pods have logged since a time about
// one of the ids, and their warnings and errors; of containers that were
// restarted since then, too.
func (e *Env) Logs(ctx context.Context, since time.Time, ids []string) string {
	var text strings.Builder
	for _, w := range Workloads {
		pods, err := e.Pods(ctx, w)
		if err != nil {
			_, _ = fmt.Fprintf(&text, "%v\n", err)
		}
		for i := range pods {
			_, _ = fmt.Fprintf(&text, "log of pod %s (%s, %d restarts):\n", pods[i].Name, stateOf(&pods[i]), restarts(&pods[i]))
			if restarts(&pods[i]) > 0 {
				e.log(ctx, &text, &pods[i], true, since, ids)
			}
			e.log(ctx, &text, &pods[i], false, since, ids)
		}
	}
	return text.String()
}

func restarts(pod *corev1.Pod) (n int32) {
	for i := range pod.Status.ContainerStatuses {
		n += pod.Status.ContainerStatuses[i].RestartCount
	}
	return n
}

func (e *Env) log(ctx context.Context, to io.Writer, pod *corev1.Pod, previous bool, since time.Time, ids []string) {
	logs, err := e.Kubernetes.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: pod.Labels[nameLabel], Previous: previous, SinceTime: new(metav1.NewTime(since)),
	}).Stream(ctx)
	if err != nil {
		_, _ = fmt.Fprintf(to, "  %v\n", err)
		return
	}
	defer func() { _ = logs.Close() }()
	lines, left := relevant(logs, ids)
	if left > 0 {
		_, _ = fmt.Fprintf(to, "  (%d earlier lines left out)\n", left)
	}
	for _, line := range lines {
		_, _ = fmt.Fprintf(to, "  %s\n", line)
	}
}

// relevant returns the last lines that contain one of the ids and the last other
// warnings and errors, and counts those that it leaves out.
func relevant(logs io.Reader, ids []string) (lines []string, left int) {
	const longestLine = 1 << 20
	scanner := bufio.NewScanner(logs)
	scanner.Buffer(nil, longestLine)
	about, problems := make([]string, 0, maxLines+maxProblems), make([]string, 0, maxProblems)
	keep := func(in *[]string, line string, most int) {
		if *in = append(*in, line); len(*in) > most {
			*in, left = (*in)[1:], left+1
		}
	}
	for scanner.Scan() {
		line := scanner.Text()
		switch {
		case slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(line, id) }):
			keep(&about, line, maxLines)
		case isProblem(line):
			keep(&problems, line, maxProblems)
		}
	}
	return append(about, problems...), left
}

func isProblem(line string) bool {
	for _, sign := range []string{`"level":"warn"`, `"level":"error"`, `"level":"fatal"`, "WARNING: ", "ERROR: ", "FATAL: ", "PANIC: ", "panic: "} {
		if strings.Contains(line, sign) {
			return true
		}
	}
	return false
}
