//go:build integration

package integration_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/test/testenv"
)

// targetLabels are those of an alert that can name its target.
var targetLabels = []string{
	"pod", "deployment", "statefulset", "daemonset", "job_name", "cronjob", "replicaset",
	"horizontalpodautoscaler", "persistentvolumeclaim", "persistentvolume", "node", "service", "ingress", "networkpolicy",
	"poddisruptionbudget", "resourcequota", "limitrange", "replicationcontroller",
}

// processedKinds are the kinds that SignalProcessing reads.
var processedKinds = []string{
	"Pod", "Node", "Namespace", "Service", "PersistentVolumeClaim", "PersistentVolume", "ReplicationController", "ReplicaSet",
	"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Ingress",
}

// One spec, because its services use the leader's lease and the namespace.
var _ = Describe("deployment: permissions", func() {
	It("are exactly what the services need; and the services export the metrics of alerts and dashboard", func(spec SpecContext) {
		d, ctx := deployPipeline(spec)

		By("alerting about two pods of a workload, twice")
		pods := d.replicaSetPods(ctx)
		alert := map[string]string{"alertname": env.CorrelationID(), "namespace": d.Namespace, "severity": "critical", "pod": pods[0]}
		first := d.send(ctx, alert)[0]
		alert["pod"] = pods[1]
		second := d.send(ctx, alert)[0]
		Expect(second.RemediationRequestName).To(Equal(first.RemediationRequestName), "the Gateway sees their owner")
		rr := d.classified(ctx, first.RemediationRequestNamespace, first.RemediationRequestName)
		Expect(testenv.WaitFor(ctx, env, rr, func(rr *v1alpha1.RemediationRequest) bool {
			return rr.Status.Deduplication != nil && rr.Status.Deduplication.OccurrenceCount == 2
		})).To(Succeed())

		By("alerting about every kind that a label can name")
		every := make([]map[string]string, len(targetLabels))
		for i, label := range targetLabels {
			name := env.CorrelationID()
			every[i] = map[string]string{"alertname": name, "namespace": d.Namespace, label: name}
		}
		d.send(ctx, every...)

		By("processing a request about every kind")
		for _, kind := range processedKinds {
			request := env.Request(env.CorrelationID())
			request.Namespace = d.Namespace
			request.Spec.TargetResource = v1alpha1.TargetResource{Kind: kind, Name: request.Name, Namespace: d.Namespace}
			Expect(env.Create(ctx, request)).To(Succeed())
			d.classified(ctx, request.Namespace, request.Name)
		}

		By("deleting a request with a finalizer")
		request := env.Request(env.CorrelationID())
		request.Namespace, request.Finalizers = d.Namespace, []string{v1alpha1.FinalizerRegister}
		Expect(env.Create(ctx, request)).To(Succeed())
		d.classified(ctx, request.Namespace, request.Name)
		deleteRequest(ctx, request)

		By("reading the trail as must-gather does")
		read, err := d.trail.Read(ctx, rr.Name)
		Expect(err).NotTo(HaveOccurred())
		Expect(testenv.Trail(read)).To(testenv.HaveSteps(testenv.StepsTo(v1alpha1.ProcessingCompleted)))
		Expect(d.refused.all()).To(BeEmpty())

		By("comparing metrics")
		expectMetrics(build("production"), exported(ctx, append(d.ManagementURLs, d.DataStorage.ManagementURL, env.People.ManagementURL)...))

		By("checking permissions that are used rarely")
		for _, right := range []struct{ account, namespace, verb, group, resource string }{
			{"gateway", "", "watch", "kubernaut.ai", "remediationrequests"},
			{"gateway", "", "delete", "kubernaut.ai", "remediationrequests"},
			{"gateway", deployNamespace, "delete", "coordination.k8s.io", "leases"},
			{"gateway", "", "list", "", "nodes"},
			{"gateway", deployNamespace, "create", "", "events"},
			{"gateway", "", "create", "events.k8s.io", "events"},
			{"signalprocessing", "", "watch", "kubernaut.ai", "signalprocessings"},
			{"signalprocessing", "", "update", "kubernaut.ai", "remediationrequests/finalizers"},
			{"signalprocessing", "", "delete", "kubernaut.ai", "remediationrequests"},
			{"signalprocessing", deployNamespace, "update", "coordination.k8s.io", "leases"},
			{"signalprocessing", "", "patch", "events.k8s.io", "events"},
			{"workflowexecution", "", "create", "kubernaut.ai", "workflowexecutions"},
			{"workflowexecution", "", "propose", "kubernaut.ai", "workflowexecutions"},
			{"workflowexecution", "", "update", "kubernaut.ai", "workflowexecutions/finalizers"},
			{"workflowexecution", "", "get", "admissionregistration.k8s.io", "validatingadmissionpolicybindings"},
			{"workflowexecution", deployNamespace, "delete", "coordination.k8s.io", "leases"},
			{"workflowexecution", "", "watch", "", "namespaces"},
			{"workflowexecution", workflowsNamespace, "watch", "batch", "jobs"},
			{"workflowexecution", workflowsNamespace, "get", "", "pods/log"},
		} {
			Expect(may(ctx, right.account, right.namespace, right.verb, right.group, right.resource)).To(BeTrue(), "%+v", right)
		}

		By("checking permissions that no service needs")
		for _, account := range []string{"datastorage", "datastorage-maintenance", "gateway", "signalprocessing", "workflowexecution", "must-gather"} {
			for _, right := range []struct{ verb, group, resource string }{
				{"get", "", "secrets"},
				{"list", "", "secrets"},
				{"list", "", "pods"},
				{"create", "", "pods"},
				{"create", "", "pods/exec"},
				{"create", "", "pods/proxy"},
				{"create", "", "serviceaccounts/token"},
				{"patch", "apps", "deployments"},
				{"update", "kubernaut.ai", "remediationrequests"},
				{"delete", "kubernaut.ai", "signalprocessings"},
				{"create", "rbac.authorization.k8s.io", "rolebindings"},
			} {
				Expect(may(ctx, account, deployNamespace, right.verb, right.group, right.resource)).To(BeFalse(), "%s %+v", account, right)
			}
		}
		for account, others := range map[string][]string{"gateway": {"", "signalprocessing"}, "signalprocessing": {"", "gateway"}, "datastorage": {"gateway"}, "workflowexecution": {"", "gateway"}} {
			for _, name := range others {
				Expect(mayName(ctx, account, deployNamespace, "create", "audit.kubernaut.ai", "events", name)).To(BeFalse(), "%s %s", account, name)
			}
		}
		for _, account := range []string{"gateway", "signalprocessing", "workflowexecution"} {
			Expect(may(ctx, account, deployNamespace, "list", "audit.kubernaut.ai", "events")).To(BeFalse(), "%s writes, and reads no trail", account)
		}
		for name, allowed := range map[string]bool{"approval-probe": true, "workflow-restart": true, "default": false} {
			Expect(mayName(ctx, "workflowexecution", workflowsNamespace, "create", "", "serviceaccounts/token", name)).To(Equal(allowed), name)
		}
		Expect(may(ctx, "must-gather", deployNamespace, "create", "audit.kubernaut.ai", "events")).To(BeFalse())
		Expect(may(ctx, "signalprocessing", d.Namespace, "get", "coordination.k8s.io", "leases")).To(BeFalse())
		Expect(may(ctx, "gateway", d.Namespace, "get", "coordination.k8s.io", "leases")).To(BeFalse())
		for name, allowed := range map[string]bool{"workflowexecution-pauses": true, "gateway-target-rules": false} {
			Expect(mayName(ctx, "workflowexecution", deployNamespace, "update", "", "configmaps", name)).To(Equal(allowed), name)
		}
		Expect(may(ctx, "gateway", deployNamespace, "get", "", "configmaps")).To(BeFalse(), "other ConfigMaps than that of the target rules")
		as := rest.AnonymousClientConfig(env.Config)
		as.BearerToken = token(ctx, "gateway")
		asGateway, err := client.New(as, client.Options{Scheme: env.Scheme()})
		Expect(err).NotTo(HaveOccurred())
		var secret corev1.Secret
		err = asGateway.Get(ctx, client.ObjectKey{Namespace: deployNamespace, Name: "datastorage-database"}, &secret)
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
	}, SpecTimeout(specTimeout+time.Minute))
})
