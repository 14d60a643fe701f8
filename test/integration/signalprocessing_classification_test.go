//go:build integration

package integration_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	"kubernaut.ai/test/testenv"
)

var _ = Describe("classification", func() {
	DescribeTable("severity", func(ctx SpecContext, said string, labels map[string]string, want v1alpha1.Severity, source string) {
		rr := env.Request(env.CorrelationID())
		rr.Spec.Severity, rr.Spec.Labels = said, labels
		sp := classified(ctx, rr)
		Expect(sp.Status.Severity.Value).To(Equal(want))
		Expect(sp.Status.Severity.Source).To(Equal(source))
		Expect(rr.Status.Severity).To(Equal(want))
		Expect(auditTrail(ctx, rr)).To(trailtest.HaveAudited(classificationDecision,
			trailtest.WithData("severity.value", want), trailtest.WithData("severity.source", source)))
	}, severityEntries())

	DescribeTable("environment", func(ctx SpecContext, e evidence, want v1alpha1.Environment, source string) {
		rr := env.Request(env.CorrelationID())
		if e.namespace == "" {
			e.namespace = "shop-*"
		}
		namespace := namespaceNamed(ctx, e.namespace, e.namespaceLabels, nil)
		pod := podIn(namespace)
		pod.Labels = e.targetLabels
		Expect(env.Create(ctx, pod)).To(Succeed())
		rr.Spec.TargetResource = v1alpha1.TargetResource{Kind: "Pod", Name: pod.Name, Namespace: namespace}
		rr.Spec.Labels = e.signalLabels
		sp := classified(ctx, rr)
		Expect(sp.Status.Context.Degraded).To(BeFalse(), sp.Status.Context.DegradedReason)
		Expect(sp.Status.Environment.Value).To(Equal(want))
		Expect(sp.Status.Environment.Source).To(Equal(source))
		Expect(rr.Status.Environment).To(Equal(want))
		Expect(auditTrail(ctx, rr)).To(trailtest.HaveAudited(classificationDecision,
			trailtest.WithData("environment.value", want), trailtest.WithData("environment.source", source)))
	}, environmentEntries())

	DescribeTable("priority", func(ctx SpecContext, severity, environment string, want v1alpha1.Priority) {
		rr := env.Request(env.CorrelationID())
		rr.Spec.Severity = severity
		rr.Spec.TargetResource.Namespace = namespaceNamed(ctx, "shop-*", map[string]string{"kubernaut.ai/environment": environment}, nil)
		sp := classified(ctx, rr)
		Expect(sp.Status.Priority.Value).To(Equal(want))
		Expect(rr.Status.Priority).To(Equal(want))
		Expect(auditTrail(ctx, rr)).To(trailtest.HaveAudited(businessClassified, trailtest.WithData("priority.value", want)))
	}, priorityEntries())

	It("decides the business owner from labels and annotations of the namespace", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		rr.Spec.TargetResource.Namespace = namespaceNamed(ctx, "shop-*",
			map[string]string{"team": "checkout", "kubernaut.ai/criticality": "high"},
			map[string]string{"kubernaut.ai/business-unit": "Retail & Online", "kubernaut.ai/sla": "4h", "unrelated.example/large": "x"})
		sp := classified(ctx, rr)
		Expect(*sp.Status.Business).To(Equal(v1alpha1.Business{Unit: "Retail & Online", ServiceOwner: "checkout", Criticality: "high", SLA: "4h"}))
		Expect(sp.Status.Context.NamespaceAnnotations).NotTo(HaveKey("unrelated.example/large"))
		Expect(auditTrail(ctx, rr)).To(trailtest.HaveAudited(businessClassified,
			trailtest.WithData("business.unit", "Retail & Online"),
			trailtest.WithData("business.service_owner", "checkout"),
			trailtest.WithData("business.criticality", "high"),
			trailtest.WithData("business.sla", "4h")))
	}, SpecTimeout(specTimeout))

	It("omits unknown business fields", func(ctx SpecContext) {
		rr := env.Request(env.CorrelationID())
		rr.Spec.TargetResource.Namespace = namespaceNamed(ctx, "shop-*", map[string]string{"kubernaut.ai/criticality": "enormous"}, map[string]string{"kubernaut.ai/sla": "soon"})
		Expect(*classified(ctx, rr).Status.Business).To(Equal(v1alpha1.Business{Criticality: "unknown"}))
	}, SpecTimeout(specTimeout))
})

// evidence is what determines an environment.
type evidence struct {
	namespace       string // an asterisk is replaced by a random part
	namespaceLabels map[string]string
	targetLabels    map[string]string
	signalLabels    map[string]string
}

