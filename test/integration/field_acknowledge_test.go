//go:build integration

package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/control"
	"kubernaut.ai/pkg/audit/spool"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/testenv"
)

// Specs about people who take note of rejected events.

// operator is a person who may do what docs/troubleshooting.md says in the process's
// namespace; it returns the path of the kubeconfig.
func operator(ctx context.Context) (name, kubeconfig string) {
	GinkgoHelper()
	name = testenv.Unique("ada-*") + "@example.org"
	config, err := env.People.WithCertificate(env.Config, name)
	Expect(err).NotTo(HaveOccurred())
	who := newPerson(config, name, "")
	who.may(ctx, "acknowledgements", "create")
	meta := metav1.ObjectMeta{Namespace: env.Namespace, Name: testenv.Unique("operator-*")}
	Expect(env.Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: append(mayWatch, maySeeVolumes, mayForward)})).To(Succeed())
	Expect(env.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}},
	})).To(Succeed())
	awaitDecision(ctx, true, func(ctx context.Context) (bool, error) { return forwards(ctx, name) })

	file, err := clientcmd.LoadFromFile(env.Kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	file.AuthInfos[file.Contexts[file.CurrentContext].AuthInfo] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData, ClientKeyData: config.KeyData,
	}
	kubeconfig = filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(clientcmd.WriteToFile(*file, kubeconfig)).To(Succeed())
	return name, kubeconfig
}

// recordingAs lets a Gateway record as an account, in the DataStorage of people.
func recordingAs(ctx context.Context, a account) func(*gateway.Options) {
	GinkgoHelper()
	a.mayIn(ctx, env.People.Namespace, auditGroup, "*", nil, "create", "get")
	bundle, err := env.People.Authorities.ServerBundle()
	Expect(err).NotTo(HaveOccurred())
	authority := filepath.Join(GinkgoT().TempDir(), "ca.crt")
	Expect(os.WriteFile(authority, bundle, 0o600)).To(Succeed())
	token := a.tokenFile(ctx)
	return func(o *gateway.Options) {
		o.DataStorageURL, o.DataStorageCAFile, o.DataStorageTokenFile, o.ControlListen = env.People.URL, authority, token, anyLoopback
	}
}

