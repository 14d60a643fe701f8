package chaos

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"

	"go.uber.org/zap"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// point is one of the calls of a remediation.
type point struct {
	// name is what the call is, and nth which one of these, from 1.
	name string
	nth  int
}

func (p point) String() string { return fmt.Sprintf("%s (%d)", p.name, p.nth) }

// death is when a process is killed.
type death struct {
	at point
	// answered: the call has its effect, and its answer is lost. Otherwise it never arrives.
	answered bool
}

func (d death) String() string {
	if d.answered {
		return "after " + d.at.String()
	}
	return "before " + d.at.String()
}

// gate is all that a process sees of the API server and of DataStorage. It counts the calls
// of a remediation by name, and kills or stops the process at one of them. Each process has its own.
type gate struct {
	api, storage *httptest.Server
	token        string // the process's own for the API server

	mu      sync.Mutex
	process *process // guarded by mu, as all that follows
	armed   bool
	// over are names of remediations that have ended: calls that name them do not count.
	over   []string
	death  *death
	points []point        // in the order of their calls
	counts map[string]int // of them, by name
	killed bool
	// accepted are the statuses of the writes that the API server accepted.
	accepted int
	stop     *stop
}

// newGate makes a gate. The caller closes it.
func newGate(config *rest.Config, storageURL string) (*gate, error) {
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(config))
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	g := &gate{token: config.BearerToken}
	if g.api, err = g.serve(config.Host, transport, true); err != nil {
		return nil, err
	}
	if g.storage, err = g.serve(storageURL, http.DefaultTransport, false); err != nil {
		g.api.Close()
		return nil, err
	}
	return g, nil
}

func (g *gate) close() {
	for _, s := range []*httptest.Server{g.api, g.storage} {
		s.CloseClientConnections()
		s.Close()
	}
}

// kubeconfig writes a file that leads to the API server through the gate.
func (g *gate) kubeconfig(path string) error {
	const name = "gate"
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.api.Certificate().Raw})
	file := clientcmdapi.NewConfig()
	file.Clusters[name] = &clientcmdapi.Cluster{Server: g.api.URL, CertificateAuthorityData: authority}
	file.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: g.token}
	file.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	file.CurrentContext = name
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

// errCut ends a call whose process was killed.
var errCut = errors.New("the process was killed")

type arrivedKey struct{}

// arrived is a call that has arrived. Its points are none if it is not counted.
type arrived struct {
	call

	points []point
	body   []byte
}

// serve serves what is at an address.
func (g *gate) serve(to string, transport http.RoundTripper, api bool) (*httptest.Server, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, fmt.Errorf("gate to %s: %w", to, err)
	}
	silent := zap.NewStdLog(zap.NewNop()) // killed processes break connections
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport, FlushInterval: -1, ErrorLog: silent,
		ModifyResponse: func(r *http.Response) error {
			if n, ok := r.Request.Context().Value(arrivedKey{}).(*arrived); ok {
				return g.answer(n, r.StatusCode)
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := g.arrive(r, api)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		ctx := r.Context()
		if !n.background {
			// What has arrived has its effect, even if the process is killed meanwhile.
			ctx = context.WithoutCancel(ctx)
		}
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(ctx, arrivedKey{}, n)))
	})
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = silent
	if api {
		server.StartTLS()
	} else {
		server.Start()
	}
	return server, nil
}

// arrive counts a call, and kills the process if it dies before it.
func (g *gate) arrive(r *http.Request, api bool) (*arrived, error) {
	n := &arrived{}
	if !api || r.Method == http.MethodPatch {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, fmt.Errorf("read a call: %w", err)
		}
		n.body, r.Body = body, io.NopCloser(bytes.NewReader(body))
	}
	if n.call = ofAPI(r, g.token); !api {
		n.call = ofStorage(r, n.body)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if n.background || !g.armed || g.ofAnother(n.path) {
		return n, nil
	}
	for _, name := range n.call.points() {
		g.counts[name]++
		n.points = append(n.points, point{name, g.counts[name]})
	}
	g.points = append(g.points, n.points...)
	if g.diesLocked(n, false) {
		return nil, g.killLocked()
	}
	return n, nil
}

func (g *gate) ofAnother(path string) bool {
	for _, name := range g.over {
		if strings.Contains(path, name) {
			return true
		}
	}
	return false
}

// answer sees the answer to a call, and kills the process if it dies after it.
func (g *gate) answer(n *arrived, status int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n.write && status < http.StatusBadRequest {
		g.accepted++
	}
	if g.diesLocked(n, true) {
		return g.killLocked()
	}
	if g.stop == nil {
		return nil
	}
	released, err := g.stop.see(n, status, g.process)
	if err != nil || released == nil {
		return err
	}
	g.mu.Unlock()
	<-released
	g.mu.Lock()
	return nil
}

// diesLocked reports whether the process dies at a call. mu is held.
func (g *gate) diesLocked(n *arrived, answered bool) bool {
	return g.death != nil && g.death.answered == answered && slices.Contains(n.points, g.death.at)
}

// killLocked kills the process. mu is held. Its error ends the call.
func (g *gate) killLocked() error {
	if g.process == nil || g.killed {
		return errCut
	}
	if err := syscall.Kill(g.process.PID(), syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill process: %w", err)
	}
	<-g.process.Done()
	g.killed = true
	return errCut
}

// arm counts the calls from here on, and kills the process at one of them unless d is nil.
func (g *gate) arm(d *death, over []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.armed, g.death, g.over, g.accepted = true, d, over, 0
	g.points, g.counts = nil, map[string]int{}
}

// disarm ends the counting. It returns the points of the calls, and how many writes were accepted.
func (g *gate) disarm() (points []point, accepted int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.armed, g.death = false, nil
	return g.points, g.accepted
}

// died reports whether the process was killed.
func (g *gate) died() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.killed
}
