package mustgather

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// forward makes a port of a pod reachable at an address of the loopback
// interface, until stop is called or ctx ends.
func (r *run) forward(ctx context.Context, namespace, pod string, port int32) (address string, stop func(), err error) {
	url := r.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(r.config)
	if err != nil {
		return "", nil, fmt.Errorf("forward a port: %w", err)
	}
	over := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	tunnel, err := portforward.NewSPDYOverWebsocketDialer(url, r.config)
	if err != nil {
		return "", nil, fmt.Errorf("forward a port: %w", err)
	}
	dialer := portforward.NewFallbackDialer(tunnel, over, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	ended, ready := make(chan struct{}), make(chan struct{})
	var problems strings.Builder
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf(":%d", port)}, ended, ready, io.Discard, &problems)
	if err != nil {
		return "", nil, fmt.Errorf("forward a port: %w", err)
	}
	failed := make(chan error, 1)
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		return "", nil, fmt.Errorf("forward port %d of pod %s: %w", port, pod, err)
	case <-ctx.Done():
		close(ended)
		return "", nil, fmt.Errorf("forward port %d of pod %s: %w", port, pod, ctx.Err())
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		close(ended)
		return "", nil, fmt.Errorf("forward port %d of pod %s: %w", port, pod, err)
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0].Local), func() {
		close(ended)
		<-failed //nolint:errcheck // it was ended on purpose
	}, nil
}
