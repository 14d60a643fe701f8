package cluster

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

const apiPort = 8080

// Forward forwards a local port to a pod's API port, without a Service. It is open
// until closeIt is called.
func (e *Env) Forward(ctx context.Context, namespace, pod string) (url string, closeIt func(), err error) {
	address, closeIt, err := e.ForwardPort(ctx, namespace, pod, apiPort)
	return "https://" + address, closeIt, err
}

// ForwardPort is like Forward, for any port of a pod.
func (e *Env) ForwardPort(ctx context.Context, namespace, pod string, port uint16) (address string, closeIt func(), err error) {
	transport, upgrader, err := spdy.RoundTripperFor(e.Config)
	if err != nil {
		return "", nil, fmt.Errorf("forward to pod %s: %w", pod, err)
	}
	target := e.Kubernetes.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod).SubResource("portforward")
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, target.URL())
	stop, ready := make(chan struct{}), make(chan struct{})
	var stderr strings.Builder // read once the forwarder has ended
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, stop, ready, io.Discard, &stderr)
	if err != nil {
		return "", nil, fmt.Errorf("forward to pod %s: %w", pod, err)
	}
	ended := make(chan error, 1)
	go func() {
		defer close(ended)
		ended <- forwarder.ForwardPorts()
	}()
	select {
	case <-ready:
	case err := <-ended:
		return "", nil, fmt.Errorf("forward to pod %s: %w %s", pod, err, stderr.String())
	case <-ctx.Done():
		close(stop)
		return "", nil, fmt.Errorf("forward to pod %s: %w", pod, context.Cause(ctx))
	}
	closeIt = func() {
		close(stop)
		for range ended { // waits until it has ended
		}
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		closeIt()
		return "", nil, fmt.Errorf("forward to pod %s: %w", pod, err)
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0].Local), closeIt, nil
}
