//go:build integration

package integration_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// foreignModule is a Go module whose archive has the definitions of resources
// that overlays use. Its code is not built.
type foreignModule struct {
	module, version string
	sum             string // as in a go.sum
	files           []string
}

var foreign = []foreignModule{
	{
		module: "github.com/cert-manager/cert-manager", version: "v1.21.2", sum: "h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=",
		files: []string{"deploy/crds/cert-manager.io_certificates.yaml", "deploy/crds/cert-manager.io_issuers.yaml"},
	},
	{
		module: "github.com/prometheus-operator/prometheus-operator", version: "v0.85.0", sum: "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
		files: []string{
			"example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
			"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
		},
	},
}

// download returns the module's folder.
func (m *foreignModule) download(ctx context.Context) string {
	GinkgoHelper()
	command := exec.CommandContext(ctx, "go", "mod", "download", "-json", m.module+"@"+m.version)
	// Outside of every module, so that no module depends on it.
	command.Dir = GinkgoT().TempDir()
	command.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	output, err := command.Output()
	Expect(err).NotTo(HaveOccurred(), "go mod download %s: %s", m.module, output)
	var downloaded struct {
		Dir string `json:"Dir"`
		Sum string `json:"Sum"`
	}
	Expect(json.Unmarshal(output, &downloaded)).To(Succeed())
	Expect(downloaded.Sum).To(Equal(m.sum), m.module)
	return downloaded.Dir
}

// installForeign installs the resource definitions of other projects.
func installForeign(ctx context.Context) {
	GinkgoHelper()
	var paths []string
	for i := range foreign {
		dir := foreign[i].download(ctx)
		for _, file := range foreign[i].files {
			paths = append(paths, filepath.Join(dir, filepath.FromSlash(file)))
		}
	}
	_, err := envtest.InstallCRDs(env.Config, envtest.CRDInstallOptions{Paths: paths, ErrorIfPathMissing: true})
	Expect(err).NotTo(HaveOccurred())
}

// applier applies objects on the server, as kubectl does with --server-side
// --validate=strict, and keeps what the server warns of.
type applier struct {
	client dynamic.Interface
	mapper meta.RESTMapper

	mu       sync.Mutex
	warnings []string // guarded by mu
}

// HandleWarningHeaderWithContext implements rest.WarningHandlerWithContext.
func (a *applier) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.warnings = append(a.warnings, text)
}

func newApplier() *applier {
	GinkgoHelper()
	a := &applier{mapper: env.RESTMapper()}
	config := rest.CopyConfig(env.Config)
	config.WarningHandlerWithContext = a
	var err error
	a.client, err = dynamic.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	return a
}

func (a *applier) apply(ctx context.Context, u *unstructured.Unstructured, dryRun ...string) error {
	kind := u.GroupVersionKind()
	mapping, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	content, err := json.Marshal(u)
	if err != nil {
		return err
	}
	var resources dynamic.ResourceInterface = a.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		resources = a.client.Resource(mapping.Resource).Namespace(u.GetNamespace())
	}
	force := true
	_, err = resources.Patch(ctx, u.GetName(), types.ApplyPatchType, content, metav1.PatchOptions{
		FieldManager: "kubectl", Force: &force, FieldValidation: metav1.FieldValidationStrict, DryRun: dryRun,
	})
	return err
}

// applyNamespace makes the namespace, as the overlay has it. Specs in other
// processes do the same.
func (a *applier) applyNamespace(ctx context.Context, d deployment) {
	GinkgoHelper()
	for _, u := range d {
		if u.GetKind() == "Namespace" {
			Expect(a.apply(ctx, u)).To(Succeed())
		}
	}
}

var _ = Describe("deployment: API server", func() {
	for _, overlay := range overlays {
		It("accepts every object without a warning ("+overlay+")", func(ctx SpecContext) {
			if overlay == "production" {
				installForeign(ctx)
			}
			d, a := build(overlay), newApplier()
			a.applyNamespace(ctx, d)
			for _, u := range d {
				Expect(a.apply(ctx, u, metav1.DryRunAll)).To(Succeed(), "%s %s", u.GetKind(), u.GetName())
			}
			Expect(a.warnings).To(BeEmpty())
		}, SpecTimeout(specTimeout))

		It("admits every pod where Pod Security is restricted ("+overlay+")", func(ctx SpecContext) {
			d := build(overlay)
			newApplier().applyNamespace(ctx, d)
			for _, w := range d.workloads() {
				pod := w.pod()
				Expect(env.Create(ctx, pod, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))).To(Succeed(), w.name)

				careless := w.pod()
				careless.Spec.HostPID = true
				err := env.Create(ctx, careless, client.DryRunAll)
				Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%s: enforced, so that the above means something: %v", w.name, err)
			}
		}, SpecTimeout(specTimeout))
	}

	It("has a namespace that enforces, audits and warns about the restricted Pod Security level", func(ctx SpecContext) {
		d := build("production")
		newApplier().applyNamespace(ctx, d)
		var namespace corev1.Namespace
		Expect(env.Get(ctx, client.ObjectKey{Name: deployNamespace}, &namespace)).To(Succeed())
		for _, mode := range []string{"enforce", "audit", "warn"} {
			Expect(namespace.Labels).To(HaveKeyWithValue("pod-security.kubernetes.io/"+mode, "restricted"))
		}
	}, SpecTimeout(specTimeout))
})
