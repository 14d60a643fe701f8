//go:build e2e

package e2e_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/cluster"
)

// cleanup is the remediation of a namespace with finished Jobs, by a Job.
type cleanup struct {
	*story

	finished []*batchv1.Job
	// job of the execution, as it was seen first.
	job *batchv1.Job
	// jobs are all that were ever there under the name of the execution's, until the spec ends.
	jobs watch.Interface
}

// startCleanup makes a Job that has failed and one that has completed, and waits for the proposal to delete them.
func startCleanup(ctx context.Context, person personWithKubectl, sender *realAlertmanager, namespace string) *cleanup {
	GinkgoHelper()
	signal := testenv.Unique("JobFailed-*")
	variant(ctx, "clean-finished-jobs", signal)
	c := &cleanup{finished: []*batchv1.Job{finishedJob(ctx, namespace, "no-such-command"), finishedJob(ctx, namespace, "--version")}}
	c.story = &story{person: person, sender: sender, labels: map[string]string{
		"alertname": signal, "namespace": namespace, "job_name": c.finished[0].Name, "severity": "warning",
	}}
	c.propose(ctx)
	c.job = &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.Workflows, Name: "wfe-" + string(c.wfe.UID)}}
	var err error
	c.jobs, err = env.Kubernetes.BatchV1().Jobs(cluster.Workflows).Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", c.job.Name).String(),
	})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(c.jobs.Stop)
	return c
}

// created waits until the execution's Job exists.
func (c *cleanup) created(ctx context.Context) {
	GinkgoHelper()
	Expect(testenv.WaitFor(ctx, env, c.job, func(*batchv1.Job) bool { return true })).To(Succeed())
}

// expectOneJob expects that one Job worked, with the workflow's account, and that the finished Jobs are gone.
func (c *cleanup) expectOneJob(ctx context.Context, trail testenv.Trail) {
	GinkgoHelper()
	for _, job := range c.finished {
		Expect(apierrors.IsNotFound(env.Get(ctx, client.ObjectKeyFromObject(job), job))).To(BeTrue(), job.Name)
	}
	facts := make([]gomegatypes.GomegaMatcher, 0, 2+len(c.finished))
	facts = append(facts, trailtest.WithActorID("system:serviceaccount:"+cluster.Workflows+":workflow-clean-finished-jobs"), trailtest.WithData("job", c.job.Name))
	for _, job := range c.finished {
		facts = append(facts, trailtest.WithData("log", ContainSubstring(job.Namespace+"/"+job.Name)))
	}
	Expect(trail).To(trailtest.HaveAudited("workflowexecution.execution.completed", facts...))
	Expect(c.job.Spec.Template.Spec.ServiceAccountName).To(Equal("workflow-clean-finished-jobs"))

	By("having seen one Job under its name")
	Expect(env.Delete(ctx, c.wfe, client.PropagationPolicy(metav1.DeletePropagationBackground))).To(Succeed(), "the finalizer deletes its Job")
	seen := map[types.UID]bool{}
	for event := range c.jobs.ResultChan() {
		job, ok := event.Object.(*batchv1.Job)
		Expect(ok).To(BeTrue(), "%v", event.Object)
		seen[job.UID] = true
		if event.Type == watch.Deleted {
			break
		}
	}
	Expect(seen).To(Equal(map[types.UID]bool{c.job.UID: true}))
	var pods corev1.PodList
	Expect(env.List(ctx, &pods, client.InNamespace(cluster.Workflows), client.MatchingLabels{batchv1.JobNameLabel: c.job.Name})).To(Succeed())
	Expect(len(pods.Items)).To(BeNumerically("<=", 1), "its pod is going")
}
