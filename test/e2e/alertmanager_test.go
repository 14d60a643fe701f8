//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/cluster"
)

const (
	// alertmanagerImage is the one of hack/kind-node/alertmanager-image.sh.
	alertmanagerImage = "kubernaut/alertmanager:test"
	// signalSender lets the pods of a namespace through the Gateway's NetworkPolicy.
	signalSender = "kubernaut.ai/signal-sender"
)

// alertmanagerConfig notifies the Gateway at once, and again after five seconds.
const alertmanagerConfig = `
route:
  receiver: kubernaut
  group_by: ['...']
  group_wait: 0s
  group_interval: 5s
  repeat_interval: 1h
receivers:
- name: kubernaut
  webhook_configs:
  - url: https://gateway.%s.svc:8080/api/v1/signals/prometheus
    send_resolved: true
    http_config:
      authorization: {credentials_file: /etc/alertmanager/token}
      tls_config: {ca_file: /etc/alertmanager/ca.crt}
`

// realAlertmanager is an Alertmanager in the process's namespace.
type realAlertmanager struct{ url string }

// startAlertmanager starts one for the spec.
func startAlertmanager(ctx context.Context) *realAlertmanager {
	GinkgoHelper()
	authority, err := os.ReadFile(env.CAFile)
	Expect(err).NotTo(HaveOccurred())
	allowed := &corev1.Namespace{}
	Expect(env.Get(ctx, client.ObjectKey{Name: env.Namespace}, allowed)).To(Succeed())
	before := allowed.DeepCopy()
	metav1.SetMetaDataLabel(&allowed.ObjectMeta, signalSender, "true")
	Expect(env.Patch(ctx, allowed, client.MergeFrom(before))).To(Succeed())

	meta := metav1.ObjectMeta{Namespace: env.Namespace, Name: testenv.Unique("alertmanager-*")}
	labels := map[string]string{"app": meta.Name}
	Expect(env.Create(ctx, &corev1.Secret{ObjectMeta: meta, StringData: map[string]string{
		"alertmanager.yml": fmt.Sprintf(alertmanagerConfig, cluster.System), "token": string(env.Tokens.Sender), "ca.crt": string(authority),
	}})).To(Succeed())
	Expect(env.Create(ctx, &appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			AutomountServiceAccountToken: new(bool),
			Containers: []corev1.Container{{
				Name: "alertmanager", Image: alertmanagerImage, ImagePullPolicy: corev1.PullNever,
				Args: []string{
					"--config.file=/etc/alertmanager/alertmanager.yml", "--storage.path=/data",
					"--web.listen-address=:8080", "--cluster.listen-address=",
				},
				ReadinessProbe: &corev1.Probe{
					ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/-/ready", Port: intstr.FromInt32(8080)}}, PeriodSeconds: 1,
				},
				VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/alertmanager"}, {Name: "data", MountPath: "/data"}},
			}},
			Volumes: []corev1.Volume{
				{Name: "config", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: meta.Name}}},
				{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			},
		}},
	}})).To(Succeed())

	var pod string
	Expect(testenv.WaitForAll(ctx, env, &corev1.PodList{}, func(pods map[client.ObjectKey]*corev1.Pod) bool {
		for key, p := range pods {
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
					pod = key.Name
				}
			}
		}
		return pod != ""
	}, client.InNamespace(env.Namespace), client.MatchingLabels(labels))).To(Succeed())
	url, stop, err := env.Forward(ctx, env.Namespace, pod)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(stop)
	return &realAlertmanager{url: strings.Replace(url, "https://", "http://", 1)}
}

// send tells Alertmanager about an alert, as Prometheus does; one with an end is resolved.
func (a *realAlertmanager) send(ctx context.Context, labels map[string]string, startsAt, endsAt time.Time) {
	GinkgoHelper()
	alert := map[string]any{
		"labels": labels, "startsAt": startsAt, "generatorURL": "http://prometheus.example/graph",
		"annotations": map[string]string{"summary": "the Deployment has no available pods"},
	}
	if !endsAt.IsZero() {
		alert["endsAt"] = endsAt
	}
	body, err := json.Marshal([]any{alert})
	Expect(err).NotTo(HaveOccurred())
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url+"/api/v2/alerts", bytes.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Content-Type", "application/json")
	answer, err := env.HTTP.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer func() { Expect(answer.Body.Close()).To(Succeed()) }()
	Expect(answer.StatusCode).To(Equal(http.StatusOK))
}

// requestAbout waits for the request about an alert.
func requestAbout(ctx context.Context, namespace, alertname string) *v1alpha1.RemediationRequest {
	GinkgoHelper()
	var found *v1alpha1.RemediationRequest
	Expect(testenv.WaitForAll(ctx, env, &v1alpha1.RemediationRequestList{}, func(all map[client.ObjectKey]*v1alpha1.RemediationRequest) bool {
		for _, rr := range all {
			if rr.Spec.SignalName == alertname {
				found = rr
			}
		}
		return found != nil
	}, client.InNamespace(namespace))).To(Succeed())
	env.Track(found.Name)
	return found
}

var _ = Describe("a real Alertmanager", func() {
	It("opens a request, and ends it when the alert resolves", func(ctx SpecContext) {
		sender := startAlertmanager(ctx)
		alert, began := podAlert(), time.Now().UTC()
		sender.send(ctx, alert, began, time.Time{})
		rr := requestAbout(ctx, env.Namespace, alert["alertname"])
		Expect(rr.Spec.Annotations).To(HaveKeyWithValue("summary", "the Deployment has no available pods"))
		Expect(rr.Spec.FiringTime.UTC()).To(BeTemporally("~", began, time.Millisecond))

		By("resolving the alert")
		sender.send(ctx, alert, began, time.Now().UTC())
		Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool { return rr.Status.Phase.Terminal() })).To(Succeed())
		trail := audited(ctx, rr.Name)
		Expect(trail.Of(signalReceived)).To(HaveLen(1))
		Expect(trail).To(trailtest.HaveAudited(signalResolved))
	}, SpecTimeout(specTimeout))
})
