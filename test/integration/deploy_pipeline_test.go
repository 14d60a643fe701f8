//go:build integration

package integration_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/pkg/audittrail"
	datastorage "kubernaut.ai/services/datastorage/app"
	gateway "kubernaut.ai/services/gateway/app"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

// storageAudience is the audience of the pods' tokens for DataStorage.
const storageAudience = "kubernaut-datastorage"

// workflowsNamespace is that of the kustomization of workflows.
const workflowsNamespace = "kubernaut-workflows"

// refusals are requests of services that the API server rejected as forbidden.
type refusals struct {
	// end is called for each, so that a spec does not wait in vain.
	end context.CancelCauseFunc

	mu        sync.Mutex
	forbidden []string // guarded by mu
}

func (r *refusals) note(account string, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	refused := account + " may not " + request.Method + " " + request.URL.Path
	GinkgoWriter.Println(refused)
	r.forbidden = append(r.forbidden, refused)
	r.end(errors.New(refused))
}

func (r *refusals) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.forbidden...)
}

// configFor is the configuration of a service account's pod; it records refusals.
func (r *refusals) configFor(ctx context.Context, account string) *rest.Config {
	config := rest.AnonymousClientConfig(env.Config)
	config.QPS = -1
	config.BearerToken = token(ctx, account)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(request)
			if err == nil && response.StatusCode == http.StatusForbidden {
				r.note(account, request)
			}
			return response, err
		})
	})
	return config
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// token of a service account, for the audiences.
func token(ctx context.Context, account string, audiences ...string) string {
	GinkgoHelper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	object := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: deployNamespace, Name: account}}
	Expect(env.SubResource("token").Create(ctx, object, request)).To(Succeed())
	return request.Status.Token
}

// tokenFile is the token file of the pod's volume.
func tokenFile(ctx context.Context, account string) string {
	GinkgoHelper()
	path := filepath.Join(GinkgoT().TempDir(), "token")
	Expect(os.WriteFile(path, []byte(token(ctx, account, storageAudience)), 0o600)).To(Succeed())
	return path
}

// may reports whether a service account has a permission; an empty namespace means
// all namespaces.
func may(ctx context.Context, account, namespace, verb, group, resource string) bool {
	GinkgoHelper()
	return mayName(ctx, account, namespace, verb, group, resource, "")
}

// mayName is may for one resource of this name.
func mayName(ctx context.Context, account, namespace, verb, group, resource, name string) bool {
	GinkgoHelper()
	resource, subresource, _ := strings.Cut(resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   "system:serviceaccount:" + deployNamespace + ":" + account,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + deployNamespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource, Name: name,
		},
	}}
	Expect(env.Create(ctx, review)).To(Succeed())
	return review.Status.Allowed
}

// deployRights applies the overlay's accounts and permissions, binds a sender of
// signals as an operator would, and waits until the API server applies them.
func deployRights(ctx context.Context, d deployment) (sender string) {
	GinkgoHelper()
	a := newApplier()
	a.applyNamespace(ctx, d)
	for _, u := range d {
		switch u.GetKind() {
		case "ServiceAccount", "ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding":
			Expect(a.apply(ctx, u)).To(Succeed(), "%s %s", u.GetKind(), u.GetName())
		}
	}
	for _, part := range []string{"workflows", "workflows-access"} {
		objects := kustomize(filepath.Join(kustomizations, part))
		a.applyNamespace(ctx, objects)
		for _, u := range objects {
			Expect(a.apply(ctx, u)).To(Succeed(), "%s %s", u.GetKind(), u.GetName())
		}
	}
	sender = "alertmanager-" + env.CorrelationID()
	meta := metav1.ObjectMeta{Namespace: deployNamespace, Name: sender}
	Expect(env.Create(ctx, &corev1.ServiceAccount{ObjectMeta: meta})).To(Succeed())
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: sender},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "kubernaut-signal-sender"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: deployNamespace, Name: sender}},
	}
	Expect(env.Create(ctx, binding)).To(Succeed())
	DeferCleanup(removed, binding)
	Eventually(ctx, func(ctx context.Context) bool {
		return may(ctx, sender, "", "create", "gateway.kubernaut.ai", "signals") &&
			may(ctx, "must-gather", deployNamespace, "list", "audit.kubernaut.ai", "events") &&
			mayName(ctx, "gateway", deployNamespace, "create", "audit.kubernaut.ai", "events", "gateway") &&
			mayName(ctx, "signalprocessing", deployNamespace, "create", "audit.kubernaut.ai", "events", "signalprocessing") &&
			mayName(ctx, "workflowexecution", deployNamespace, "create", "audit.kubernaut.ai", "events", "workflowexecution") &&
			may(ctx, "workflowexecution", "", "get", "admissionregistration.k8s.io", "validatingadmissionpolicies") &&
			may(ctx, "workflowexecution", workflowsNamespace, "watch", "kubernaut.ai", "remediationworkflows") &&
			may(ctx, "signalprocessing", "", "list", "policy", "poddisruptionbudgets") &&
			may(ctx, "gateway", deployNamespace, "create", "coordination.k8s.io", "leases") &&
			may(ctx, "gateway", "", "list", "", "nodes")
	}).Should(BeTrue())
	return sender
}

