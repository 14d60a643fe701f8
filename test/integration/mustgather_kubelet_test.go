//go:build integration

package integration_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/httpserver/tlsfiles"
	"kubernaut.ai/internal/mustgather"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/control"
)

var _ = Describe("must-gather", func() {
	It("reads what a pod's audit store holds from its control listener", func(ctx SpecContext) {
		store, err := audit.New(audittest.NewMemorySink())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { Expect(store.Close(ctx)).To(Succeed()) })
		listener := httptest.NewServer(control.Handler(control.Options{Store: store}))
		DeferCleanup(listener.Close)
		namespace, err := env.NewNamespace(ctx, nil, nil)
		Expect(err).NotTo(HaveOccurred())
		startPod(ctx, namespace, listener.URL, map[string]string{"app.kubernetes.io/part-of": "kubernaut"}, corev1.ContainerPort{Name: "management", ContainerPort: 9090}, control.DefaultPort)

		g := gatherFrom(ctx, func(o *mustgather.Options) { o.Kubeconfig, o.Namespaces = env.Kubeconfig, []string{namespace} })
		pod := "namespaces/" + namespace + "/pods/pod-0/control/"
		Expect(g.file(pod + "state.json")).To(ContainSubstring(`"pending_events":0`))
		Expect(g.file(pod + "rejections.json")).To(ContainSubstring(`"rejected":[]`))
	}, SpecTimeout(specTimeout))
})

// storageNamespace makes a namespace with DataStorage's Service and service account, and a ready pod
// behind it whose node forwards to a process at an address.
func storageNamespace(ctx context.Context, address func(namespace string) string) string {
	GinkgoHelper()
	namespace, err := env.NewNamespace(ctx, nil, nil)
	Expect(err).NotTo(HaveOccurred())
	selected := map[string]string{"app.kubernetes.io/name": "datastorage"}
	Expect(env.Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "datastorage"},
		Spec: corev1.ServiceSpec{Selector: selected, Ports: []corev1.ServicePort{{
			Name: "api", Port: 8080, TargetPort: intstr.FromString("api"),
		}}},
	})).To(Succeed())
	Expect(env.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "must-gather"}})).To(Succeed())
	startPod(ctx, namespace, address(namespace), selected, corev1.ContainerPort{Name: "api", ContainerPort: 8080}, 8080)
	return namespace
}

// startPod makes a ready pod with a container port, whose node forwards a port to the process at a URL.
func startPod(ctx context.Context, namespace, address string, labels map[string]string, port corev1.ContainerPort, forwarded int) {
	GinkgoHelper()
	const name = "pod-0"
	node, err := env.ForwardPort(ctx, namespace, name, forwarded, address)
	Expect(err).NotTo(HaveOccurred())
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec: corev1.PodSpec{
			NodeName: node, AutomountServiceAccountToken: new(false),
			Containers: []corev1.Container{{Name: "service", Image: "localhost/service", Ports: []corev1.ContainerPort{port}}},
		},
	}
	Expect(env.Create(ctx, pod)).To(Succeed())
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
	Expect(env.Status().Update(ctx, pod)).To(Succeed())
}

// certifyStorage makes a certificate of DataStorage, and the Secret in which the deployment has its authority.
func certifyStorage(ctx context.Context, namespace string) tlsfiles.Flags {
	GinkgoHelper()
	files := newCertificate("datastorage." + namespace + ".svc")
	text, err := os.ReadFile(files.Cert)
	Expect(err).NotTo(HaveOccurred())
	block, _ := pem.Decode(text)
	_, err = x509.ParseCertificate(block.Bytes)
	Expect(err).NotTo(HaveOccurred())
	Expect(env.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "datastorage-tls"}, Data: map[string][]byte{"ca.crt": text},
	})).To(Succeed())
	return files
}

// mayRead lets the service account must-gather of a namespace read audit events there.
func mayRead(ctx context.Context, namespace string) {
	GinkgoHelper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "must-gather"}
	Expect(env.Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{auditGroup}, Resources: []string{"events"}, Verbs: []string{"get", "list", "watch"},
	}}})).To(Succeed())
	Expect(env.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: meta.Name}},
	})).To(Succeed())
	account{&corev1.ServiceAccount{ObjectMeta: meta}}.awaitPermissionIn(ctx, namespace, auditGroup, "events", "list", true)
}

// apiServerThat is the suite's API server, but for paths that begin with path: there, instead is called.
func apiServerThat(path string, instead func(*http.Request)) *rest.Config {
	GinkgoHelper()
	target, err := url.Parse(env.Config.Host)
	Expect(err).NotTo(HaveOccurred())
	transport, err := rest.TransportFor(env.Config)
	Expect(err).NotTo(HaveOccurred())
	proxy := &httputil.ReverseProxy{
		Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if !errors.Is(err, context.Canceled) {
				GinkgoWriter.Println("proxy:", err)
			}
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, path) {
			instead(r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	DeferCleanup(server.Close)
	return &rest.Config{Host: server.URL}
}
