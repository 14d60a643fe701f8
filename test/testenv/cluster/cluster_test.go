package cluster

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestLogsAreReducedToRelevantLines(t *testing.T) {
	g := NewWithT(t)
	var log strings.Builder
	for i := range 2 * maxLines {
		_, _ = fmt.Fprintf(&log, `{"level":"info","message":"of another","name":"rr-2"}`+"\n"+`{"level":"info","message":"n %d","name":"rr-1"}`+"\n", i)
		_, _ = fmt.Fprintf(&log, `{"level":"error","message":"n %d","name":"rr-2"}`+"\n", i)
	}
	log.WriteString(`{"level":"warn","message":"audit sink down"}` + "\n2026 LOG: fine\n2026 FATAL:  no space left\n")
	lines, left := relevant(strings.NewReader(log.String()), []string{"rr-1"})
	g.Expect(lines).To(HaveLen(maxLines + maxProblems))
	g.Expect(left).To(Equal(4*maxLines + 2 - maxLines - maxProblems))
	g.Expect(lines[maxLines-1]).To(Equal(fmt.Sprintf(`{"level":"info","message":"n %d","name":"rr-1"}`, 2*maxLines-1)))
	g.Expect(lines[len(lines)-2:]).To(Equal([]string{`{"level":"warn","message":"audit sink down"}`, "2026 FATAL:  no space left"}))
	lines, _ = relevant(strings.NewReader(log.String()), nil)
	g.Expect(lines).To(HaveLen(maxProblems), "problems only")
}

func TestARolloutIsCompleteWhenTheControllerReportsIt(t *testing.T) {
	g := NewWithT(t)
	complete := func() *appsv1.Deployment {
		return &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Generation: 3},
			Spec:       appsv1.DeploymentSpec{Replicas: new(int32(2))},
			Status:     appsv1.DeploymentStatus{ObservedGeneration: 3, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: 2},
		}
	}
	replicas, done := state(complete())
	g.Expect(replicas).To(BeEquivalentTo(2))
	g.Expect(done).To(BeTrue())
	for name, change := range map[string]func(*appsv1.Deployment){
		"not observed": func(d *appsv1.Deployment) { d.Generation++ },
		"one too many": func(d *appsv1.Deployment) { d.Status.Replicas++ },
		"not updated":  func(d *appsv1.Deployment) { d.Status.UpdatedReplicas-- },
		"not ready":    func(d *appsv1.Deployment) { d.Status.ReadyReplicas-- },
	} {
		d := complete()
		change(d)
		_, done := state(d)
		g.Expect(done).To(BeFalse(), name)
	}
	s := &appsv1.StatefulSet{Status: appsv1.StatefulSetStatus{Replicas: 1, ReadyReplicas: 1, UpdateRevision: "b", CurrentRevision: "a"}}
	_, done = state(s)
	g.Expect(done).To(BeFalse(), "rollout in progress")
	s.Status.CurrentRevision = "b"
	_, done = state(s)
	g.Expect(done).To(BeTrue())
}

func TestAddressesComeFromTheEnvironment(t *testing.T) {
	g := NewWithT(t)
	g.Expect(FromEnvironment().GatewayURL).To(Equal("https://127.0.0.1:30081"))
	t.Setenv("E2E_KUBECONFIG", "/k")
	t.Setenv("E2E_GATEWAY_URL", "http://g")
	t.Setenv("E2E_DATASTORAGE_URL", "http://d")
	t.Setenv("E2E_CA_FILE", "/ca.crt")
	g.Expect(FromEnvironment()).To(Equal(Addresses{Kubeconfig: "/k", GatewayURL: "http://g", DataStorageURL: "http://d", CAFile: "/ca.crt"}))
}
