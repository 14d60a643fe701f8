//go:build e2e

package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/cluster"
)

var _ = Describe("people", func() {
	It("field C16: read a trail and acknowledge with kubectl, under the names in their certificates", func(ctx SpecContext) {
		rr := fire(ctx, podAlert())
		classified(ctx, rr)
		trail := audited(ctx, rr.Name)

		auditor := someone(ctx, "kubernaut-audit-reader")
		raw := auditor.must(ctx, "get", "--raw", "/apis/audit.kubernaut.ai/v1/events?correlation_id="+rr.Name+"&limit=100")
		for i := range trail {
			Expect(raw).To(ContainSubstring(trail[i].EventId.String()))
		}
		Expect(auditor.must(ctx, "get", "trails.audit.kubernaut.ai", rr.Name)).To(ContainSubstring(trail[0].EventId.String()))

		operator := someone(ctx, "kubernaut-audit-acknowledger")
		file := filepath.Join(GinkgoT().TempDir(), "acknowledgement.yaml")
		text, err := yaml.Marshal(map[string]any{
			"apiVersion": "audit.kubernaut.ai/v1", "kind": "Acknowledgement",
			"spec": map[string]any{
				"recorder": "system:serviceaccount:" + cluster.System + ":gateway", "reason": "seen in a trial", "eventIDs": []string{uuid.NewString()},
			},
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(file, text, 0o600)).To(Succeed())
		// To validate a kind that cannot be patched, kubectl lists resource definitions, which few people may.
		created := operator.must(ctx, "create", "--validate=false", "-f", file, "-o", "name")
		id, found := strings.CutPrefix(strings.TrimSpace(created), "acknowledgement.audit.kubernaut.ai/")
		Expect(found).To(BeTrue(), created)
		acknowledgement := audited(ctx, id)
		Expect(acknowledgement).To(HaveLen(1))
		Expect(acknowledgement[0].EventType).To(Equal("datastorage.acknowledgement.created"))
		Expect(acknowledgement[0].ActorId).To(HaveValue(Equal(operator.Name)))

		By("asking as people who may not")
		Expect(auditor.refused(ctx, "create", "--validate=false", "-f", file)).To(ContainSubstring("forbidden"))
		stranger := someone(ctx, "")
		Expect(stranger.refused(ctx, "get", "trails.audit.kubernaut.ai", rr.Name)).To(ContainSubstring("forbidden"))
	}, SpecTimeout(specTimeout))
})

// personWithKubectl calls kubectl with a person's credentials.
type personWithKubectl struct {
	*cluster.Person

	kubeconfig string
}

// someone is a new person to whom a ClusterRole is bound, if it is named.
func someone(ctx context.Context, role string) personWithKubectl {
	GinkgoHelper()
	person, err := env.NewPerson(ctx)
	Expect(err).NotTo(HaveOccurred())
	if role != "" {
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: person.Name, Labels: map[string]string{testenv.NamespaceLabel: "true"}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: person.Name}},
		}
		Expect(env.Create(ctx, binding)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(env.Delete(ctx, binding)).To(Succeed()) })
		Expect(env.AwaitPermission(ctx, person.Name, acknowledgements)).To(Succeed())
	}
	text, err := person.Kubeconfig()
	Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(os.WriteFile(file, text, 0o600)).To(Succeed())
	return personWithKubectl{Person: person, kubeconfig: file}
}

// acknowledgements may be read by everybody to whom a role of ours is bound.
var acknowledgements = schema.GroupResource{Group: "audit.kubernaut.ai", Resource: "acknowledgements"}

func (p personWithKubectl) kubectl(ctx context.Context, arguments ...string) (output, failure string, err error) {
	program := os.Getenv("KUBECTL")
	if program == "" {
		program = "kubectl"
	}
	command := exec.CommandContext(ctx, program, append([]string{"--kubeconfig", p.kubeconfig, "--cache-dir", filepath.Dir(p.kubeconfig)}, arguments...)...)
	var out, failed strings.Builder
	command.Stdout, command.Stderr = &out, &failed
	err = command.Run()
	return out.String(), failed.String(), err
}

func (p personWithKubectl) must(ctx context.Context, arguments ...string) string {
	GinkgoHelper()
	output, failure, err := p.kubectl(ctx, arguments...)
	Expect(err).NotTo(HaveOccurred(), "kubectl %v: %s", arguments, failure)
	return output
}

// refused returns what kubectl says about a call that fails.
func (p personWithKubectl) refused(ctx context.Context, arguments ...string) string {
	GinkgoHelper()
	output, failure, err := p.kubectl(ctx, arguments...)
	Expect(err).To(HaveOccurred(), "kubectl %v: %s", arguments, output)
	return strings.ToLower(failure)
}
