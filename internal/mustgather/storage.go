package mustgather

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/pkg/audittrail"
)

const (
	serviceName = "datastorage"
	// apiPortName is that of the Service's port for clients.
	apiPortName = "api"
	// account is the service account whose token may read trails.
	account = "must-gather"
	// audience is that of tokens for DataStorage: of no use anywhere else.
	audience = "kubernaut-datastorage"
	// tokenSeconds is the lifetime of the token.
	tokenSeconds int64 = 600
	// tlsSecret has the certificate authority of DataStorage's certificate in caKey.
	tlsSecret, caKey = "datastorage-tls", "ca.crt" //nolint:gosec // the name of a Secret

	schemeHTTP, schemeHTTPS = "http", "https"
)

// storage is a connection to DataStorage.
type storage struct {
	reader *audittrail.Reader
	url    string
	close  func()
	// noToken says why requests have no token.
	noToken error
}

// findService finds DataStorage's Service.
func findService(ctx context.Context, s *step) error {
	for _, namespace := range s.Namespaces {
		service, err := s.client.CoreV1().Services(namespace).Get(ctx, serviceName, metav1.GetOptions{})
		if err == nil {
			s.service = service
			return nil
		}
		if !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
			return by(err, "kubectl get service datastorage -n %s", namespace)
		}
	}
	s.missed("audit events", fmt.Sprintf("there is no Service %q in %s: --namespace or --datastorage-url may name another place", serviceName, strings.Join(s.Namespaces, " ")),
		"kubectl get service datastorage -A")
	return nil
}

// connectStorage finds out whether DataStorage answers, and keeps the connection if it does.
func connectStorage(ctx context.Context, s *step) error {
	const what = "audit events"
	var at *storage
	var err error
	switch {
	case s.DataStorageURL != "":
		at, err = s.namedStorage()
	case s.service != nil:
		at, err = s.forwardedStorage(ctx)
	case s.config == nil:
		s.missed(what, "there is no cluster, and no URL of DataStorage: set --datastorage-url", "kubernaut must-gather --datastorage-url URL")
		return nil
	default:
		return nil // findService has said why
	}
	if err != nil {
		s.fail(what, err)
		return nil
	}
	limit := 1
	for _, err := range at.reader.Query(ctx, datastorage.ListEventsParams{Limit: &limit}) {
		if err != nil {
			at.close()
			if at.noToken != nil {
				err = fmt.Errorf("%w (asked without a token: %w)", err, at.noToken)
			}
			s.fail(what, by(fmt.Errorf("DataStorage: %w", err), "GET %s/api/v1/audit/events?limit=1", at.url))
			return nil
		}
		break
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.storage = at
	return nil
}

// namedStorage is the one that an option names.
func (s *step) namedStorage() (*storage, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.DataStorageCAFile != "" {
		text, err := os.ReadFile(s.DataStorageCAFile)
		if err != nil {
			return nil, by(err, "cat %s", s.DataStorageCAFile)
		}
		if config.RootCAs, err = authorities(text); err != nil {
			return nil, by(err, "cat %s", s.DataStorageCAFile)
		}
	}
	token := ""
	if s.DataStorageTokenFile != "" {
		text, err := os.ReadFile(s.DataStorageTokenFile)
		if err != nil {
			return nil, by(fmt.Errorf("token for DataStorage: %w", err), "cat %s", s.DataStorageTokenFile)
		}
		token = string(bytes.TrimSpace(text))
	}
	transport := &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
	return newStorage(strings.TrimSuffix(s.DataStorageURL, "/"), transport, token, func() {})
}

// forwardedStorage goes to a pod of the Service by a port-forward: the API server's proxy would remove the token from
// the requests.
func (s *step) forwardedStorage(ctx context.Context) (*storage, error) {
	namespace := s.service.Namespace
	command := fmt.Sprintf("kubectl port-forward -n %s service/%s :api", namespace, serviceName)
	pod, port, err := s.backend()
	if err != nil {
		return nil, by(err, "%s", command)
	}
	var token string
	var noToken, noAuthorities error
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serviceName + "." + namespace + ".svc", NextProtos: []string{"h2", "http/1.1"}}
	var needed errgroup.Group
	needed.Go(func() error { token, noToken = s.token(ctx, namespace); return nil })
	needed.Go(func() error { config.RootCAs, noAuthorities = s.clusterAuthorities(ctx, namespace); return nil })
	// The connection outlives the step; close ends it.
	address, stop, err := s.forward(ctx, namespace, pod, port)
	_ = needed.Wait() // no errors
	if err != nil {
		return nil, by(err, "%s", command)
	}
	at, err := (*storage)(nil), noAuthorities
	if err == nil {
		at, err = s.behind(ctx, address, config, token, stop)
	}
	if err != nil {
		stop()
		return nil, err
	}
	at.noToken = noToken
	return at, nil
}

