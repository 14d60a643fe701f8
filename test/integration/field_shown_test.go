//go:build integration

package integration_test

import (
	"context"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/mustgather"
	"kubernaut.ai/internal/mustgather/redact/redacttest"
	"kubernaut.ai/test/testenv"
)

var _ = Describe("what others wrote", func() {
	It("field C24: terminal escapes of alerts, events and logs reach neither the tables of kubectl nor a must-gather archive", func(ctx SpecContext) {
		const attack = "\x1b[2J\x1b]0;pwned\x07\u009b31m\u202eevil\r\b"
		p, err := env.NewPipeline(ctx, testenv.PipelineOptions{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(p.Stop()).To(Succeed()) })

		By("sending an alert whose every label is an attack")
		name := aName()
		answer := post(ctx, p.GatewayURL, alertBody("firing", map[string]string{
			"alertname": name + attack, "severity": "warning" + attack, "namespace": env.Namespace, "pod": "p" + attack, "instance": attack, "note": attack,
		}))
		Expect(answer.Code).To(Equal(http.StatusCreated))
		key := client.ObjectKey{Namespace: answer.Each()[0].RemediationRequestNamespace, Name: answer.Each()[0].RemediationRequestName}
		rr := &v1alpha1.RemediationRequest{}
		Expect(env.Get(ctx, key, rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		for _, shown := range []string{
			rr.Spec.SignalName, rr.Spec.Severity, rr.Spec.TargetResource.Kind, rr.Spec.TargetResource.Name, string(rr.Status.Severity), rr.Status.Message,
		} {
			Expect(controls(shown, "")).To(BeEmpty(), "%q", shown)
		}
		Expect(rr.Spec.SignalName).To(HavePrefix(name), "what is visible stays")
		Expect(rr.Spec.Labels["note"]).To(Equal(attack), "evidence stays as it was sent")

		By("collecting everything that mentions it")
		create(ctx, eventAbout(rr.Name, "about "+attack))
		logs := logOf("job.log", time.Now().UTC().Format(time.RFC3339Nano)+" "+rr.Name+" "+attack+" says the job", "\x1b[1mbold\x1b[0m \x9b0m")
		g := gatherWith(ctx, func(o *mustgather.Options) {
			o.Namespaces, o.CorrelationIDs, o.ExtraLogs, o.ShowSensitive = []string{env.Namespace}, []string{rr.Name}, logs, true
		})
		Expect(g.file("timelines/" + rr.Name + ".txt")).To(And(ContainSubstring("evil"), ContainSubstring("says the job")))
		Expect(g.file("not-collected.txt")).NotTo(ContainSubstring("kubernaut.ai resources"), "one odd object hides no others")
		Expect(g.file("namespaces/" + key.Namespace + "/kubernaut.ai/remediationrequests/" + key.Name + ".yaml")).To(ContainSubstring("evil"))
		for file, text := range g.files {
			Expect(controls(file+text, "\n\t")).To(BeEmpty(), file)
		}
		Expect(controls(g.output, "\n")).To(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("field C23: no kind of secret, wherever it was planted, is in a must-gather archive", func(ctx SpecContext) {
		planted := redacttest.Canaries(aName())
		Expect(len(planted)).To(BeNumerically(">=", 30))
		id := env.CorrelationID()
		plantEverywhere(ctx, id, planted)
		lines := make([]string, 0, 3*len(planted))
		for _, c := range planted {
			lines = append(lines, time.Now().UTC().Format(time.RFC3339Nano)+" "+id+" says", c.Text, "that was it")
		}
		logs := logOf("job.log", lines...)

		g := gatherWith(ctx, func(o *mustgather.Options) {
			o.Namespaces, o.CorrelationIDs, o.ExtraLogs, o.ShowSensitive = []string{env.Namespace}, []string{id}, logs, true
		})
		for _, c := range planted {
			Expect(g.with(c.Secret)).To(BeEmpty(), c.Kind)
		}
		for _, evidence := range []string{
			"extra/job.log", "namespaces/" + env.Namespace + "/core/configmaps.yaml", "namespaces/" + env.Namespace + "/core/events.yaml",
			"namespaces/" + env.Namespace + "/batch/jobs.yaml", "namespaces/" + env.Namespace + "/kubernaut.ai/remediationrequests/" + id + ".yaml",
			"timelines/" + id + ".txt",
		} {
			Expect(g.file(evidence)).To(ContainSubstring("[redacted]"), evidence)
		}
	}, SpecTimeout(2*specTimeout))
})

// controls returns what a text has that is not visible, apart from what is allowed.
func controls(text, allowed string) string {
	found := strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) || strings.ContainsRune(allowed, r) {
			return -1
		}
		return r
	}, text)
	if !utf8.ValidString(text) {
		found += "invalid UTF-8"
	}
	return found
}

// plantEverywhere puts every secret into a ConfigMap, variables, arguments, annotations, a custom resource, Kubernetes
// events and audit events.
func plantEverywhere(ctx context.Context, id string, planted []redacttest.Canary) {
	GinkgoHelper()
	data, annotations := map[string]string{}, map[string]string{}
	variables := make([]corev1.EnvVar, 0, len(planted))
	args := make([]string, 0, 2*len(planted))
	for _, c := range planted {
		key := strings.ToLower(strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return r
			}
			return '-'
		}, "k-"+c.Kind+"-k"))
		data[key] = c.Text
		annotations["example.com/"+key] = c.Text
		variables = append(variables, corev1.EnvVar{Name: "SETTING_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_")), Value: c.Text})
		args = append(args, "--setting", c.Text)
		create(ctx, eventAbout(id, "failed: "+c.Text))
		decoded[any](storeJSON(ctx, env.DataStorage.URL, storeEvents, anEvent(id, fields{"event_data": fields{"note": c.Text, "list": []string{c.Text}}})), http.StatusCreated)
	}
	create(ctx,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: id, Annotations: annotations}, Data: data},
		&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: id}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Annotations: annotations},
			Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers:    []corev1.Container{{Name: "job", Image: "localhost/job", Env: variables, Args: args, Command: args}},
			},
		}}},
	)
	rr := env.Request(id)
	rr.Spec.Annotations, rr.Spec.Labels = map[string]string{}, map[string]string{}
	for key, text := range data {
		rr.Spec.Annotations[key], rr.Spec.Labels[key] = text, text
	}
	rr.Spec.ProviderData = strings.Join(args, "\n")
	Expect(env.Create(ctx, rr)).To(Succeed())
	_, err := env.AuditTrail(ctx, id)
	Expect(err).NotTo(HaveOccurred())
}
