package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"sigs.k8s.io/yaml"

	"kubernaut.ai/internal/devstack/supervise"
)

// podNetwork is an HTTP CONNECT proxy on a unix socket, through which the API
// server reaches pods. The API server refuses to connect to loopback
// addresses, and nothing but those exist here: the proxy's dialer decides what
// the address of a pod stands for.
type podNetwork struct {
	server *http.Server
	cancel context.CancelFunc // ends the tunnels
	served chan error         // gets what Serve returned
}

// startPodNetwork serves until stop, also after ctx has ended.
func startPodNetwork(ctx context.Context, run *supervise.Dir, dial DialFunc) (*podNetwork, error) {
	socket := run.Join(podNetworkSocket)
	if err := writeEgress(run.Join(egressFile), socket); err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("serve network of pods: %w", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n := &podNetwork{
		server: &http.Server{
			Handler:           connectHandler(dial),
			BaseContext:       func(net.Listener) context.Context { return ctx },
			ReadHeaderTimeout: 10 * time.Second,
		},
		cancel: cancel,
		served: make(chan error, 1),
	}
	go func() { n.served <- n.server.Serve(listener) }()
	return n, nil
}

// stop cuts all connections.
func (n *podNetwork) stop() error {
	n.cancel()
	err := n.server.Close()
	if served := <-n.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("stop network of pods: %w", err)
	}
	return nil
}

// writeEgress writes the API server's EgressSelectorConfiguration: what is
// meant for the cluster (pods, webhooks and extension servers) takes the proxy,
// everything else the direct way.
func writeEgress(path, socket string) error {
	content, err := yaml.Marshal(map[string]any{
		"apiVersion": "apiserver.k8s.io/v1beta1",
		"kind":       "EgressSelectorConfiguration",
		"egressSelections": []map[string]any{{
			"name": "cluster",
			"connection": map[string]any{
				"proxyProtocol": "HTTPConnect",
				"transport":     map[string]any{"uds": map[string]any{"udsName": socket}},
			},
		}},
	})
	if err != nil {
		return fmt.Errorf("encode egress configuration: %w", err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("write egress configuration: %w", err)
	}
	return nil
}

func connectHandler(dial DialFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "connect", http.StatusMethodNotAllowed)
			return
		}
		pod, err := dial(r.Context(), "tcp", r.RequestURI)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer func() { _ = pod.Close() }()
		// A handler that returned would end the request's context, and with it
		// a tunnel's life: it stays until both directions are done.
		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		defer func() { _ = client.Close() }()
		if _, err := io.WriteString(client, "HTTP/1.1 200 Connection Established\r\n\r\n"); err != nil {
			return // the API server has given up
		}
		carry(r.Context(), client, pod)
	})
}

// carry copies both ways until one end closes, or the context ends.
func carry(ctx context.Context, a, b net.Conn) {
	cut := func() {
		_ = a.Close()
		_ = b.Close()
	}
	defer context.AfterFunc(ctx, cut)()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			defer cut()
			_, _ = io.Copy(way[0], way[1]) // how a connection ends is its ends' affair
		})
	}
	both.Wait()
}