func severityEntries() []TableEntry {
	words := map[v1alpha1.Severity][]string{
		v1alpha1.SeverityCritical: {
			"critical", "crit", "fatal", "emergency", "emerg", "panic", "disaster", "alert", "blocker", "page",
			"Sev0", "Sev1", "sev-1", "Severity 1", "P0", "P1",
		},
		v1alpha1.SeverityHigh:    {"high", "error", "err", "major", "severe", "Sev2", "severity2", "P2"},
		v1alpha1.SeverityMedium:  {"medium", "moderate", "average", "warning", "WARNING", "warn", "minor", "Sev3", "severity3", "P3"},
		v1alpha1.SeverityLow:     {"low", "info", "informational", "information", "notice", "normal", "debug", "none", "Sev4", "Sev5", "severity4", "severity5", "P4", "P5"},
		v1alpha1.SeverityUnknown: {"", "purple"},
	}
	var entries []TableEntry
	for _, want := range []v1alpha1.Severity{
		v1alpha1.SeverityCritical, v1alpha1.SeverityHigh, v1alpha1.SeverityMedium, v1alpha1.SeverityLow, v1alpha1.SeverityUnknown,
	} {
		for _, said := range words[want] {
			source := "signal-severity"
			if want == v1alpha1.SeverityUnknown {
				source = "default"
			}
			entries = append(entries, Entry(nil, said, map[string]string(nil), want, source, SpecTimeout(specTimeout)))
		}
	}
	for _, name := range []string{"kubernaut.ai/severity", "severity", "level", "priority"} {
		entries = append(entries, Entry(nil, "purple", map[string]string{name: "major"}, v1alpha1.SeverityHigh, "signal-label", SpecTimeout(specTimeout)))
	}
	return entries
}

func environmentEntries() []TableEntry {
	aliases := map[v1alpha1.Environment][]string{
		v1alpha1.EnvironmentProduction:  {"production", "prod", "prd", "live"},
		v1alpha1.EnvironmentStaging:     {"staging", "stage", "stg", "preprod", "pre-prod", "preproduction", "uat"},
		v1alpha1.EnvironmentDevelopment: {"development", "devel", "dev", "sandbox"},
		v1alpha1.EnvironmentTest:        {"test", "testing", "tst", "qa", "e2e", "ci"},
	}
	var entries []TableEntry
	add := func(e evidence, want v1alpha1.Environment, source string) {
		entries = append(entries, Entry(nil, e, want, source, SpecTimeout(specTimeout)))
	}
	for _, want := range []v1alpha1.Environment{
		v1alpha1.EnvironmentProduction, v1alpha1.EnvironmentStaging, v1alpha1.EnvironmentDevelopment, v1alpha1.EnvironmentTest,
	} {
		for _, alias := range aliases[want] {
			add(evidence{namespaceLabels: map[string]string{"environment": alias}}, want, "namespace-label")
		}
		alias := aliases[want][1]
		add(evidence{namespaceLabels: map[string]string{"environment": "blue"}, targetLabels: map[string]string{"env": alias}}, want, "target-label")
		add(evidence{namespace: alias + "-*"}, want, "namespace-name")
		add(evidence{namespace: "web-*-" + alias}, want, "namespace-name")
		add(evidence{signalLabels: map[string]string{"cluster": "eu-" + alias + "-1"}}, want, "signal-cluster")
	}
	for _, name := range []string{"kubernaut.ai/environment", "app.kubernetes.io/environment", "environment", "env"} {
		add(evidence{namespaceLabels: map[string]string{name: "Staging"}}, v1alpha1.EnvironmentStaging, "namespace-label")
		add(evidence{targetLabels: map[string]string{name: "Staging"}}, v1alpha1.EnvironmentStaging, "target-label")
	}
	for _, name := range []string{"cluster", "cluster_name", "kubernaut.ai/cluster"} {
		add(evidence{signalLabels: map[string]string{name: "prod"}}, v1alpha1.EnvironmentProduction, "signal-cluster")
	}
	// The strongest evidence wins.
	everything := evidence{
		namespace: "prod-*", namespaceLabels: map[string]string{"env": "qa", "kubernaut.ai/environment": "dev"},
		targetLabels: map[string]string{"env": "prod"}, signalLabels: map[string]string{"cluster": "stage"},
	}
	add(everything, v1alpha1.EnvironmentDevelopment, "namespace-label")
	everything.namespaceLabels = nil
	add(everything, v1alpha1.EnvironmentProduction, "target-label")
	everything.targetLabels = nil
	add(everything, v1alpha1.EnvironmentProduction, "namespace-name")
	everything.namespace = "shop-*"
	add(everything, v1alpha1.EnvironmentStaging, "signal-cluster")
	add(evidence{}, v1alpha1.EnvironmentUnknown, "default")
	add(evidence{namespace: "non-prod-*"}, v1alpha1.EnvironmentUnknown, "default")
	return entries
}

func priorityEntries() []TableEntry {
	environments := []string{"production", "staging", "development", "test", "unknown"}
	rows := []struct {
		severity   string
		priorities [5]v1alpha1.Priority
	}{
		{"critical", [5]v1alpha1.Priority{"P0", "P1", "P2", "P2", "P1"}},
		{"high", [5]v1alpha1.Priority{"P1", "P2", "P3", "P3", "P2"}},
		{"medium", [5]v1alpha1.Priority{"P2", "P3", "P3", "P3", "P3"}},
		{"low", [5]v1alpha1.Priority{"P3", "P3", "P3", "P3", "P3"}},
		{"unknown", [5]v1alpha1.Priority{"P2", "P3", "P3", "P3", "P3"}},
	}
	entries := make([]TableEntry, 0, len(rows)*len(environments))
	for _, row := range rows {
		for i, environment := range environments {
			entries = append(entries, Entry(nil, row.severity, environment, row.priorities[i], SpecTimeout(specTimeout)))
		}
	}
	return entries
}

// podIn is a pod that an API server without a kubelet accepts.
func podIn(namespace string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: testenv.Unique("web-*")},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web"}}},
	}
}
