package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/internal/kube"
	"kubernaut.ai/pkg/audittrail"
	"kubernaut.ai/pkg/audittrail/podflush"
	"kubernaut.ai/test/testenv"
)

const (
	fieldOwner = "e2e"
	// callTimeout bounds a call of the platform, dialTimeout the connection.
	callTimeout = 30 * time.Second
	dialTimeout = 3 * time.Second
)

// Env is one process's access to the cluster, which all share, with a separate
// namespace.
type Env struct {
	// WithWatch reaches the API server with full access and no rate limit.
	client.WithWatch
	// Evidence is what the current spec has used.
	testenv.Evidence
	// Addresses locate the cluster.
	Addresses

	// Tokens of the suite's service accounts.
	Tokens Tokens

	// Config and Kubernetes are those of the same client.
	Config     *rest.Config
	Kubernetes *kubernetes.Clientset
	// HTTP reuses no connection: the pod at the other end may be gone.
	HTTP *http.Client
	// Flusher flushes every pod of the Gateway and of SignalProcessing.
	Flusher *podflush.Flusher
	// Namespace is the process's own.
	Namespace string

	trusted *x509.CertPool // authorities of the platform's certificates

	suite  string // the suite's own namespace
	trails *audittrail.Reader
}

// Join gives a process its Env; encoded is Shared.Encode's. The caller closes it.
func Join(ctx context.Context, encoded []byte) (*Env, error) {
	var s Shared
	if err := json.Unmarshal(encoded, &s); err != nil {
		return nil, fmt.Errorf("read what the suite shares: %w", err)
	}
	e, err := connect(s.Addresses)
	if err != nil {
		return nil, err
	}
	e.Tokens, e.suite = s.Tokens, s.Namespace
	if e.trails, err = audittrail.NewReader(e.trailOptions(e.DataStorageURL, e.Flusher)); err != nil {
		return nil, fmt.Errorf("read trails: %w", err)
	}
	if e.Namespace, err = e.NewNamespace(ctx); err != nil {
		return nil, err
	}
	return e, nil
}

func connect(a Addresses) (*Env, error) {
	// The logs of libraries would mix with the reports of other processes.
	kube.LogTo(zap.NewNop())
	config, err := kube.Config(nil, a.Kubeconfig, "kubernaut-e2e")
	if err != nil {
		return nil, fmt.Errorf("read kubeconfig: %w", err)
	}
	types, err := kube.Scheme()
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: types, FieldOwner: fieldOwner})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	flusher, err := podflush.New(podflush.Options{Config: config, Workloads: recording})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	authorities, err := os.ReadFile(a.CAFile)
	if err != nil {
		return nil, fmt.Errorf("authority of the platform's certificates: %w", err)
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(authorities) {
		return nil, fmt.Errorf("authority of the platform's certificates: no certificate in %s", a.CAFile)
	}
	e := &Env{WithWatch: c, Addresses: a, Config: config, Kubernetes: set, Flusher: flusher, trusted: trusted}
	e.HTTP = &http.Client{Timeout: callTimeout, Transport: e.transport(true)}
	return e, nil
}

// Reusing is like HTTP, but without a time limit, and reuses connections.
func (e *Env) Reusing() *http.Client { return &http.Client{Transport: e.transport(false)} }

// Close removes the process's namespace.
func (e *Env) Close(ctx context.Context) error { return e.RemoveNamespace(ctx, e.Namespace) }

// NewNamespace makes a namespace with a random name.
func (e *Env) NewNamespace(ctx context.Context) (string, error) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: testenv.Unique("e2e-*"), Labels: map[string]string{testenv.NamespaceLabel: "true"},
	}}
	if err := e.Create(ctx, namespace); err != nil {
		return "", fmt.Errorf("make namespace: %w", err)
	}
	return namespace.Name, nil
}

// RemoveNamespace deletes a namespace. The cluster removes its content after the
// call has returned.
func (e *Env) RemoveNamespace(ctx context.Context, name string) error {
	if err := e.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove namespace %s: %w", name, err)
	}
	return nil
}

// AuditTrail flushes all pods for a correlation id, which it tracks, and then
// queries its events once, oldest first.
func (e *Env) AuditTrail(ctx context.Context, correlationID string) (testenv.Trail, error) {
	return e.Read(ctx, correlationID, e.readTrail)
}

func (e *Env) transport(once bool) *http.Transport {
	return &http.Transport{
		DisableKeepAlives: once,
		DialContext:       (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:   &tls.Config{RootCAs: e.trusted, MinVersion: tls.VersionTLS12},
	}
}

func (e *Env) readTrail(ctx context.Context, correlationID string) (testenv.Trail, error) {
	return readWith(ctx, e.trails, correlationID)
}

func readWith(ctx context.Context, reader *audittrail.Reader, correlationID string) (testenv.Trail, error) {
	events, err := reader.Read(ctx, correlationID)
	if err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	return events, nil
}

// trailOptions are for readers of a DataStorage.
func (e *Env) trailOptions(dataStorageURL string, flushers ...audittrail.Flusher) audittrail.Options {
	return audittrail.Options{
		DataStorageURL: dataStorageURL, Flushers: flushers, HTTP: e.HTTP, Authorize: e.Tokens.Reader.Authorize,
	}
}

var errNoSuchPod = errors.New("no such pod")
