package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

// serviceAccountPrefix begins the name of a service account's user.
const serviceAccountPrefix = "system:serviceaccount:"

// reviewTimeout bounds one question to the API server.
const reviewTimeout = 5 * time.Second

// KubernetesOptions configure a Kubernetes guard.
type KubernetesOptions struct {
	// Audiences that a token may be for, at least one of these; the API
	// server's own where there is none.
	Audiences []string
	// Namespace is where callers need their permissions for actions of the zero
	// Scope; required if there are any.
	Namespace string
	// Timeout of a question to the API server; 5 s where it is 0.
	Timeout time.Duration
	// Clock and Log are required.
	Clock clock.PassiveClock
	Log   *zap.Logger
}

// Kubernetes is a Guard that asks an API server: who a bearer token belongs to
// by TokenReview, and what they may do by SubjectAccessReview. An answer counts
// for a while, see reviews; a token or permission that was taken away is good
// for a minute more at most.
//
// It is a prometheus.Collector. Its own account needs to create tokenreviews
// and subjectaccessreviews, which ClusterRole system:auth-delegator permits.
type Kubernetes struct {
	options        KubernetesOptions
	authentication authenticationclient.AuthenticationV1Interface
	authorization  authorizationclient.AuthorizationV1Interface
	tokens, access *reviews
	seconds        *prometheus.HistogramVec
}

// NewKubernetes makes a guard that asks the API server of config. It opens no
// connection.
func NewKubernetes(config *rest.Config, o KubernetesOptions) (*Kubernetes, error) {
	o.Timeout = cmp.Or(o.Timeout, reviewTimeout)
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("kubernetes API server %s: %w", config.Host, err)
	}
	k := &Kubernetes{options: o, seconds: newReviewSeconds()}
	if k.authentication, err = authenticationclient.NewForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("kubernetes API server %s: %w", config.Host, err)
	}
	if k.authorization, err = authorizationclient.NewForConfigAndClient(config, client); err != nil {
		return nil, fmt.Errorf("kubernetes API server %s: %w", config.Host, err)
	}
	inFlight := semaphore.NewWeighted(maxReviews)
	k.tokens = newReviews("token", &o, inFlight, k.seconds)
	k.access = newReviews("access", &o, inFlight, k.seconds)
	return k, nil
}

// Describe implements prometheus.Collector.
func (k *Kubernetes) Describe(to chan<- *prometheus.Desc) { k.seconds.Describe(to) }

// Collect implements prometheus.Collector.
func (k *Kubernetes) Collect(to chan<- prometheus.Metric) { k.seconds.Collect(to) }

// Authenticate reviews the request's bearer token.
func (k *Kubernetes) Authenticate(r *http.Request) (Caller, error) {
	token, err := bearer(r)
	if err != nil {
		return Caller{}, err
	}
	v, err := k.tokens.get(r.Context(), sha256.Sum256([]byte(token)), func(ctx context.Context) (verdict, error) {
		return k.reviewToken(ctx, token)
	})
	if err != nil {
		return Caller{}, err
	}
	if !v.good {
		return Caller{}, &UnauthenticatedError{Detail: k.advice(), Reason: reasonOf(v.reason), Cause: errors.New(v.reason)}
	}
	return v.caller, nil
}

// Authorize reviews the caller's permission. Whoever has it in all namespaces
// costs one review, however many namespaces there are.
func (k *Kubernetes) Authorize(ctx context.Context, caller Caller, action Action, where Scope) error {
	if where == (Scope{}) {
		v, err := k.review(ctx, &caller, action, k.options.Namespace)
		if err != nil || v.good {
			return err
		}
		where = InNamespace(k.options.Namespace)
		return &ForbiddenError{
			Caller: caller.Name, Action: action, Where: where, Reason: v.reason,
			Remedy: bindRole(caller.Name, action, k.options.Namespace),
		}
	}
	v, err := k.review(ctx, &caller, action, "")
	if !v.good && !where.everywhere {
		// Asked even if the first review failed: its answer may be remembered.
		there, thereErr := k.review(ctx, &caller, action, where.namespace)
		if there.good || err == nil {
			v, err = there, thereErr
		}
	}
	if err != nil || v.good {
		return err
	}
	return &ForbiddenError{
		Caller: caller.Name, Action: action, Where: where, Reason: v.reason,
		Remedy: bindClusterRole(caller.Name, action.Role, where),
	}
}

