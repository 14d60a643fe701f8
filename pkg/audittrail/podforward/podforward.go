// Package podforward reaches a port on a pod's loopback interface through the API server, as kubectl port-forward does:
// RBAC on pods/portforward admits the caller.
package podforward

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// Forward is a local port that leads to a pod. Close it.
type Forward struct {
	// URL of the local port, as in http://127.0.0.1:40123.
	URL string

	stop  chan struct{}
	ended chan error
	once  sync.Once
}

// Open forwards a free port of this machine's loopback interface to a port of a pod.
func Open(ctx context.Context, config *rest.Config, namespace, pod string, port int) (*Forward, error) {
	f, err := open(ctx, config, namespace, pod, port)
	if err != nil {
		return nil, fmt.Errorf("port-forward to pod %s/%s: %w", namespace, pod, err)
	}
	return f, nil
}

func open(ctx context.Context, config *rest.Config, namespace, pod string, port int) (*Forward, error) {
	dialer, err := dialerTo(config, namespace, pod)
	if err != nil {
		return nil, err
	}
	f := &Forward{stop: make(chan struct{}), ended: make(chan error, 1)}
	ready := make(chan struct{})
	var stderr strings.Builder // read once the forwarder has ended
	forwarder, err := portforward.NewOnAddressesForStreaming(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, f.stop, ready, io.Discard, &stderr)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the pod
	}
	go func() {
		defer close(f.ended)
		f.ended <- forwarder.ForwardPorts()
	}()
	select {
	case <-ready:
	case err := <-f.ended:
		return nil, fmt.Errorf("%w%s", err, stderr.String())
	case <-ctx.Done():
		f.Close()
		return nil, context.Cause(ctx) //nolint:wrapcheck // the caller names the pod
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		f.Close()
		return nil, err //nolint:wrapcheck // the caller names the pod
	}
	f.URL = fmt.Sprintf("http://127.0.0.1:%d", ports[0].Local)
	return f, nil
}

// Close ends the forwarding, and waits for that.
func (f *Forward) Close() {
	f.once.Do(func() { close(f.stop) })
	for range f.ended { // closed by the forwarder
	}
}

// dialerTo uses WebSockets, and SPDY with an API server that does not know them.
func dialerTo(config *rest.Config, namespace, pod string) (httpstream.Dialer, error) {
	config = rest.CopyConfig(config)
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.APIPath = "/api"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the pod
	}
	target := client.Post().Namespace(namespace).Resource("pods").Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the pod
	}
	old := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, target)
	websockets, err := portforward.NewSPDYOverWebsocketDialerForStreaming(target, config)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the pod
	}
	return portforward.NewFallbackDialerForStreaming(websockets, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}
