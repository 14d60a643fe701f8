package podflush

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/flushhttp"
)

// maxAnswerBytes is more than the names of all events that an answer can have.
const maxAnswerBytes = 4 << 20

// post asks one pod to flush.
func (f *Flusher) post(ctx context.Context, pod *corev1.Pod, correlationID string) (audit.Receipt, error) {
	port, err := portOf(pod, f.port)
	if err != nil {
		return audit.Receipt{}, err
	}
	target := f.core.RESTClient().Post().Namespace(pod.Namespace).Resource("pods").
		Name(pod.Name+":"+port).SubResource("proxy").Suffix("audit", "flush")
	if correlationID != "" {
		target.Param(flushhttp.ParameterCorrelationID, correlationID)
	}
	if f.timeout > 0 {
		target.Param(flushhttp.ParameterTimeout, f.timeout.String())
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target.URL().String(), http.NoBody)
	if err != nil {
		return audit.Receipt{}, fmt.Errorf("make request: %w", err)
	}
	response, err := f.http.Do(request)
	if err != nil {
		return audit.Receipt{}, fmt.Errorf("no answer: %w", withoutURL(err))
	}
	defer func() { _ = response.Body.Close() }() // what matters has been read
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	if err != nil {
		return audit.Receipt{}, fmt.Errorf("read answer: %w", err)
	}
	if len(body) > maxAnswerBytes {
		return audit.Receipt{}, fmt.Errorf("the answer has more than %d bytes", maxAnswerBytes)
	}
	if err := refusal(body); err != nil {
		return audit.Receipt{}, err
	}
	return flushhttp.ParseResponse(response.StatusCode, body) //nolint:wrapcheck // the caller names the pod
}

// refusal is the API server's own answer, where it did not pass the request on
// or could not reach the pod.
func refusal(body []byte) error {
	var status metav1.Status
	err := json.Unmarshal(body, &status)
	if err == nil && status.Kind == "Status" && status.APIVersion == metav1.Unversioned.Version {
		return &apierrors.StatusError{ErrStatus: status}
	}
	return nil // it is the pod's
}

// withoutURL leaves out the address: the error names the pod.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// portOf finds the number of a port: the API server takes no names for pods.
func portOf(pod *corev1.Pod, port string) (string, error) {
	if _, err := strconv.Atoi(port); err == nil {
		return port, nil
	}
	// Sidecars are among the init containers.
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range containers {
			for _, p := range containers[i].Ports {
				if p.Name == port {
					return strconv.Itoa(int(p.ContainerPort)), nil
				}
			}
		}
	}
	return "", fmt.Errorf("no port is named %q", port)
}
