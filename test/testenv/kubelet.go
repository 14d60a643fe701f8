package testenv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const portForwardProtocol = "portforward.k8s.io"

// kubelet is as much of a node as port-forwards to fictitious pods take: the API server
// streams to it, and it connects to the processes behind the pods.
type kubelet struct {
	node   string
	server *httptest.Server

	mu    sync.Mutex
	ports map[string]string        // guarded by mu: the address of a process by namespace/pod:port
	logs  map[string]func() []byte // guarded by mu: the log of a process by namespace/pod
}

// theKubelet starts the process's node, once.
func (e *Env) theKubelet(ctx context.Context) (*kubelet, error) {
	e.nodeMu.Lock()
	defer e.nodeMu.Unlock()
	if e.node != nil {
		return e.node, nil
	}
	k := &kubelet{node: "testenv-" + random(), ports: map[string]string{}, logs: map[string]func() []byte{}}
	k.server = httptest.NewTLSServer(k)
	if err := k.register(ctx, e); err != nil {
		k.server.Close()
		return nil, err
	}
	e.node = k
	return k, nil
}

// closeKubelet cuts all port-forwards.
func (e *Env) closeKubelet() {
	e.nodeMu.Lock()
	defer e.nodeMu.Unlock()
	if e.node != nil {
		e.node.server.CloseClientConnections()
		e.node.server.Close()
	}
}

// ServeHTTP serves /portForward/NAMESPACE/POD and /containerLogs/NAMESPACE/POD/CONTAINER.
func (k *kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if container, found := strings.CutPrefix(r.URL.Path, "/containerLogs/"); found {
		k.serveLog(w, r, container)
		return
	}
	pod, found := strings.CutPrefix(r.URL.Path, "/portForward/")
	if !found {
		http.NotFound(w, r)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{portForwardProtocol}); err != nil {
		return // it has answered
	}
	f := &forwarding{kubelet: k, pod: pod, failures: map[string]httpstream.Stream{}}
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, f.accept)
	if conn == nil {
		return // it has answered
	}
	<-conn.CloseChan()
	_ = conn.Close()
	f.streams.Wait()
}

// register tells the API server where the kubelet listens.
func (k *kubelet) register(ctx context.Context, e *Env) error {
	address, ok := k.server.Listener.Addr().(*net.TCPAddr)
	if !ok {
		return fmt.Errorf("node %s listens on %s", k.node, k.server.Listener.Addr())
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.node}}
	if err := e.Create(ctx, node, client.FieldOwner("testenv")); err != nil {
		return fmt.Errorf("make node %s: %w", k.node, err)
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: randomPodIP()}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(address.Port)
	if err := e.Status().Update(ctx, node); err != nil {
		return fmt.Errorf("start node %s: %w", k.node, err)
	}
	return nil
}

// listen makes a port of a pod lead to the process behind a URL.
func (k *kubelet) listen(namespace, pod string, port int, to string) error {
	address, err := url.Parse(to)
	if err != nil {
		return fmt.Errorf("pod %s: %w", pod, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ports[fmt.Sprintf("%s/%s:%d", namespace, pod, port)] = address.Host
	return nil
}

func (k *kubelet) address(pod, port string) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	address, ok := k.ports[pod+":"+port]
	if !ok {
		return "", fmt.Errorf("pod %s does not listen on port %s", pod, port)
	}
	return address, nil
}

// forwarding is one connection of a client, which has two streams for each connection
// that it forwards.
type forwarding struct {
	*kubelet

	pod     string
	streams sync.WaitGroup

	mu       sync.Mutex
	failures map[string]httpstream.Stream // guarded by mu: the streams for errors, by request
}

func (f *forwarding) accept(stream httpstream.Stream, replied <-chan struct{}) error {
	request := stream.Headers().Get("Requestid")
	f.mu.Lock()
	defer f.mu.Unlock()
	switch kind := stream.Headers().Get("Streamtype"); kind {
	case "error":
		f.failures[request] = stream
		return nil
	case "data":
		failures := f.failures[request]
		if failures == nil {
			return errors.New("a stream for errors comes first")
		}
		delete(f.failures, request)
		f.streams.Go(func() {
			<-replied
			f.carry(stream, failures)
		})
		return nil
	default:
		return fmt.Errorf("stream type %q", kind)
	}
}

// carry copies both ways until one end closes.
func (f *forwarding) carry(stream, failures httpstream.Stream) {
	defer func() {
		_ = failures.Close()
		_ = stream.Reset()
	}()
	port := stream.Headers().Get("Port")
	address, err := f.address(f.pod, port)
	if err == nil {
		err = pipe(stream, address)
	}
	if err != nil {
		_, _ = fmt.Fprintf(failures, "port %s: %v", strconv.Quote(port), err) // the client may be gone
	}
}

func pipe(stream httpstream.Stream, address string) error {
	conn, err := net.Dial("tcp", address) //nolint:noctx // ends with the stream
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(conn, stream) // how a connection ends is its ends' affair
		_ = conn.Close()
	})
	both.Go(func() {
		_, _ = io.Copy(stream, conn)
		_ = stream.Close()
		_ = conn.Close()
	})
	both.Wait()
	return nil
}

// ForwardPort makes port-forwards to a port of a pod lead to the process behind a URL. It
// returns the name of the node that the pod has to be on.
func (e *Env) ForwardPort(ctx context.Context, namespace, pod string, port int, to string) (node string, err error) {
	k, err := e.theKubelet(ctx)
	if err != nil {
		return "", err
	}
	return k.node, k.listen(namespace, pod, port, to)
}

// Control makes the control port of a pod lead to a service's control listener, for
// port-forwards.
func (w *Workload) Control(ctx context.Context, pod, controlURL string) error {
	_, err := w.env.ForwardPort(ctx, w.Namespace, pod, controlPort, controlURL)
	return err
}
