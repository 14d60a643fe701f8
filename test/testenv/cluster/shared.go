package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/test/testenv"
)

// tokenLifetime is longer than a suite takes.
const tokenLifetime = 2 * time.Hour

// Token is a bearer token.
type Token string

// Authorize adds the token to a request.
func (t Token) Authorize(_ context.Context, r *http.Request) error {
	if t != "" {
		r.Header.Set("Authorization", "Bearer "+string(t))
	}
	return nil
}

// Tokens are those of the suite's service accounts, each of which has one permission.
type Tokens struct {
	// Reader reads trails, Writer writes events, Sender sends signals.
	Reader Token `json:"reader"`
	Writer Token `json:"writer"`
	Sender Token `json:"sender"`
	// Holder places legal holds.
	Holder Token `json:"holder"`
	// Eraser asks for erasures.
	Eraser Token `json:"eraser"`
	// Nobody has no permission.
	Nobody Token `json:"nobody"`
	// Foreign has the permissions of Reader, Writer and Sender, but an audience
	// that no service accepts.
	Foreign Token `json:"foreign"`
	// APIServer has them too, but the audience of the API server.
	APIServer Token `json:"api_server"`
	// ForDataStorage has the permission of Reader and DataStorage's own audience.
	ForDataStorage Token `json:"for_datastorage"`
}

// Shared is what all processes of a suite share.
type Shared struct {
	Addresses Addresses `json:"addresses"`
	// Namespace is that of the suite's service accounts.
	Namespace string `json:"namespace"`
	Tokens    Tokens `json:"tokens"`

	env     *Env
	claimed *coordinationv1.Lease
}

// Prepare claims the cluster, waits until the platform's rollouts are complete,
// and makes the suite's service accounts. The caller removes them, also after an error.
func Prepare(ctx context.Context, a Addresses) (*Shared, error) {
	e, err := connect(a)
	if err != nil {
		return nil, err
	}
	s := &Shared{Addresses: a, env: e}
	if err := s.claim(ctx); err != nil {
		return nil, err
	}
	if err := e.AwaitRollout(ctx, Workloads...); err != nil {
		return s, fmt.Errorf("the platform is not ready: %w", err)
	}
	if s.Namespace, err = e.NewNamespace(ctx); err != nil {
		return s, err
	}
	audiences := []string{Audience, gatewayAudience}
	for _, account := range []struct {
		name      string
		roles     []string // in the platform's namespace
		sends     bool     // may report on all namespaces
		audiences []string // the API server's if there is none
		token     *Token
	}{
		{"reader", []string{"audit-reader"}, false, audiences, &s.Tokens.Reader},
		{"holder", []string{"audit-legal-holder"}, false, audiences, &s.Tokens.Holder},
		{"eraser", []string{"audit-eraser"}, false, audiences, &s.Tokens.Eraser},
		{"writer", []string{"audit-writer-gateway"}, false, audiences, &s.Tokens.Writer},
		{"sender", nil, true, audiences, &s.Tokens.Sender},
		{"nobody", nil, false, audiences, &s.Tokens.Nobody},
		{"foreign", []string{"audit-reader", "audit-writer-gateway"}, true, []string{"somebody-else"}, &s.Tokens.Foreign},
		{"of-api-server", []string{"audit-reader", "audit-writer-gateway"}, true, nil, &s.Tokens.APIServer},
		{"own-audience", []string{"audit-reader"}, false, []string{Audience}, &s.Tokens.ForDataStorage},
	} {
		if *account.token, err = s.account(ctx, account.name, account.roles, account.audiences); err != nil {
			return s, err
		}
		if account.sends {
			if err := s.mayReport(ctx, account.name); err != nil {
				return s, err
			}
		}
	}
	return s, s.awaitPermissions(ctx)
}

// Encode is for Join.
func (s *Shared) Encode() ([]byte, error) {
	encoded, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode what the suite shares: %w", err)
	}
	return encoded, nil
}

// Remove removes what Prepare made.
func (s *Shared) Remove(ctx context.Context) error {
	if s.Namespace == "" {
		return s.release(ctx)
	}
	own := client.MatchingLabels{testenv.NamespaceLabel: s.Namespace}
	err := errors.Join(
		s.env.DeleteAllOf(ctx, &rbacv1.RoleBinding{}, client.InNamespace(System), own),
		s.env.DeleteAllOf(ctx, &rbacv1.ClusterRoleBinding{}, own),
	)
	if err != nil {
		err = fmt.Errorf("remove role bindings: %w", err)
	}
	return errors.Join(err, s.env.RemoveNamespace(ctx, s.Namespace), s.release(ctx))
}

// account makes a service account with roles in the platform's namespace, and
// asks for a token.
func (s *Shared) account(ctx context.Context, name string, roles, audiences []string) (Token, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name}}
	if err := s.env.Create(ctx, account); err != nil {
		return "", fmt.Errorf("make service account %s: %w", name, err)
	}
	for _, role := range roles {
		binding := &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: System, Name: s.Namespace + "-" + name + "-" + role,
				Labels: map[string]string{testenv.NamespaceLabel: s.Namespace},
			},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.Namespace, Name: name}},
		}
		if err := s.env.Create(ctx, binding); err != nil {
			return "", fmt.Errorf("bind service account %s: %w", name, err)
		}
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: new(int64(tokenLifetime.Seconds())), Audiences: audiences,
	}}
	if err := s.env.SubResource("token").Create(ctx, account, request); err != nil {
		return "", fmt.Errorf("token of service account %s: %w", name, err)
	}
	return Token(request.Status.Token), nil
}

// mayReport lets a service account send signals about all namespaces.
func (s *Shared) mayReport(ctx context.Context, name string) error {
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{
			Name: s.Namespace + "-" + name, Labels: map[string]string{testenv.NamespaceLabel: s.Namespace},
		},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "kubernaut-signal-sender"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: s.Namespace, Name: name}},
	}
	if err := s.env.Create(ctx, binding); err != nil {
		return fmt.Errorf("bind service account %s: %w", name, err)
	}
	return nil
}

// awaitPermissions returns when the API server applies the last binding of each
// kind, and so all of them: it observes bindings in order, shortly after they
// were made.
func (s *Shared) awaitPermissions(ctx context.Context) error {
	return errors.Join(
		s.awaitPermission(ctx, "own-audience", &authorizationv1.ResourceAttributes{
			Namespace: System, Group: "audit.kubernaut.ai", Resource: "events", Verb: "list",
		}),
		s.awaitPermission(ctx, "foreign", &authorizationv1.ResourceAttributes{
			Group: "gateway.kubernaut.ai", Resource: "signals", Verb: "create",
		}),
	)
}

func (s *Shared) awaitPermission(ctx context.Context, account string, attributes *authorizationv1.ResourceAttributes) error {
	return s.env.awaitPermission(ctx, "system:serviceaccount:"+s.Namespace+":"+account, attributes)
}

// AwaitPermission returns when the API server lets a user read a resource that has no namespace.
func (e *Env) AwaitPermission(ctx context.Context, user string, resource schema.GroupResource) error {
	return e.awaitPermission(ctx, user, &authorizationv1.ResourceAttributes{Group: resource.Group, Resource: resource.Resource, Verb: "get"})
}

func (e *Env) awaitPermission(ctx context.Context, user string, attributes *authorizationv1.ResourceAttributes) error {
	for {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user, ResourceAttributes: attributes}}
		if err := e.Create(ctx, review); err != nil {
			return fmt.Errorf("wait for the permissions of %s: %w", user, err)
		}
		if review.Status.Allowed {
			return nil
		}
	}
}