// deployed is a pipeline whose services have exactly the permissions of their overlay.
type deployed struct {
	*testenv.Pipeline

	sender  string // a service account that may send signals
	refused refusals
	trail   *audittrail.Reader
}

// deployPipeline returns it with a context that ends when the API server rejects a
// request as forbidden.
func deployPipeline(ctx context.Context) (*deployed, context.Context) {
	GinkgoHelper()
	d := &deployed{sender: deployRights(ctx, build("kind"))}
	ctx, d.refused.end = context.WithCancelCause(ctx)
	DeferCleanup(func() { d.refused.end(nil) })
	storage, err := env.NewDataStorage(ctx, func(o *datastorage.Options) {
		o.RESTConfig = d.refused.configFor(ctx, "datastorage")
		o.Auth = auth.Flags{Mode: auth.ModeKubernetes, Namespace: deployNamespace}
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) { Expect(storage.Stop(ctx)).To(Succeed()) })
	d.Pipeline, err = env.NewPipeline(ctx, testenv.PipelineOptions{
		DataStorage: storage,
		Gateway: func(o *gateway.Options) {
			o.RESTConfig = d.refused.configFor(ctx, "gateway")
			o.DataStorageTokenFile = tokenFile(ctx, "gateway")
			o.Auth = auth.Flags{Mode: auth.ModeKubernetes}
			// It watches only the pipeline's namespace and its own: other specs use
			// the same API server.
			o.Namespace = deployNamespace
			o.TargetRulesConfigMap = "gateway-target-rules"
		},
		SignalProcessing: func(o *signalprocessing.Options) {
			o.RESTConfig = d.refused.configFor(ctx, "signalprocessing")
			o.DataStorageTokenFile = tokenFile(ctx, "signalprocessing")
			o.LeaderElect, o.LeaderElectionNamespace, o.GatewayNamespace = true, deployNamespace, deployNamespace
			o.WatchNamespaces = append(o.WatchNamespaces, deployNamespace)
		},
		WorkflowExecution: func(o *workflowexecution.Options) {
			o.RESTConfig = d.refused.configFor(ctx, "workflowexecution")
			o.DataStorageTokenFile = tokenFile(ctx, "workflowexecution")
			o.LeaderElect, o.LeaderElectionNamespace = true, deployNamespace
			o.PlatformNamespace, o.WorkflowsNamespace = deployNamespace, workflowsNamespace
		},
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(d.Stop()).To(Succeed()) })
	reader := token(ctx, "must-gather", storageAudience)
	d.trail, err = audittrail.NewReader(audittrail.Options{
		DataStorageURL: storage.URL, ManagementURLs: d.ManagementURLs,
		Authorize: func(_ context.Context, request *http.Request) error {
			request.Header.Set("Authorization", "Bearer "+reader)
			return nil
		},
	})
	Expect(err).NotTo(HaveOccurred())
	return d, ctx
}

// send sends alerts as the bound sender, and waits until their requests are classified.
func (d *deployed) send(ctx context.Context, alerts ...map[string]string) []alertmanager.Result {
	GinkgoHelper()
	header := alertmanager.JSON()
	header.Set("Authorization", "Bearer "+token(ctx, d.sender, gatewayAudience))
	answer := call(ctx, d.GatewayURL, http.MethodPost, alertmanager.Path, header, alertBody(alertmanager.Firing, alerts...))
	Expect(answer.Code).To(BeElementOf(http.StatusCreated, http.StatusOK, http.StatusAccepted, http.StatusMultiStatus), "%+v", answer)
	results := answer.Each()
	Expect(results).To(HaveLen(len(alerts)))
	for _, r := range results {
		Expect(r.RemediationRequestName).NotTo(BeEmpty(), "%+v", r)
		d.classified(ctx, r.RemediationRequestNamespace, r.RemediationRequestName)
	}
	return results
}

func (d *deployed) classified(ctx context.Context, namespace, name string) *v1alpha1.RemediationRequest {
	GinkgoHelper()
	rr := &v1alpha1.RemediationRequest{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	Expect(testenv.WaitFor(ctx, env, rr, testenv.IsClassified)).To(Succeed())
	return rr
}

// replicaSetPods makes a Deployment, a ReplicaSet of it and two pods of that,
// and returns the pods' names.
func (d *deployed) replicaSetPods(ctx context.Context) []string {
	GinkgoHelper()
	labels := map[string]string{"app": env.CorrelationID()}
	template := corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels},
		Spec: corev1.PodSpec{
			Containers:                   []corev1.Container{{Name: "app", Image: "localhost/app"}},
			AutomountServiceAccountToken: new(false), NodeName: "node",
		},
	}
	meta := metav1.ObjectMeta{Namespace: d.Namespace, Name: labels["app"], Labels: labels}
	top := &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template}}
	Expect(env.Create(ctx, top)).To(Succeed())
	meta.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(top, appsv1.SchemeGroupVersion.WithKind("Deployment"))}
	set := &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: top.Spec.Selector, Template: template}}
	Expect(env.Create(ctx, set)).To(Succeed())
	meta.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))}
	names := []string{meta.Name + "-a", meta.Name + "-b"}
	for _, name := range names {
		pod := &corev1.Pod{ObjectMeta: *meta.DeepCopy(), Spec: template.Spec}
		pod.Name = name
		Expect(env.Create(ctx, pod)).To(Succeed())
	}
	return names
}
