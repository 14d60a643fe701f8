//go:build integration

package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/cmd/kubernaut/requests"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/test/testenv"
)

// commandUser runs commands with a kubeconfig of their own.
type commandUser struct {
	*person

	kubeconfig string
}

// newCommandUser makes a user with a client certificate who may do what the rules say.
func newCommandUser(ctx context.Context, rules ...rbacv1.PolicyRule) *commandUser {
	GinkgoHelper()
	name := testenv.Unique("ada-*") + "@example.org"
	config, err := env.People.WithCertificate(env.Config, name, "oncall")
	Expect(err).NotTo(HaveOccurred())
	made := clientcmdapi.NewConfig()
	made.Clusters["c"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData, CertificateAuthority: config.CAFile}
	made.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	made.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	made.CurrentContext = "x"
	path := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(clientcmd.WriteToFile(*made, path)).To(Succeed())
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: testenv.Unique("commands-*")}, Rules: rules}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}},
	}
	for _, object := range []client.Object{role, binding} {
		Expect(env.Create(ctx, object)).To(Succeed())
		DeferCleanup(removed, object)
	}
	who := &commandUser{newPerson(config, name, "", "oncall"), path}
	who.may(ctx, "events", "list") // waits until the API server knows what the user may do
	return who
}

// approverRules are the permissions of those who decide.
func approverRules() []rbacv1.PolicyRule {
	rule := func(group string, resources, verbs []string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
	}
	return []rbacv1.PolicyRule{
		rule("kubernaut.ai", []string{"remediationrequests", "workflowexecutions", "remediationapprovals"}, []string{"get", "list"}),
		rule("kubernaut.ai", []string{"remediationapprovals", "remediationcommands"}, []string{"create"}),
		rule("kubernaut.ai", []string{"pauseswitches"}, []string{"get", "create", "update"}),
		rule("", []string{"namespaces"}, []string{"get", "patch"}),
	}
}

// run runs a command as the user, who answers its question, and returns its output.
func (u *commandUser) run(ctx context.Context, answer string, args ...string) (int, string) {
	return runCommand(ctx, answer, append(args, "--kubeconfig", u.kubeconfig)...)
}

// complete asks for the completions of a command's last argument, as shells do.
func (u *commandUser) complete(ctx context.Context, command string, args ...string) (int, string) {
	return runCommand(ctx, "", append([]string{cobra.ShellCompRequestCmd, command, "--kubeconfig", u.kubeconfig}, args...)...)
}

func runCommand(ctx context.Context, answer string, args ...string) (int, string) {
	root := cli.Group(&cobra.Command{Use: "kubernaut"})
	root.AddCommand(requests.Commands("KUBERNAUT")...)
	var out bytes.Buffer
	root.SetIn(strings.NewReader(answer))
	root.SetOut(&out)
	root.SetErr(&out)
	code := cli.Execute(ctx, root, args, &out)
	return code, out.String()
}

// aProposal makes a request with an execution that waits for a decision, in a namespace
// that no service watches.
func aProposal(ctx context.Context) (*v1alpha1.RemediationRequest, *v1alpha1.WorkflowExecution) {
	GinkgoHelper()
	namespace, err := env.NewNamespace(ctx, nil, nil)
	Expect(err).NotTo(HaveOccurred())
	rr := env.Request(env.CorrelationID())
	rr.Namespace = namespace
	rr.Spec.TargetResource.Namespace = namespace
	Expect(env.Create(ctx, rr)).To(Succeed())
	wfe := &v1alpha1.WorkflowExecution{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: rr.Name + "-1", Labels: map[string]string{v1alpha1.LabelRequest: rr.Name}},
		Spec: v1alpha1.WorkflowExecutionSpec{
			Request:  v1alpha1.ObjectRef{Name: rr.Name, UID: rr.UID},
			Target:   v1alpha1.ExecutionTarget{APIVersion: "apps/v1", Kind: "Deployment", Namespace: namespace, Name: "checkout", UID: "u", Generation: 1},
			Workflow: v1alpha1.WorkflowRef{Name: "restart", SHA256: strings.Repeat("a", 64), Risk: "low"},
			Reason:   "the pods crash", Approval: v1alpha1.ApprovalRequired, ApprovalReason: "production",
			Change: "+ restartedAt: now\x1b[2J", PlanDigest: strings.Repeat("b", 64),
			ExpiresAt: metav1.NewMicroTime(time.Now().Add(time.Hour)),
		},
	}
	Expect(env.Create(ctx, wfe)).To(Succeed())
	before := rr.DeepCopy()
	rr.Status.Phase, rr.Status.ExecutionRef = v1alpha1.RemediationAwaitingApproval, wfe.Name
	Expect(env.Status().Patch(ctx, rr, client.MergeFrom(before))).To(Succeed())
	return rr, wfe
}

func approvalsIn(ctx context.Context, namespace string) []v1alpha1.RemediationApproval {
	GinkgoHelper()
	list := &v1alpha1.RemediationApprovalList{}
	Expect(env.List(ctx, list, client.InNamespace(namespace))).To(Succeed())
	return list.Items
}