// behind is the storage at an address of a port-forward, whose streams take long to open: the connection that shows
// whether TLS is spoken is the first to carry requests.
func (s *step) behind(ctx context.Context, address string, config *tls.Config, token string, stop func()) (*storage, error) {
	connection, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil && s.plain(err) {
		return newStorage(schemeHTTP+"://"+address, &http.Transport{}, token, stop)
	}
	url := schemeHTTPS + "://" + address
	if err != nil {
		return nil, by(fmt.Errorf("DataStorage: %w", err), "GET %s/api/v1/audit/events?limit=1", url)
	}
	first := make(chan net.Conn, 1)
	first <- connection
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		select {
		case connection := <-first:
			return connection, nil
		default:
			return (&tls.Dialer{Config: config}).DialContext(ctx, network, address)
		}
	}
	return newStorage(url, &http.Transport{DialTLSContext: dial, ForceAttemptHTTP2: true}, token, stop)
}

// plain reports whether a failed handshake shows a server without TLS. The token must not travel in the clear where TLS
// is spoken.
func (s *step) plain(err error) bool {
	if protocol := apiPort(s.service).AppProtocol; protocol != nil && *protocol == schemeHTTPS {
		return false
	}
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	return plain
}

// backend finds a ready pod behind the Service, and its port.
func (s *step) backend() (pod string, port int32, err error) {
	selector := labels.SelectorFromSet(s.service.Spec.Selector)
	at := slices.IndexFunc(s.pods, func(p corev1.Pod) bool {
		return p.Namespace == s.service.Namespace && selector.Matches(labels.Set(p.Labels)) &&
			slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue })
	})
	api := apiPort(s.service)
	if at < 0 || len(s.service.Spec.Selector) == 0 || api == nil {
		return "", 0, fmt.Errorf("no pod of the Service %s in %s is ready", serviceName, s.service.Namespace)
	}
	target := api.TargetPort
	if target.Type == intstr.Int {
		return s.pods[at].Name, cmp.Or(target.IntVal, api.Port), nil
	}
	for i := range s.pods[at].Spec.Containers {
		for _, port := range s.pods[at].Spec.Containers[i].Ports {
			if port.Name == target.StrVal {
				return s.pods[at].Name, port.ContainerPort, nil
			}
		}
	}
	return "", 0, fmt.Errorf("pod %s has no port %s", s.pods[at].Name, target.StrVal)
}

// apiPort is the port of a Service for clients: "api", else the first. Another one may be for the API server alone.
func apiPort(service *corev1.Service) *corev1.ServicePort {
	ports := service.Spec.Ports
	if at := slices.IndexFunc(ports, func(p corev1.ServicePort) bool { return p.Name == apiPortName }); at >= 0 {
		return &ports[at]
	}
	if len(ports) == 0 {
		return nil
	}
	return &ports[0]
}

// clusterAuthorities are what the option names, else those of the deployment's own certificates. Without either, nil:
// those of the machine.
func (s *step) clusterAuthorities(ctx context.Context, namespace string) (*x509.CertPool, error) {
	if s.DataStorageCAFile != "" {
		text, err := os.ReadFile(s.DataStorageCAFile)
		if err != nil {
			return nil, by(err, "cat %s", s.DataStorageCAFile)
		}
		return authorities(text)
	}
	secret, err := s.client.CoreV1().Secrets(namespace).Get(ctx, tlsSecret, metav1.GetOptions{})
	if err != nil {
		s.files.note(fmt.Sprintf("no certificate authority of DataStorage: %v", err))
		return nil, nil //nolint:nilnil // the machine's
	}
	if len(secret.Data[caKey]) == 0 {
		return nil, nil //nolint:nilnil // likewise
	}
	return authorities(secret.Data[caKey])
}

func authorities(text []byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("certificate authorities of DataStorage: no certificate in PEM form")
	}
	return pool, nil
}

// token requests one that DataStorage accepts, and nobody else.
func (s *step) token(ctx context.Context, namespace string) (string, error) {
	seconds := tokenSeconds
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, ExpirationSeconds: &seconds}}
	token, err := s.client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return "", by(fmt.Errorf("token for DataStorage: %w", err), "kubectl create token %s -n %s --audience %s", account, namespace, audience)
	}
	return token.Status.Token, nil
}

func newStorage(url string, transport *http.Transport, token string, stop func()) (*storage, error) {
	// A timeline each asks at the same time; a new connection takes longer than an answer.
	transport.MaxIdleConnsPerHost = concurrentSteps
	client := &http.Client{
		Transport: transport,
		// A redirect could take the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	options := audittrail.Options{DataStorageURL: url, HTTP: client}
	if token != "" {
		options.Authorize = func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			return nil
		}
	}
	reader, err := audittrail.NewReader(options)
	if err != nil {
		return nil, fmt.Errorf("read audit events: %w", err)
	}
	return &storage{reader: reader, url: url, close: func() {
		transport.CloseIdleConnections()
		stop()
	}}, nil
}