var _ = Describe("people and rejected events", func() {
	It("field C13: a rejected event is shown, and acknowledged under the name of a person", func(ctx SpecContext) {
		disk, event := refusedEvent()
		account := newAccount(ctx, "gateway")
		asAccount := recordingAs(ctx, account)
		configure := func(o *gateway.Options) {
			asAccount(o)
			o.Spool = disk
		}
		g, running := soleGateway(ctx, configure)
		workload := podOf(ctx, account.Name, g)

		By("flushing: the failure names the event and the reason, which the management port does not")
		flusher, _ := flusherOf(workload, nil)
		_, err := flusher.FlushPods(ctx, "")
		failure, ok := errors.AsType[*audit.FlushError](err)
		Expect(ok).To(BeTrue(), "%v", err)
		Expect(failure.Rejected).To(HaveLen(1), "%v", err)
		Expect(failure.Rejected[0].ID).To(Equal(event.ID))
		Expect(failure.Rejected[0].Reason).To(ContainSubstring("event_outcome"))

		By("looking, as a person")
		person, kubeconfig := operator(ctx)
		as := func(args ...string) []string {
			return append(args, "--kubeconfig", kubeconfig, "--namespace", env.Namespace)
		}
		code, out, _ := kubernaut(ctx, as("stores", workload.Name, "--output", "json")...)
		Expect(code).To(Equal(cli.ExitOK))
		Expect(out).To(ContainSubstring(`"rejected_events": 1`))
		code, out, _ = kubernaut(ctx, as("stores", "quarantine", "list", "--workload", workload.Name)...)
		Expect(code).To(Equal(cli.ExitOK))
		Expect(out).To(ContainSubstring(event.ID.String()))
		code, out, _ = kubernaut(ctx, as("stores", "quarantine", "show", event.ID.String(), "--workload", workload.Name)...)
		Expect(code).To(Equal(cli.ExitOK))
		Expect(out).To(ContainSubstring(`"event_data_redacted": true`))
		Expect(out).NotTo(ContainSubstring("secret"))
		code, out, _ = kubernaut(ctx, as("stores", "quarantine", "show", event.ID.String(), "--workload", workload.Name, "--show-sensitive")...)
		Expect(code).To(Equal(cli.ExitOK))
		Expect(out).To(ContainSubstring("secret"))

		By("acknowledging what DataStorage knows nothing of")
		listener := control.Client{URL: g.ControlURL()}
		_, err = listener.Acknowledge(ctx, uuid.New())
		status, ok := errors.AsType[*control.StatusError](err)
		Expect(ok).To(BeTrue(), "%v", err)
		Expect(status.Status).To(Equal(http.StatusNotFound))
		code, _, complaint := kubernaut(ctx, as("stores", "acknowledge", uuid.NewString(), "--reason", "mistyped", "--workload", workload.Name)...)
		Expect(code).To(Equal(cli.ExitFailed))
		Expect(complaint).To(ContainSubstring("no pod reports"))

		By("acknowledging the event")
		code, out, _ = kubernaut(ctx, as("stores", "acknowledge", event.ID.String(), "--reason", "recorded by a broken build", "--workload", workload.Name)...)
		Expect(code).To(Equal(cli.ExitOK))
		Expect(out).To(ContainSubstring("pod " + workload.PodName(0) + ": 1 event settled"))
		_, err = flusher.FlushPods(ctx, "")
		Expect(err).NotTo(HaveOccurred())

		record := uuidIn(out)
		env.Track(record)
		stored := storedEvent(ctx, record)
		Expect(stored.ActorId).To(HaveValue(Equal(person)))
		var data struct {
			Recorder string      `json:"recorder"`
			EventIDs []uuid.UUID `json:"event_ids"`
		}
		Expect(json.Unmarshal(stored.EventData, &data)).To(Succeed())
		Expect(data.Recorder).To(Equal(account.user()))
		Expect(data.EventIDs).To(Equal([]uuid.UUID{event.ID}))

		By("handing the record over again, and restarting")
		code, out, _ = kubernaut(ctx, as("stores", "acknowledge", "--record", record, "--workload", workload.Name)...)
		Expect(code).To(Equal(cli.ExitOK))
		Expect(out).To(ContainSubstring("0 events settled"))
		Expect(running.Stop()).To(Succeed())
		next, _ := soleGateway(ctx, configure)
		Expect((&control.Client{URL: next.ControlURL()}).State(ctx)).To(HaveField("RejectedEvents", 0))
	}, SpecTimeout(specTimeout))

	It("field C13: an acknowledgement for another recorder settles nothing", func(ctx SpecContext) {
		disk, event := refusedEvent()
		asAccount := recordingAs(ctx, newAccount(ctx, "gateway"))
		g, _ := soleGateway(ctx, func(o *gateway.Options) {
			asAccount(o)
			o.Spool = disk
		})
		Expect(flushed(ctx, g.ManagementURL())).To(Equal(http.StatusConflict))
		admin := newPerson(env.Config, "kubernaut-admin", "")
		made, err := admin.Resource(peopleAcknowledgements).Create(ctx, acknowledgement(newAccount(ctx, "other").user(), "not theirs", event.ID.String()), metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		env.Track(made.GetName())
		_, err = (&control.Client{URL: g.ControlURL()}).Acknowledge(ctx, uuid.MustParse(made.GetName()))
		status, ok := errors.AsType[*control.StatusError](err)
		Expect(ok).To(BeTrue(), "%v", err)
		Expect(status.Status).To(Equal(http.StatusNotFound))
		Expect(flushed(ctx, g.ManagementURL())).To(Equal(http.StatusConflict))
	}, SpecTimeout(specTimeout))

	It("field C19: rejected events on the volume stay there until somebody acknowledges them", func(ctx SpecContext) {
		disk, event := refusedEvent()
		sent := event
		sent.ID, sent.Outcome = audit.DerivedID(time.Now(), env.CorrelationID()), audit.OutcomeSuccess
		opened, err := spool.Open(disk.Dir)
		Expect(err).NotTo(HaveOccurred())
		_, err = opened.Append([]audit.Event{sent}, 0)
		Expect(errors.Join(err, opened.Close())).To(Succeed())
		account := newAccount(ctx, "gateway")
		var options gateway.Options
		recordingAs(ctx, account)(&options)
		adopt := []string{
			"spool", "adopt", disk.Dir, "--datastorage-url", options.DataStorageURL,
			"--datastorage-token-file", options.DataStorageTokenFile, "--datastorage-ca-file", options.DataStorageCAFile,
		}
		for range 2 {
			code, out, _ := kubernaut(ctx, adopt...)
			Expect(code).To(Equal(cli.ExitFailed))
			Expect(out).To(ContainSubstring(event.ID.String()))
			Expect(os.ReadDir(disk.Dir)).NotTo(BeEmpty())
		}
		Expect(storedEvent(ctx, sent.ID.String()).RecordedBy).To(HaveValue(Equal(account.user())), "the others are stored")
		_, kubeconfig := operator(ctx)
		code, out, _ := kubernaut(ctx, "stores", "acknowledge", event.ID.String(), "--reason", "recorded by a broken build",
			"--recorder", account.user(), "--kubeconfig", kubeconfig, "-n", env.Namespace)
		Expect(code).To(Equal(cli.ExitOK))
		env.Track(uuidIn(out))
		code, _, _ = kubernaut(ctx, append(adopt, "--acknowledgement", uuidIn(out))...)
		Expect(code).To(Equal(cli.ExitOK))
		Expect(os.ReadDir(disk.Dir)).To(BeEmpty())
	}, SpecTimeout(specTimeout))
})

// uuidIn is the first UUID in a text.
func uuidIn(text string) string {
	GinkgoHelper()
	for word := range strings.FieldsSeq(text) {
		if id, err := uuid.Parse(word); err == nil {
			return id.String()
		}
	}
	Fail("no id in " + text)
	return ""
}

// forwards reports whether a user may port-forward in the process's namespace.
func forwards(ctx context.Context, user string) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: env.Namespace, Resource: "pods", Subresource: "portforward", Verb: "create",
		},
	}}
	err := env.Create(ctx, review)
	return review.Status.Allowed, err
}