var _ = Describe("commands of people", func() {
	It("approve shows the proposal, asks, and decides under the caller's own name", func(ctx SpecContext) {
		rr, wfe := aProposal(ctx)
		ada := newCommandUser(ctx, approverRules()...)
		code, out := ada.run(ctx, "no\n", "approve", rr.Name, "-n", rr.Namespace, "--reason", "seen before")
		Expect(code).To(Equal(cli.ExitFailed), out)
		Expect(out).To(SatisfyAll(ContainSubstring("Deployment "+rr.Namespace+"/checkout"), ContainSubstring("+ restartedAt: now"),
			Not(ContainSubstring("\x1b")), ContainSubstring("production"), ContainSubstring(wfe.Spec.PlanDigest), ContainSubstring("nothing was done")))
		Expect(approvalsIn(ctx, rr.Namespace)).To(BeEmpty())

		code, out = ada.run(ctx, "yes\n", "approve", rr.Name, "-n", rr.Namespace, "--reason", "seen before")
		Expect(code).To(Equal(cli.ExitOK), out)
		made := approvalsIn(ctx, rr.Namespace)
		Expect(made).To(HaveLen(1))
		Expect(made[0].Name).To(Equal(string(wfe.UID)))
		Expect(made[0].Spec).To(Equal(v1alpha1.RemediationApprovalSpec{
			Execution: wfe.Name, ExecutionUID: wfe.UID, PlanDigest: wfe.Spec.PlanDigest, Verdict: v1alpha1.VerdictApprove, Reason: "seen before",
			DecidedBy: v1alpha1.Decider{Name: ada.name, Groups: []string{"oncall", "system:authenticated"}},
		}))

		By("the same person again, then two others")
		code, out = ada.run(ctx, "", "approve", wfe.Name, "-n", rr.Namespace, "--reason", "again", "--yes")
		Expect(code).To(Equal(cli.ExitFailed))
		Expect(out).To(ContainSubstring("you have approved"))
		bob := newCommandUser(ctx, approverRules()...)
		code, out = bob.run(ctx, "", "reject", wfe.Name, "-n", rr.Namespace, "--reason", "not now", "--yes")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(approvalsIn(ctx, rr.Namespace)).To(ConsistOf(
			HaveField("Name", string(wfe.UID)), SatisfyAll(HaveField("Name", string(wfe.UID)+"-2"), HaveField("Spec.Verdict", v1alpha1.VerdictReject), HaveField("Spec.DecidedBy.Name", bob.name)),
		))
		carl := newCommandUser(ctx, approverRules()...)
		_, out = carl.run(ctx, "", "approve", wfe.Name, "-n", rr.Namespace, "--reason", "late", "--yes")
		Expect(out).To(ContainSubstring("two decisions about"))
	}, SpecTimeout(specTimeout))

	It("approve refuses what cannot be approved, and names what is missing", func(ctx SpecContext) {
		rr, wfe := aProposal(ctx)
		stranger := newCommandUser(ctx)
		code, out := stranger.run(ctx, "", "approve", rr.Name, "-n", rr.Namespace, "--reason", "x", "--yes")
		Expect(code).To(Equal(cli.ExitFailed))
		Expect(out).To(ContainSubstring("forbidden"))
		ada := newCommandUser(ctx, approverRules()...)
		_, out = ada.run(ctx, "", "approve", "rr-absent", "-n", rr.Namespace, "--reason", "x", "--yes")
		Expect(out).To(ContainSubstring("has no request or execution rr-absent"))
		code, _ = ada.run(ctx, "", "approve", rr.Name, "-n", rr.Namespace, "--yes")
		Expect(code).To(Equal(cli.ExitUsage))
		before := wfe.DeepCopy()
		wfe.Status.Phase = v1alpha1.ExecutionExpired
		Expect(env.Status().Patch(ctx, wfe, client.MergeFrom(before))).To(Succeed())
		_, out = ada.run(ctx, "", "approve", rr.Name, "-n", rr.Namespace, "--reason", "x", "--yes")
		Expect(out).To(ContainSubstring("is not a proposal anymore: it is Expired"))
		Expect(approvalsIn(ctx, rr.Namespace)).To(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("retry and close are for requests that wait for a person", func(ctx SpecContext) {
		rr, _ := aProposal(ctx)
		ada := newCommandUser(ctx, approverRules()...)
		_, out := ada.run(ctx, "", "retry", rr.Name, "-n", rr.Namespace, "--reason", "repaired")
		Expect(out).To(ContainSubstring("is in phase AwaitingApproval: only one in phase ManualReview can be retried"))
		before := rr.DeepCopy()
		rr.Status.Phase = v1alpha1.RemediationManualReview
		Expect(env.Status().Patch(ctx, rr, client.MergeFrom(before))).To(Succeed())
		code, out := ada.run(ctx, "", "close", rr.Name, "-n", rr.Namespace, "--reason", "done by hand")
		Expect(code).To(Equal(cli.ExitOK), out)
		list := &v1alpha1.RemediationCommandList{}
		Expect(env.List(ctx, list, client.InNamespace(rr.Namespace))).To(Succeed())
		Expect(list.Items).To(HaveLen(1))
		Expect(list.Items[0].Spec).To(Equal(v1alpha1.RemediationCommandSpec{
			Request: v1alpha1.ObjectRef{Name: rr.Name, UID: rr.UID}, Command: v1alpha1.CommandClose, Reason: "done by hand",
			RequestedBy: v1alpha1.Decider{Name: ada.name, Groups: []string{"oncall", "system:authenticated"}},
		}))
	}, SpecTimeout(specTimeout))

	It("executions lists, and shells complete what the cluster has", func(ctx SpecContext) {
		rr, wfe := aProposal(ctx)
		ada := newCommandUser(ctx, approverRules()...)
		_, out := ada.run(ctx, "", "executions", "-n", rr.Namespace)
		Expect(out).To(SatisfyAll(HavePrefix("NAMESPACE"), ContainSubstring(wfe.Name), ContainSubstring("Proposed")))
		_, out = ada.run(ctx, "", "executions", "-n", rr.Namespace, "-o", "json")
		var items []v1alpha1.WorkflowExecution
		Expect(json.Unmarshal([]byte(out), &items)).To(Succeed())
		Expect(items).To(HaveLen(1))
		_, out = ada.complete(ctx, "approve", "-n", rr.Namespace, rr.Name[:4])
		Expect(out).To(ContainSubstring(wfe.Name))
		_, out = ada.complete(ctx, "trail", "-n", rr.Namespace, "")
		Expect(out).To(ContainSubstring(rr.Name))
	}, SpecTimeout(specTimeout))

	It("trail is read through the API server, and from DataStorage", func(ctx SpecContext) {
		ada := newCommandUser(ctx)
		id := env.CorrelationID()
		code, out := ada.run(ctx, "", "trail", id)
		Expect(code).To(Equal(cli.ExitFailed))
		Expect(out).To(ContainSubstring("no event has this correlation id"))
		event := anEvent(id, nil)
		decoded[datastorage.EventCreated](storeJSON(ctx, env.DataStorage.URL, storeEvents, event), http.StatusCreated)
		_, out = ada.run(ctx, "", "trail", id)
		Expect(out).To(HavePrefix("TIME (UTC)"))
		for _, more := range [][]string{nil, {"--datastorage-url", env.DataStorage.URL}} {
			_, out = ada.run(ctx, "", append([]string{"trail", id, "-o", "json"}, more...)...)
			Expect(out).To(ContainSubstring(wireIDs(event)[0]))
		}
	}, SpecTimeout(specTimeout))

	It("pause and resume keep what a namespace had opted in to", func(ctx SpecContext) {
		name, err := env.NewNamespace(ctx, map[string]string{v1alpha1.LabelRemediation: v1alpha1.RemediationAuto}, nil)
		Expect(err).NotTo(HaveOccurred())
		ada := newCommandUser(ctx, approverRules()...)
		label := func() string {
			ns := &corev1.Namespace{}
			Expect(env.Get(ctx, client.ObjectKey{Name: name}, ns)).To(Succeed())
			return ns.Labels[v1alpha1.LabelRemediation]
		}
		for range 2 {
			code, out := ada.run(ctx, "", "pause", "-n", name)
			Expect(code).To(Equal(cli.ExitOK), out)
			Expect(label()).To(Equal(v1alpha1.RemediationPaused))
		}
		code, out := ada.run(ctx, "", "resume", "-n", name)
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(label()).To(Equal(v1alpha1.RemediationAuto))
	}, SpecTimeout(specTimeout))

	It("pause and resume write the switch of the cluster", Serial, func(ctx SpecContext) {
		ada := newCommandUser(ctx, approverRules()...)
		code, out := ada.run(ctx, "", "pause", "--reason", "network")
		Expect(code).To(Equal(cli.ExitOK), out)
		DeferCleanup(func(ctx SpecContext) { ada.run(ctx, "", "resume", "--reason", "the spec is over") })
		read := func() v1alpha1.PauseSwitchSpec {
			found := &v1alpha1.PauseSwitch{}
			Expect(env.Get(ctx, client.ObjectKey{Name: v1alpha1.PauseSwitchName}, found)).To(Succeed())
			return found.Spec
		}
		by := v1alpha1.Decider{Name: ada.name, Groups: []string{"oncall", "system:authenticated"}}
		Expect(read()).To(Equal(v1alpha1.PauseSwitchSpec{Paused: true, Reason: "network", ChangedBy: by}))
		_, out = ada.run(ctx, "", "pause", "--reason", "again")
		Expect(out).To(ContainSubstring("because: network"))
		code, out = ada.run(ctx, "", "resume", "--reason", "repaired")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(read()).To(Equal(v1alpha1.PauseSwitchSpec{Reason: "repaired", ChangedBy: by}))
	}, SpecTimeout(specTimeout))
})
