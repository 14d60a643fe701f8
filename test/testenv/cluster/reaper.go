package cluster

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"

	"kubernaut.ai/pkg/audittrail/podflush"
	"kubernaut.ai/test/testenv"
)

// Reaper kills processes of pods with SIGKILL. Deleting a pod is not
// enough: its kubelet sends SIGTERM first and waits.
type Reaper struct {
	env *Env
	pod *corev1.Pod
}

// NewReaper starts a reaper in the process's namespace. It runs on the node of
// the database's pod, from that pod's image, which has a shell; so all pods must be
// on one node.
func (e *Env) NewReaper(ctx context.Context) (*Reaper, error) {
	models, err := e.Pods(ctx, PostgreSQL)
	if err != nil {
		return nil, err
	}
	if len(models) == 0 {
		return nil, fmt.Errorf("start a reaper: %s: %w", PostgreSQL, errNoSuchPod)
	}
	model := &models[0]
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: testenv.Unique("reaper-*")},
		Spec: corev1.PodSpec{
			NodeName: model.Spec.NodeName, HostPID: true, RestartPolicy: corev1.RestartPolicyNever,
			AutomountServiceAccountToken: new(false), TerminationGracePeriodSeconds: new(int64(0)),
			Containers: []corev1.Container{{
				Name: "reaper", Image: model.Spec.Containers[0].Image, ImagePullPolicy: corev1.PullNever,
				Command:         []string{"sleep", "infinity"},
				SecurityContext: &corev1.SecurityContext{Privileged: new(true), RunAsUser: new(int64(0))},
			}},
		},
	}
	if err := e.Create(ctx, pod); err != nil {
		return nil, fmt.Errorf("start a reaper: %w", err)
	}
	r := &Reaper{env: e, pod: pod}
	if err := testenv.WaitFor(ctx, e, pod, func(p *corev1.Pod) bool { return !unready(p) }); err != nil {
		return nil, fmt.Errorf("start a reaper: %w", err)
	}
	return r, nil
}

// Kill kills all processes of a pod's service with SIGKILL, and deletes the pod.
// The processes are stopped (SIGSTOP) before the deletion, so that none of them
// reacts to it or runs beside its successor, which starts as soon as the pod is
// deleted. Without the deletion, the kubelet delays the restart exponentially.
func (r *Reaper) Kill(ctx context.Context, w podflush.Workload, pod *corev1.Pod) error {
	// The control group of a process contains the uid of its pod. The script
	// repeats until it finds no further process, as new ones may start meanwhile.
	// It starts no program, because there are many processes.
	script := fmt.Sprintf(`declare -A stopped
more=yes
while [ "$more" ]; do
	more=
	for process in /proc/[0-9]*; do
		pid=${process#/proc/}
		[ ! "${stopped[$pid]}" ] || continue
		{ read -r name <"$process/comm" && [ "$name" = %q ]; } 2>/dev/null || continue
		while read -r group; do
			[[ $group = *pod%s* ]] || continue
			kill -STOP "$pid" && stopped[$pid]=yes && more=yes && echo "$pid"
			break
		done <"$process/cgroup"
	done
done`, comm(w), strings.ReplaceAll(string(pod.UID), "-", "[-_]"))
	found, err := r.run(ctx, "bash", "-c", script)
	if err != nil {
		return fmt.Errorf("stop the processes of pod %s: %w", pod.Name, err)
	}
	processes := strings.Fields(found) // kill is a shell builtin; not every image has the program
	if len(processes) == 0 {
		return fmt.Errorf("stop the processes of pod %s: there are none", pod.Name)
	}
	if err := r.env.DeletePod(ctx, pod); err != nil {
		return err
	}
	// The kubelet may have killed them by now: nothing else ends a stopped process.
	script = fmt.Sprintf(`for pid in %s; do kill -KILL "$pid" || [ ! -e "/proc/$pid" ] || exit 1; done`, strings.Join(processes, " "))
	if _, err := r.run(ctx, "bash", "-c", script); err != nil {
		return fmt.Errorf("kill the processes of pod %s: %w", pod.Name, err)
	}
	return nil
}

// Close removes the reaper.
func (r *Reaper) Close(ctx context.Context) error { return r.env.DeletePod(ctx, r.pod) }

// comm is a program's name as the kernel truncates it.
func comm(w podflush.Workload) string {
	const maxComm = 15
	return w.Name[:min(len(w.Name), maxComm)]
}

func (r *Reaper) run(ctx context.Context, command ...string) (output string, err error) {
	request := r.env.Kubernetes.CoreV1().RESTClient().Post().Namespace(r.pod.Namespace).Resource("pods").Name(r.pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec)
	executor, err := remotecommand.NewSPDYExecutor(r.env.Config, "POST", request.URL())
	if err != nil {
		return "", fmt.Errorf("exec: %w", err)
	}
	var stdout, stderr bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr}); err != nil {
		return "", fmt.Errorf("exec: %w: %s", err, stderr.String())
	}
	return stdout.String(), nil
}
