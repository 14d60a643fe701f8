//go:build integration

package integration_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/tlsfiles"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// Shared by the specs about callers.

const (
	auditGroup   = "audit.kubernaut.ai"
	gatewayGroup = "gateway.kubernaut.ai"
	// ownAudience is DataStorage's. Neither it nor the Gateway's is the API server's.
	ownAudience     = "kubernaut-datastorage"
	gatewayAudience = "kubernaut-gateway"
)

// sendersByCluster are the flags of a Gateway that authenticates senders by the cluster.
func sendersByCluster() auth.Flags { return auth.Flags{Mode: auth.ModeKubernetes} }

// byCluster are the flags of a DataStorage that authenticates its callers by the cluster.
func byCluster(audiences ...string) auth.Flags {
	return auth.Flags{Mode: auth.ModeKubernetes, Namespace: env.Namespace, Audiences: audiences}
}

// account is a service account in the process's namespace.
type account struct{ *corev1.ServiceAccount }

func newAccount(ctx context.Context, name string) account {
	GinkgoHelper()
	made := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: env.Namespace, Name: testenv.Unique(name + "-*")}}
	Expect(env.Create(ctx, made)).To(Succeed())
	return account{made}
}

// user is the account's user name.
func (a account) user() string { return "system:serviceaccount:" + a.Namespace + ":" + a.Name }

// token requests a token; without audiences it is for DataStorage and the Gateway.
func (a account) token(ctx context.Context, audiences ...string) string {
	GinkgoHelper()
	if len(audiences) == 0 {
		audiences = []string{ownAudience, gatewayAudience}
	}
	return a.request(ctx, audiences)
}

// apiServerToken requests a token for the API server, which sends one to no service.
func (a account) apiServerToken(ctx context.Context) string {
	GinkgoHelper()
	return a.request(ctx, nil)
}

func (a account) request(ctx context.Context, audiences []string) string {
	GinkgoHelper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	Expect(env.SubResource("token").Create(ctx, a.ServiceAccount, request)).To(Succeed())
	return request.Status.Token
}

// tokenFile is a token in a file, as in a pod.
func (a account) tokenFile(ctx context.Context, audiences ...string) string {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), "token")
	Expect(os.WriteFile(path, []byte(a.token(ctx, audiences...)), 0o600)).To(Succeed())
	return path
}

// may grants the account a permission and returns the binding.
func (a account) may(ctx context.Context, group, resource string, verbs ...string) *rbacv1.RoleBinding {
	GinkgoHelper()
	return a.mayIn(ctx, env.Namespace, group, resource, nil, verbs...)
}

// mayWrite lets the account write events whose types begin with these first parts.
func (a account) mayWrite(ctx context.Context, prefixes ...string) *rbacv1.RoleBinding {
	GinkgoHelper()
	return a.mayIn(ctx, env.Namespace, auditGroup, "events", prefixes, "create")
}

// mayIn is may in a namespace, for resources of these names, for all if there is none.
func (a account) mayIn(ctx context.Context, namespace, group, resource string, names []string, verbs ...string) *rbacv1.RoleBinding {
	GinkgoHelper()
	named := metav1.ObjectMeta{Namespace: namespace, Name: a.Name}
	Expect(env.Create(ctx, &rbacv1.Role{ObjectMeta: named, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs, ResourceNames: names},
	}})).To(Succeed())
	binding := &rbacv1.RoleBinding{
		ObjectMeta: named,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: named.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: a.Namespace, Name: a.Name}},
	}
	Expect(env.Create(ctx, binding)).To(Succeed())
	name := ""
	if len(names) > 0 {
		name = names[0]
	}
	for _, verb := range verbs {
		a.awaitPermissionOn(ctx, authorizationv1.ResourceAttributes{
			Namespace: namespace, Group: group, Resource: resource, Verb: verb, Name: name,
		}, true)
	}
	return binding
}