// Holds implements Holder. The groups of a service account follow from its name;
// those of other users are unknown, so it cannot tell that they lack a permission.
func (k *Kubernetes) Holds(ctx context.Context, name string, action Action) (holds, known bool, err error) {
	if name == "" {
		return false, true, nil // recorded without authentication
	}
	caller := Caller{Name: name, Groups: []string{"system:authenticated"}}
	account, isAccount := strings.CutPrefix(name, serviceAccountPrefix)
	if isAccount {
		namespace, _, _ := strings.Cut(account, ":")
		caller.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}
	}
	v, err := k.review(ctx, &caller, action, k.options.Namespace)
	if err != nil {
		return false, false, err
	}
	return v.good, v.good || isAccount, nil
}

// review asks for the permission in a namespace; in all of them if it is empty.
func (k *Kubernetes) review(ctx context.Context, caller *Caller, action Action, namespace string) (verdict, error) {
	spec := authorizationv1.SubjectAccessReviewSpec{
		User: caller.Name, UID: caller.UID, Groups: caller.Groups,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Group: action.Group, Resource: action.Resource, Verb: action.Verb, Name: action.Name,
		},
	}
	if len(caller.Extra) > 0 {
		spec.Extra = make(map[string]authorizationv1.ExtraValue, len(caller.Extra))
		for key, values := range caller.Extra {
			spec.Extra[key] = values
		}
	}
	// The encoding of a map is sorted: equal questions have equal keys.
	key, err := json.Marshal(spec)
	if err != nil {
		return verdict{}, fmt.Errorf("encode access review: %w", err)
	}
	return k.access.get(ctx, sha256.Sum256(key), func(ctx context.Context) (verdict, error) {
		return k.reviewAccess(ctx, spec)
	})
}

func (k *Kubernetes) advice() string {
	const text = "the API server does not know this bearer token: it may have expired, or be for another audience than "
	if len(k.options.Audiences) == 0 {
		return text + "the API server's own"
	}
	return text + strings.Join(k.options.Audiences, " or ") + "; request a token for this audience, as a projected volume does"
}

func (k *Kubernetes) reviewToken(ctx context.Context, token string) (verdict, error) {
	answer, err := k.authentication.TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: k.options.Audiences},
	}, metav1.CreateOptions{})
	if err != nil {
		return verdict{}, fmt.Errorf("review token: %w", err)
	}
	status := &answer.Status
	switch {
	case !status.Authenticated:
		return verdict{reason: cmp.Or(status.Error, "unknown token")}, nil
	case !k.meant(status.Audiences):
		// An authenticator that knows nothing of audiences says yes without naming one.
		return verdict{reason: fmt.Sprintf("token is for audiences %q", status.Audiences)}, nil
	case status.User.Username == "":
		return verdict{reason: "token belongs to nobody"}, nil
	}
	caller := Caller{Name: status.User.Username, UID: status.User.UID, Groups: status.User.Groups}
	if len(status.User.Extra) > 0 {
		caller.Extra = make(map[string][]string, len(status.User.Extra))
		for key, values := range status.User.Extra {
			caller.Extra[key] = values
		}
	}
	return verdict{good: true, caller: caller}, nil
}

// meant reports whether a token of these audiences is for this service.
func (k *Kubernetes) meant(audiences []string) bool {
	return len(k.options.Audiences) == 0 || slices.ContainsFunc(k.options.Audiences, func(own string) bool {
		return slices.Contains(audiences, own)
	})
}

func (k *Kubernetes) reviewAccess(ctx context.Context, spec authorizationv1.SubjectAccessReviewSpec) (verdict, error) {
	answer, err := k.authorization.SubjectAccessReviews().Create(ctx,
		&authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return verdict{}, fmt.Errorf("review access: %w", err)
	}
	status := &answer.Status
	switch {
	case status.Denied:
		return verdict{reason: status.Reason}, nil
	case status.Allowed:
		return verdict{good: true}, nil
	case status.EvaluationError != "":
		// An authorizer that the API server asks in turn did not answer: that may pass.
		return verdict{}, fmt.Errorf("review access: the API server could not decide: %s", status.EvaluationError)
	default:
		return verdict{reason: status.Reason}, nil
	}
}
