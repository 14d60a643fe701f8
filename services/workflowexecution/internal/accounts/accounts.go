// Package accounts makes clients that act as the service accounts of workflows.
//
// A token is requested for the audience of the API server, is valid for ten minutes, and
// stays in memory. Each execution has its own. The service may request tokens in the
// namespace of workflows only, so an account elsewhere cannot be named.
package accounts

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// lifetime of a token: the shortest that the API server issues.
	lifetime = 10 * time.Minute
	// reserve is how long a token has to be valid at least when it is handed out.
	reserve = 2 * time.Minute
	// The rate of requests of one client: an execution needs about ten.
	clientQPS, clientBurst = 20, 40
	// maxKept bounds the clients in memory.
	maxKept = 1024
)

// Options of Accounts. All are required.
type Options struct {
	// Config is the service's own access to the API server.
	Config *rest.Config
	// Client is the service's own client, whose scheme and mapper the others share.
	Client client.Client
	// Namespace of workflows.
	Namespace string
	Clock     clock.PassiveClock
}

// Accounts makes clients. Its methods are safe for concurrent use.
type Accounts struct {
	options Options
	tokens  corev1client.ServiceAccountsGetter

	mu   sync.Mutex
	kept map[key]kept // guarded by mu
}

type key struct {
	account   string
	execution types.UID
}

type kept struct {
	client  client.Client
	expires time.Time
}

// New makes Accounts. It does not use the network.
func New(o Options) (*Accounts, error) {
	if o.Config == nil || o.Client == nil || o.Clock == nil || o.Namespace == "" {
		return nil, errors.New("accounts: configuration, client, clock and namespace are required")
	}
	core, err := corev1client.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("accounts: %w", err)
	}
	return &Accounts{options: o, tokens: core, kept: map[key]kept{}}, nil
}

// Username is the name under which the API server knows a service account of a workflow.
func (a *Accounts) Username(serviceAccount string) string {
	return fmt.Sprintf("system:serviceaccount:%s:%s", a.options.Namespace, serviceAccount)
}

// Client returns a client that acts as the service account. An execution keeps its token
// until that expires; a plan, which has no execution yet, gets a token of its own.
func (a *Accounts) Client(ctx context.Context, serviceAccount string, execution types.UID) (client.Client, error) {
	k := key{serviceAccount, execution}
	if execution != "" {
		if c := a.find(k); c != nil {
			return c, nil
		}
	}
	made, err := a.request(ctx, serviceAccount)
	if err != nil {
		return nil, err
	}
	if execution != "" {
		a.keep(k, made)
	}
	return made.client, nil
}

// Forget drops what an execution holds.
func (a *Accounts) Forget(execution types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.kept {
		if k.execution == execution {
			delete(a.kept, k)
		}
	}
}

func (a *Accounts) find(k key) client.Client {
	a.mu.Lock()
	defer a.mu.Unlock()
	if have, ok := a.kept[k]; ok && a.options.Clock.Now().Add(reserve).Before(have.expires) {
		return have.client
	}
	return nil
}

func (a *Accounts) keep(k key, made kept) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.options.Clock.Now()
	for other, have := range a.kept {
		if !now.Before(have.expires) || len(a.kept) >= maxKept {
			delete(a.kept, other)
		}
	}
	a.kept[k] = made
}

func (a *Accounts) request(ctx context.Context, serviceAccount string) (kept, error) {
	seconds := int64(lifetime / time.Second)
	token, err := a.tokens.ServiceAccounts(a.options.Namespace).CreateToken(ctx, serviceAccount, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}, // no audience: the API server's own
	}, metav1.CreateOptions{})
	if err != nil {
		return kept{}, fmt.Errorf("request a token of service account %s/%s: %w", a.options.Namespace, serviceAccount, err)
	}
	config := rest.AnonymousClientConfig(a.options.Config)
	config.BearerToken = token.Status.Token
	config.QPS, config.Burst, config.RateLimiter = clientQPS, clientBurst, nil
	made, err := client.New(config, client.Options{Scheme: a.options.Client.Scheme(), Mapper: a.options.Client.RESTMapper()})
	if err != nil {
		return kept{}, fmt.Errorf("client of service account %s/%s: %w", a.options.Namespace, serviceAccount, err)
	}
	return kept{client: made, expires: token.Status.ExpirationTimestamp.Time}, nil
}
