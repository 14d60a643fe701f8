package execute

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

const (
	// maxLog is how much of a Job's log goes into its event, maxLogTail how much into the
	// status of the execution, in bytes.
	maxLog     = 64 << 10
	maxLogTail = 2 << 10
	// logLines bounds what the kubelet is asked for.
	logLines = 5000
)

// PodLogs reads the logs of Jobs from their pods.
type PodLogs struct {
	// Core is the service's own client.
	Core corev1client.CoreV1Interface
	// Redact removes secrets.
	Redact func(string) string
}

// Tail returns the last 64 KiB of the log of a Job's newest pod, without secrets.
func (l *PodLogs) Tail(ctx context.Context, job *batchv1.Job) (string, error) {
	pods, err := l.Core.Pods(job.Namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.ControllerUidLabel + "=" + string(job.UID)})
	if err != nil {
		return "", fmt.Errorf("list the pods of Job %s/%s: %w", job.Namespace, job.Name, err)
	}
	if len(pods.Items) == 0 {
		return "", nil
	}
	pod := slices.MaxFunc(pods.Items, func(a, b corev1.Pod) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	var out strings.Builder
	for _, container := range pod.Spec.Containers {
		text, err := l.container(ctx, &pod, container.Name)
		if err != nil {
			return "", err
		}
		if len(pod.Spec.Containers) > 1 {
			fmt.Fprintf(&out, "[%s]\n", container.Name)
		}
		out.WriteString(text)
	}
	return end(l.Redact(out.String()), maxLog), nil
}

func (l *PodLogs) container(ctx context.Context, pod *corev1.Pod, name string) (string, error) {
	lines := int64(logLines)
	stream, err := l.Core.Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: name, TailLines: &lines}).Stream(ctx)
	if err != nil {
		return "", fmt.Errorf("read the log of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	defer func() { _ = stream.Close() }() // it was read
	// A secret is recognized by what is before it, so more is read than is kept.
	window := make([]byte, 0, 4*maxLog)
	chunk := make([]byte, maxLog)
	for {
		n, err := stream.Read(chunk)
		window = append(window, chunk[:n]...)
		if over := len(window) - 3*maxLog; over > 0 {
			window = append(window[:0], window[over:]...)
		}
		switch {
		case err == io.EOF:
			return string(window), nil
		case err != nil:
			return "", fmt.Errorf("read the log of pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
}

// end is the last part of a text of at most size bytes, from a character's boundary on.
func end(text string, size int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= size {
		return text
	}
	text = text[len(text)-size:]
	for text != "" && !utf8.RuneStart(text[0]) {
		text = text[1:]
	}
	return text
}