// mayReport lets the account send signals about a namespace, or about all of them
// if it is empty.
func (a account) mayReport(ctx context.Context, namespace string) {
	GinkgoHelper()
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: a.Namespace, Name: a.Name}}
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: a.Name},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{gatewayGroup}, Resources: []string{"signals"}, Verbs: []string{"create"}}},
	}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name}
	var binding client.Object = &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: a.Name}, RoleRef: ref, Subjects: subjects,
	}
	if namespace == "" {
		binding = &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: a.Name}, RoleRef: ref, Subjects: subjects}
	}
	for _, object := range []client.Object{role, binding} {
		Expect(env.Create(ctx, object)).To(Succeed())
		DeferCleanup(removed, object)
	}
	a.awaitPermissionIn(ctx, namespace, gatewayGroup, "signals", "create", true)
}

// awaitPermission returns once the API server's authorizer applies the permission.
func (a account) awaitPermission(ctx context.Context, group, resource, verb string, allowed bool) {
	GinkgoHelper()
	a.awaitPermissionIn(ctx, env.Namespace, group, resource, verb, allowed)
}

// awaitPermissionIn is awaitPermission in a namespace; in all if it is empty.
func (a account) awaitPermissionIn(ctx context.Context, namespace, group, resource, verb string, allowed bool) {
	GinkgoHelper()
	a.awaitPermissionOn(ctx, authorizationv1.ResourceAttributes{Namespace: namespace, Group: group, Resource: resource, Verb: verb}, allowed)
}

func (a account) awaitPermissionOn(ctx context.Context, on authorizationv1.ResourceAttributes, allowed bool) {
	GinkgoHelper()
	awaitDecision(ctx, allowed, func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: a.user(), ResourceAttributes: &on}}
		err := env.Create(ctx, review)
		return review.Status.Allowed, err
	})
}

// remove removes the account, and returns once the API server's authenticator knows
// it. The authenticator caches successes for 10 s: so the probe uses a token of its
// own, and each review names another audience.
func (a account) remove(ctx context.Context) {
	GinkgoHelper()
	probe := a.token(ctx, ownAudience)
	removed(ctx, a.ServiceAccount)
	awaitDecision(ctx, false, func(ctx context.Context) (bool, error) {
		review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{
			Token: probe, Audiences: []string{ownAudience, testenv.Unique("audience-*")},
		}}
		err := env.Create(ctx, review)
		return review.Status.Authenticated, err
	})
}

// awaitDecision asks until the API server gives the wanted decision. The API server
// learns of bindings and accounts from its own watches, whose progress is not
// visible: only asking shows it.
func awaitDecision(ctx context.Context, want bool, ask func(context.Context) (bool, error)) {
	GinkgoHelper()
	Eventually(ask).WithContext(ctx).WithTimeout(specTimeout).WithPolling(10 * time.Millisecond).Should(Equal(want))
}

// bearing is the header of a call with a token.
func bearing(token string) http.Header {
	header := alertmanager.JSON()
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return header
}

// showing adds a token to requests.
func showing(token string) func(context.Context, *http.Request) error {
	return func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
}

// newCertificate makes a certificate for 127.0.0.1 and names that is its own authority.
func newCertificate(names ...string) tlsfiles.Flags {
	GinkgoHelper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: names,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	Expect(err).NotTo(HaveOccurred())
	private, err := x509.MarshalPKCS8PrivateKey(key)
	Expect(err).NotTo(HaveOccurred())
	dir := GinkgoT().TempDir()
	files := tlsfiles.Flags{Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	for path, block := range map[string]*pem.Block{
		files.Cert: {Type: "CERTIFICATE", Bytes: signed}, files.Key: {Type: "PRIVATE KEY", Bytes: private},
	} {
		Expect(os.WriteFile(path, pem.EncodeToMemory(block), 0o600)).To(Succeed())
	}
	return files
}

// trusting is a client that believes the authorities of a file.
func trusting(caFile string) *http.Client {
	GinkgoHelper()
	text, err := os.ReadFile(caFile)
	Expect(err).NotTo(HaveOccurred())
	pool := x509.NewCertPool()
	Expect(pool.AppendCertsFromPEM(text)).To(BeTrue())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	DeferCleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// removed deletes an object of the spec's own.
func removed(ctx context.Context, object client.Object) {
	GinkgoHelper()
	Expect(env.Delete(ctx, object)).To(Succeed())
}
