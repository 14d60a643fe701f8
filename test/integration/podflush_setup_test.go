//go:build integration

package integration_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"

	"kubernaut.ai/pkg/audittrail/podflush"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/testenv"
)

// The permissions that package podflush documents.
var (
	mayWatch = []rbacv1.PolicyRule{
		{APIGroups: []string{"apps"}, Resources: []string{"deployments", "statefulsets"}, Verbs: []string{"list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "watch"}},
	}
	mayForward    = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/portforward"}, Verbs: []string{"get", "create"}}
	maySeeVolumes = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"persistentvolumeclaims"}, Verbs: []string{"list"}}
	mayProxy      = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/proxy"}, Verbs: []string{"create"}}
)

// userWith makes a user with exactly these permissions in the process's namespace,
// and waits until the API server applies them.
func userWith(ctx context.Context, rules ...rbacv1.PolicyRule) *rest.Config {
	GinkgoHelper()
	meta := metav1.ObjectMeta{Namespace: env.Namespace, Name: env.CorrelationID()}
	Expect(env.Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rules})).To(Succeed())
	Expect(env.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: meta.Name}},
	})).To(Succeed())
	Eventually(ctx, func(ctx context.Context) (bool, error) {
		rule := rules[0] // all rules belong to one object and take effect at once
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: meta.Name,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Namespace: env.Namespace, Group: rule.APIGroups[0], Resource: rule.Resources[0], Verb: rule.Verbs[0],
			},
		}}
		err := env.Create(ctx, review)
		return review.Status.Allowed, err
	}).Should(BeTrue())
	config := rest.CopyConfig(env.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: meta.Name}
	return config
}

// tap observes a flusher's requests to the API server.
type tap struct {
	watching chan struct{} // closed once the workload and its pods are watched

	mu          sync.Mutex
	watches     int
	asked       []string         // pods, sorted
	beforeFlush func(pod string) // nil: nothing
}

var flushPath = regexp.MustCompile(`/pods/([^/:]+):\d+/proxy/audit/flush$`)

// tapped is one of a client's transports: a port-forward has its own.
type tapped struct {
	http.RoundTripper

	tap *tap
}

func (t *tapped) RoundTrip(r *http.Request) (*http.Response, error) {
	if pod := flushPath.FindStringSubmatch(r.URL.Path); pod != nil {
		t.tap.ask(pod[1])
	}
	response, err := t.RoundTripper.RoundTrip(r)
	if err == nil && r.URL.Query().Has("watch") {
		t.tap.watch()
	}
	return response, err
}

func (t *tap) ask(pod string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked = append(t.asked, pod)
	slices.Sort(t.asked)
	if t.beforeFlush != nil {
		t.beforeFlush(pod)
	}
}

func (t *tap) watch() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.watches++; t.watches == 2 {
		close(t.watching)
	}
}

func (t *tap) pods() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.asked)
}

// flusherOf returns a flusher of a workload, and a tap on its requests.
func flusherOf(w *testenv.Workload, change func(*podflush.Options)) (*podflush.Flusher, *tap) {
	GinkgoHelper()
	t := &tap{watching: make(chan struct{})}
	config := rest.CopyConfig(env.Config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &tapped{next, t} })
	options := podflush.Options{Config: config, Workloads: []podflush.Workload{w.Workload}}
	if change != nil {
		change(&options)
	}
	flusher, err := podflush.New(options)
	Expect(err).NotTo(HaveOccurred())
	return flusher, t
}

// stopped gives a Gateway a clock that never ticks: its events stay pending until
// they are flushed.
func stopped(o *gateway.Options) { o.Clock = clocktesting.NewFakeClock(time.Now()) }

// gateways makes a workload of two Gateways, and returns their addresses.
func gateways(ctx context.Context, kind podflush.Kind) (w *testenv.Workload, urls []string) {
	GinkgoHelper()
	first, firstManagement := replica(ctx, stopped)
	second, secondManagement := replica(ctx, stopped)
	w, err := env.NewWorkload(ctx, kind, firstManagement, secondManagement)
	Expect(err).NotTo(HaveOccurred())
	return w, []string{first, second}
}

// wireTo starts a connection that can be cut, to the server of a URL; it returns the
// URL to use instead. It ends with the spec.
func wireTo(ctx context.Context, target string) (*wire, string) {
	GinkgoHelper()
	address, err := url.Parse(target)
	Expect(err).NotTo(HaveOccurred())
	w := &wire{target: address.Host, ends: map[net.Conn]struct{}{}}
	w.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		w.cut()
		Expect(w.listener.Close()).To(Succeed())
	})
	go w.accept(context.WithoutCancel(ctx))
	return w, "http://" + w.listener.Addr().String()
}
