package controlplane

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"kubernaut.ai/internal/devstack/supervise"
)

// answer is the proxy's, to a CONNECT.
type answer struct {
	code int
	text string
}

// network starts a network of pods and returns a function that connects
// through it as the API server does.
func network(t *testing.T, dial DialFunc) (*podNetwork, func(address string) (net.Conn, answer)) {
	t.Helper()
	dir, err := supervise.Temporary(t.Context(), "network-test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	n, err := startPodNetwork(t.Context(), dir, dial)
	if err != nil {
		t.Fatal(err)
	}
	configuration, err := os.ReadFile(dir.Join(egressFile))
	if err != nil || !strings.Contains(string(configuration), dir.Join(podNetworkSocket)) {
		t.Errorf("configuration %s, error %v", configuration, err)
	}
	return n, func(address string) (net.Conn, answer) {
		t.Helper()
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "unix", dir.Join(podNetworkSocket))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", address); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode == http.StatusOK {
			return conn, answer{code: response.StatusCode} // what follows is the tunnel's
		}
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return conn, answer{response.StatusCode, string(text)}
	}
}

func TestPodNetworkCarriesBothWaysUntilItStops(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 1)
	n, connect := network(t, func(_ context.Context, _, address string) (net.Conn, error) {
		asked <- address
		near, far := net.Pipe()
		go func() { _, _ = io.Copy(far, far) }() // an echo
		return near, nil
	})
	conn, got := connect("10.128.0.7:9090")
	if got.code != http.StatusOK {
		t.Fatalf("answered %+v", got)
	}
	if address := <-asked; address != "10.128.0.7:9090" {
		t.Errorf("connected to %s", address)
	}
	if _, err := conn.Write([]byte("echo")); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 4)
	if _, err := io.ReadFull(conn, text); err != nil || string(text) != "echo" {
		t.Errorf("read %q, %v", text, err)
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
	if _, err := conn.Read(text); !errors.Is(err, io.EOF) {
		t.Errorf("read %v after the network stopped", err)
	}
}

func TestPodNetworkTellsThatAPodCannotBeReached(t *testing.T) {
	t.Parallel()
	n, connect := network(t, func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no such pod")
	})
	if _, got := connect("10.128.0.7:9090"); got.code != http.StatusBadGateway || !strings.Contains(got.text, "no such pod") {
		t.Errorf("answered %+v", got)
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}
