package testenv

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/httpserver/tlsfiles"
	"kubernaut.ai/internal/lifecycle"
	datastorage "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/auditdb"
)

const (
	// externalName is the name of this machine in the network of pods.
	externalName = "localhost"
	// peopleNamespace has the Service of the aggregated API, and the permissions of
	// the machines that call its DataStorage.
	peopleNamespace = "kubernaut-people"
	peopleService   = "datastorage"

	apiServicePoll = 20 * time.Millisecond
)

// People is how people call the shared DataStorage: through the API server, which
// forwards their requests to a second DataStorage with the same database.
type People struct {
	// Grace is the user of the API server's --token-auth-file.
	Grace controlplane.User
	// Authorities sign the certificates of users, and of the front proxy.
	Authorities controlplane.Authorities
	// URL of that DataStorage's API, with TLS and --auth kubernetes. Its callers need
	// their permissions in Namespace.
	URL, Namespace string
	// ManagementURL of probes, metrics and flush.
	ManagementURL string
	// AggregatedURL is where the API server forwards requests to.
	AggregatedURL string
}

// peopleAddresses is the part of a People that other processes need.
type peopleAddresses struct {
	Grace         controlplane.User `json:"grace"`
	Authorities   string            `json:"authorities"`
	URL           string            `json:"url"`
	ManagementURL string            `json:"management_url"`
	AggregatedURL string            `json:"aggregated_url"`
}

func (a peopleAddresses) people() People {
	return People{
		Grace: a.Grace, Authorities: controlplane.OpenAuthorities(a.Authorities), URL: a.URL, Namespace: peopleNamespace,
		ManagementURL: a.ManagementURL, AggregatedURL: a.AggregatedURL,
	}
}

// newGrace makes a user with a token.
func newGrace() controlplane.User {
	return controlplane.User{Name: "grace@example.org", UID: "grace-1", Groups: []string{"auditors"}, Token: rand.Text()}
}

// ServerFiles makes the files of a server's certificate in a folder. Its names are
// those of this machine, and of the Service of the aggregated API.
func (p *People) ServerFiles(dir string) (tlsfiles.Flags, error) {
	made, err := p.Authorities.Server(peopleService+"."+peopleNamespace+".svc", externalName)
	if err != nil {
		return tlsfiles.Flags{}, fmt.Errorf("make certificate of a server: %w", err)
	}
	files := tlsfiles.Flags{Cert: filepath.Join(dir, "server.crt"), Key: filepath.Join(dir, "server.key")}
	if err := errors.Join(os.WriteFile(files.Cert, made.Cert, 0o600), os.WriteFile(files.Key, made.Key, 0o600)); err != nil {
		return tlsfiles.Flags{}, fmt.Errorf("store certificate of a server: %w", err)
	}
	return files, nil
}

// HTTP is a client of servers with ServerFiles, which shows a certificate if one is given.
func (p *People) HTTP(shown ...controlplane.Certificate) (*http.Client, error) {
	bundle, err := p.Authorities.ServerBundle()
	if err != nil {
		return nil, fmt.Errorf("trust servers: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}
	for _, one := range shown {
		pair, err := tls.X509KeyPair(one.Cert, one.Key)
		if err != nil {
			return nil, fmt.Errorf("show a certificate: %w", err)
		}
		config.Certificates = append(config.Certificates, pair)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}, nil
}

// WithCertificate is a configuration of a client of the API server that shows a
// user's certificate.
func (p *People) WithCertificate(server *rest.Config, user string, groups ...string) (*rest.Config, error) {
	made, err := p.Authorities.Client(user, groups...)
	if err != nil {
		return nil, fmt.Errorf("make certificate of %s: %w", user, err)
	}
	config := rest.AnonymousClientConfig(server)
	config.CertData, config.KeyData = made.Cert, made.Key
	return config, nil
}

func (p *People) addresses() peopleAddresses {
	return peopleAddresses{Grace: p.Grace, Authorities: p.Authorities.Dir(), URL: p.URL, ManagementURL: p.ManagementURL, AggregatedURL: p.AggregatedURL}
}

// WithToken is a configuration of a client of the API server that shows a token.
func WithToken(server *rest.Config, token string) *rest.Config {
	config := rest.AnonymousClientConfig(server)
	config.BearerToken = token
	return config
}

// startPeople starts the DataStorage to which the API server forwards requests, and
// registers it.
func (s *Shared) startPeople(ctx context.Context, log *zap.Logger) error {
	s.People.Authorities, s.People.Namespace = s.ControlPlane.Authorities(), peopleNamespace
	files, err := s.People.ServerFiles(s.People.Authorities.Dir())
	if err != nil {
		return err
	}
	const connections, writers = 8, 2
	serving, err := auditdb.Serving(s.DataStorage.DatabaseURL())
	if err != nil {
		return fmt.Errorf("start DataStorage for people: %w", err)
	}
	a, err := datastorage.New(datastorage.Options{
		DatabaseURL: serving, Listen: anyPort, ManagementListen: anyPort, AggregatedListen: anyPort,
		TLS: files, Auth: auth.Flags{Mode: auth.ModeKubernetes, Namespace: peopleNamespace}, RESTConfig: s.ControlPlane.Config(),
		MaxConnections: connections, IdleConnections: writers, Writers: writers, Log: log.Named("datastorage-people"),
	})
	if err != nil {
		return fmt.Errorf("start DataStorage for people: %w", err)
	}
	if s.people, err = lifecycle.Start(ctx, "DataStorage for people", a); err != nil {
		return err
	}
	s.People.URL, s.People.ManagementURL, s.People.AggregatedURL = a.APIURL(), a.ManagementURL(), a.AggregatedURL()
	return s.register(ctx)
}

// register registers the API with the aggregation layer, and returns once it serves.
func (s *Shared) register(ctx context.Context) error {
	config := s.ControlPlane.Config()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("register the aggregated API: %w", err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: peopleNamespace}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("register the aggregated API: %w", err)
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: peopleNamespace, Name: peopleService},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: externalName},
	}
	if _, err := client.CoreV1().Services(peopleNamespace).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("register the aggregated API: %w", err)
	}
	registration, err := s.registration()
	if err != nil {
		return err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("register the aggregated API: %w", err)
	}
	kind := schema.GroupVersionResource{Group: "apiregistration.k8s.io", Version: "v1", Resource: "apiservices"}
	if _, err := objects.Resource(kind).Create(ctx, registration, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("register the aggregated API: %w", err)
	}
	err = wait.PollUntilContextCancel(ctx, apiServicePoll, true, func(ctx context.Context) (bool, error) {
		err := client.RESTClient().Get().AbsPath("/apis/audit.kubernaut.ai/v1").Do(ctx).Error()
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the aggregated API: %w", err)
	}
	return nil
}

func (s *Shared) registration() (*unstructured.Unstructured, error) {
	bundle, err := s.People.Authorities.ServerBundle()
	if err != nil {
		return nil, fmt.Errorf("register the aggregated API: %w", err)
	}
	address, err := url.Parse(s.People.AggregatedURL)
	if err != nil {
		return nil, fmt.Errorf("register the aggregated API: %w", err)
	}
	port, err := strconv.ParseInt(address.Port(), 10, 32)
	if err != nil {
		return nil, fmt.Errorf("register the aggregated API: %w", err)
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
		"metadata": map[string]any{"name": "v1.audit.kubernaut.ai"},
		"spec": map[string]any{
			"group": "audit.kubernaut.ai", "version": "v1", "groupPriorityMinimum": int64(1000), "versionPriority": int64(15),
			"caBundle": base64.StdEncoding.EncodeToString(bundle),
			"service":  map[string]any{"namespace": peopleNamespace, "name": peopleService, "port": port},
		},
	}}, nil
}
