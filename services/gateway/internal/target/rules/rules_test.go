package rules_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"kubernaut.ai/services/gateway/internal/target/rules"
)

type labels = map[string]string

// cluster is a cluster of objects by "Kind namespace/name", or "Kind name".
type cluster struct {
	rules.Nowhere

	objects map[string]rules.State
	kinds   map[string]string
	nodeOf  map[string]string
	nodeAt  map[string]string
	err     error
}

func (c cluster) State(_ context.Context, o rules.Object) (rules.State, error) {
	if state, ok := c.objects[o.String()]; ok || c.err != nil {
		return state, c.err
	}
	return rules.Missing, nil
}

func (c cluster) CustomKind(_ context.Context, singular string) (string, error) {
	return c.kinds[singular], nil
}

func (c cluster) NodeOfPod(_ context.Context, namespace, name string) (string, error) {
	return c.nodeOf[namespace+"/"+name], nil
}

func (c cluster) NodeAt(_ context.Context, address string) (string, error) {
	return c.nodeAt[address], nil
}

func builtIn(t *testing.T) *rules.Set {
	t.Helper()
	set, err := rules.BuiltIn()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// decide returns the object, or Unknown and the namespace.
func decide(t *testing.T, set *rules.Set, l labels, c rules.Cluster) (object, rule string) {
	t.Helper()
	d, err := set.Evaluate(t.Context(), l, c)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range d.Failures {
		t.Errorf("rule %s: %v", f.Rule, f.Err)
	}
	if !d.Known {
		return "Unknown " + d.Namespace, d.Rule
	}
	return d.Object.String(), d.Rule
}

func TestKindsOfLabels(t *testing.T) {
	t.Parallel()
	set := builtIn(t)
	for label, want := range map[string]string{
		"pod": "Pod a/x", "deployment": "Deployment a/x", "statefulset": "StatefulSet a/x", "daemonset": "DaemonSet a/x",
		"replicaset": "ReplicaSet a/x", "job_name": "Job a/x", "cronjob": "CronJob a/x",
		"horizontalpodautoscaler": "HorizontalPodAutoscaler a/x", "hpa": "HorizontalPodAutoscaler a/x",
		"persistentvolumeclaim": "PersistentVolumeClaim a/x", "poddisruptionbudget": "PodDisruptionBudget a/x",
		"resourcequota": "ResourceQuota a/x", "limitrange": "LimitRange a/x", "ingress": "Ingress a/x",
		"networkpolicy": "NetworkPolicy a/x", "replicationcontroller": "ReplicationController a/x",
		"persistentvolume": "PersistentVolume x", "node": "Node x", "service": "Service a/x",
		"certificatesigningrequest": "CertificateSigningRequest x", "volumeattachment": "VolumeAttachment x",
		"mutatingwebhookconfiguration": "MutatingWebhookConfiguration x", "validatingwebhookconfiguration": "ValidatingWebhookConfiguration x",
	} {
		if got, rule := decide(t, set, labels{"alertname": "A", "namespace": "a", label: "x"}, rules.Nowhere{}); got != want {
			t.Errorf("label %s: got %s by rule %s, want %s", label, got, rule, want)
		}
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	set := builtIn(t)
	ksm := labels{
		"namespace": "shop", "job": "kube-state-metrics", "pod": "kps-kube-state-metrics-6b5b7c9d8f-q2w4e", "service": "kps-kube-state-metrics",
		"container": "kube-state-metrics", "endpoint": "http", "instance": "10.42.0.17:8080",
	}
	agent := labels{
		"namespace": "monitoring", "job": "node-exporter", "pod": "kps-node-exporter-w7bb7", "service": "kps-node-exporter",
		"container": "node-exporter", "instance": "10.0.0.31:9100",
	}
	node := cluster{objects: map[string]rules.State{"Node n1": rules.Exists}, nodeOf: map[string]string{"monitoring/kps-node-exporter-w7bb7": "n2"}}
	rollouts := cluster{kinds: map[string]string{"rollout": "Rollout.argoproj.io"}, objects: map[string]rules.State{
		"Rollout.argoproj.io shop/web": rules.Exists, "Rollout.argoproj.io shop/hidden": rules.Unreadable,
	}}
	tests := map[string]struct {
		labels  []labels
		cluster rules.Cluster
		want    string
	}{
		"own label beside the exporter's pod":         {[]labels{ksm, {"deployment": "web"}}, rules.Nowhere{}, "Deployment shop/web"},
		"node beside the exporter's pod":              {[]labels{ksm, {"node": "n"}}, rules.Nowhere{}, "Node n"},
		"service beside the exporter's pod":           {[]labels{ksm, {"service": "web"}}, rules.Nowhere{}, "Service shop/web"},
		"own pod on a node":                           {[]labels{ksm, {"pod": "web-1", "node": "n"}}, rules.Nowhere{}, "Pod shop/web-1"},
		"namespace beside the exporter's pod":         {[]labels{ksm, {"phase": "Terminating"}}, cluster{}, "Namespace shop"},
		"exporter's own pod":                          {[]labels{ksm}, cluster{objects: map[string]rules.State{"Pod shop/" + ksm["pod"]: rules.Exists}}, "Pod shop/" + ksm["pod"]},
		"agent with a node":                           {[]labels{agent, {"node": "n"}}, rules.Nowhere{}, "Node n"},
		"agent with a confirmed nodename":             {[]labels{agent, {"nodename": "n1"}}, node, "Node n1"},
		"agent with a nodename that is no node":       {[]labels{agent, {"nodename": "host"}}, node, "Node n2"},
		"agent with a node as instance":               {[]labels{agent, {"instance": "n1:9100"}}, node, "Node n1"},
		"agent with its pod only":                     {[]labels{agent}, node, "Node n2"},
		"agent with an address":                       {[]labels{agent}, cluster{nodeAt: map[string]string{"10.0.0.31": "n3"}}, "Node n3"},
		"agent that is gone":                          {[]labels{agent}, cluster{}, "Unknown monitoring"},
		"agent of a cluster that cannot be asked":     {[]labels{agent, {"nodename": "n1"}}, rules.Nowhere{}, "Node n1"},
		"agents together":                             {[]labels{{"namespace": "m", "job": "node-exporter", "service": "s"}}, rules.Nowhere{}, "Service m/s"},
		"kubelet":                                     {[]labels{{"namespace": "kube-system", "job": "kubelet", "node": "n", "instance": "10.0.0.1:10250", "service": "kubelet"}}, rules.Nowhere{}, "Node n"},
		"claim that the kubelet reports":              {[]labels{{"namespace": "a", "job": "kubelet", "node": "n", "persistentvolumeclaim": "c"}}, rules.Nowhere{}, "PersistentVolumeClaim a/c"},
		"API service":                                 {[]labels{{"namespace": "default", "name": "v1beta1.metrics.k8s.io"}}, rules.Nowhere{}, "APIService v1beta1.metrics.k8s.io"},
		"custom resource state":                       {[]labels{ksm, {"customresource_group": "g.io", "customresource_kind": "Foo", "name": "f"}}, rules.Nowhere{}, "Foo.g.io shop/f"},
		"label named like a custom resource":          {[]labels{{"namespace": "shop", "rollout": "web"}}, rollouts, "Rollout.argoproj.io shop/web"},
		"custom resource that may not be read":        {[]labels{{"namespace": "shop", "rollout": "hidden"}}, rollouts, "Rollout.argoproj.io shop/hidden"},
		"custom resource that is gone":                {[]labels{{"namespace": "shop", "rollout": "gone"}}, rollouts, "Rollout.argoproj.io shop/gone"},
		"word that no custom resource has":            {[]labels{{"namespace": "shop", "rollout": "gone", "pod": "p"}}, rollouts, "Pod shop/p"},
		"label that is no kind":                       {[]labels{{"namespace": "shop", "rollout": "web"}}, cluster{}, "Unknown shop"},
		"namespace alone":                             {[]labels{{"namespace": "shop", "team": "t"}}, rules.Nowhere{}, "Namespace shop"},
		"namespace beside something else":             {[]labels{{"namespace": "shop", "queue": "q"}}, rules.Nowhere{}, "Unknown shop"},
		"nothing":                                     {[]labels{{}}, rules.Nowhere{}, "Unknown "},
		"severity none":                               {[]labels{{"namespace": "shop", "pod": "p", "severity": "none"}}, rules.Nowhere{}, "Unknown shop"},
		"invalid object name":                         {[]labels{{"namespace": "a", "pod": "Not A Name", "node": "n"}}, rules.Nowhere{}, "Node n"},
		"name too long":                               {[]labels{{"namespace": "a", "pod": strings.Repeat("p", 254), "x": "y"}}, rules.Nowhere{}, "Unknown a"},
		"namespaced object without namespace":         {[]labels{{"pod": "p"}}, rules.Nowhere{}, "Unknown "},
		"invalid namespace":                           {[]labels{{"namespace": "Not/One", "pod": "p"}}, rules.Nowhere{}, "Unknown "},
		"service":                                     {[]labels{{"namespace": "a", "service": "s"}}, cluster{}, "Service a/s"},
		"service of an exporter elsewhere":            {[]labels{{"namespace": "a", "service": "x-kube-state-metrics", "reason": "r"}}, cluster{}, "Unknown a"},
		"job that is named like a service":            {[]labels{{"namespace": "a", "job": "s", "handler": "h"}}, cluster{objects: map[string]rules.State{"Service a/s": rules.Exists}}, "Service a/s"},
		"control plane by address":                    {[]labels{{"job": "apiserver", "instance": "10.0.0.1:6443"}}, cluster{nodeAt: map[string]string{"10.0.0.1": "cp"}, objects: map[string]rules.State{"Pod kube-system/kube-apiserver-cp": rules.Exists}}, "Pod kube-system/kube-apiserver-cp"},
		"application that reports its own pod":        {[]labels{{"namespace": "a", "job": "web", "service": "web", "pod": "web-1", "node": "n", "instance": "10.0.0.1:80"}}, rules.Nowhere{}, "Pod a/web-1"},
		"secrets and config maps only of an exporter": {[]labels{{"namespace": "a", "secret": "s", "configmap": "c"}}, rules.Nowhere{}, "Unknown a"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := labels{"alertname": "A"}
			for _, more := range test.labels {
				maps.Copy(l, more)
			}
			if got, rule := decide(t, set, l, test.cluster); got != test.want {
				t.Errorf("got %s by rule %s, want %s", got, rule, test.want)
			}
		})
	}
}

func TestOnlyTrustedExportersReportAboutOtherNamespaces(t *testing.T) {
	t.Parallel()
	set := builtIn(t)
	tests := map[string]struct {
		labels labels
		want   string
	}{
		"trusted":                          {labels{"job": "kube-state-metrics", "namespace": "monitoring", "exported_namespace": "pay", "exported_pod": "p", "pod": "e"}, "Pod pay/p"},
		"trusted, own label":               {labels{"job": "kube-state-metrics", "namespace": "monitoring", "exported_namespace": "pay", "deployment": "d", "pod": "e"}, "Deployment pay/d"},
		"trusted, node":                    {labels{"job": "kube-state-metrics", "namespace": "monitoring", "exported_node": "n"}, "Node n"},
		"job in another namespace":         {labels{"job": "kube-state-metrics", "namespace": "evil", "exported_namespace": "pay", "exported_pod": "p", "pod": "e"}, "Unknown evil"},
		"another job":                      {labels{"job": "app", "namespace": "monitoring", "exported_namespace": "pay", "deployment": "d"}, "Unknown monitoring"},
		"no job":                           {labels{"namespace": "monitoring", "exported_namespace": "pay", "exported_pod": "p"}, "Unknown monitoring"},
		"no job and no namespace":          {labels{"exported_namespace": "pay", "exported_pod": "p"}, "Unknown "},
		"OpenTelemetry without namespace":  {labels{"k8s.namespace.name": "shop", "k8s.pod.name": "p"}, "Unknown "},
		"another job, same namespace":      {labels{"job": "app", "namespace": "a", "exported_namespace": "a", "exported_pod": "p", "pod": "e"}, "Pod a/p"},
		"another job, exported pod":        {labels{"job": "app", "namespace": "a", "exported_pod": "p", "pod": "e"}, "Pod a/p"},
		"another job, exported node":       {labels{"job": "app", "namespace": "a", "exported_node": "n", "pod": "e"}, "Pod a/e"},
		"namespace in another sense":       {labels{"job": "app", "namespace": "a", "exported_namespace": "orders", "pod": "e"}, "Pod a/e"},
		"OpenTelemetry, same namespace":    {labels{"namespace": "a", "k8s.namespace.name": "a", "k8s.pod.name": "p", "k8s.deployment.name": "d", "k8s.node.name": "n"}, "Pod a/p"},
		"OpenTelemetry, no pod":            {labels{"namespace": "a", "k8s.deployment.name": "d"}, "Deployment a/d"},
		"OpenTelemetry, translated":        {labels{"namespace": "a", "k8s_pod_name": "p", "k8s_deployment_name": "d"}, "Pod a/p"},
		"OpenTelemetry, job":               {labels{"namespace": "a", "k8s.job.name": "j"}, "Job a/j"},
		"OpenTelemetry, another namespace": {labels{"namespace": "a", "k8s.namespace.name": "b", "k8s.pod.name": "p"}, "Unknown a"},
		"plain labels, cluster-scoped":     {labels{"job": "app", "namespace": "a", "persistentvolume": "v"}, "PersistentVolume v"},
		"dedicated namespace, no job":      {labels{"namespace": "cert-manager", "exported_namespace": "pay", "name": "c"}, "Certificate.cert-manager.io pay/c"},
		"dedicated namespace, another job": {labels{"job": "app", "namespace": "cert-manager", "exported_namespace": "pay", "name": "c"}, "Unknown cert-manager"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.labels["alertname"] = "A"
			if got, rule := decide(t, set, test.labels, rules.Nowhere{}); got != test.want {
				t.Errorf("got %s by rule %s, want %s", got, rule, test.want)
			}
		})
	}
}

func TestRulesOfUsersComeFirst(t *testing.T) {
	t.Parallel()
	const file = `
trustedExporters:
- name: inventory
  jobs: [inventory]
  namespaces: [ops]
variables:
- name: ours
  expression: labels.team == "ours"
rules:
- name: queue
  when: ours && !podIsExporter
  target: object("StatefulSet", labels.queue)
- name: other-namespace
  target: object("Rollout.argoproj.io", labels.area, labels.rollout)
`
	set, err := rules.Parse("file", []byte(file), builtIn(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		labels               labels
		wantObject, wantRule string
	}{
		{labels{"namespace": "a", "queue": "q", "team": "ours", "pod": "p"}, "StatefulSet a/q", "file/queue"},
		{labels{"namespace": "a", "queue": "q", "team": "theirs", "pod": "p"}, "Pod a/p", "pod"},
		{labels{"namespace": "a", "area": "b", "rollout": "r", "pod": "p"}, "Rollout.argoproj.io b/r", "file/other-namespace"},
		{labels{"namespace": "ops", "job": "inventory", "exported_namespace": "a", "deployment": "d"}, "Deployment a/d", "deployment"},
		{labels{"namespace": "monitoring", "job": "kube-state-metrics", "exported_namespace": "a", "deployment": "d"}, "Unknown monitoring", "another-namespace"},
	} {
		if got, rule := decide(t, set, test.labels, rules.Nowhere{}); got != test.wantObject || rule != test.wantRule {
			t.Errorf("%v: got %s by %s, want %s by %s", test.labels, got, rule, test.wantObject, test.wantRule)
		}
	}
}

func TestMistakesHaveALineAndAColumn(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ file, want string }{
		"plain expression":       {"rules:\n- name: a\n  when: labels.x == 1\n  target: unknown()\n", "line 3, column 18: a: found no matching overload"},
		"quoted expression":      {"rules:\n- name: a\n  target: \"object('Pod', nope)\"\n", "line 3, column 26: a: undeclared reference to 'nope'"},
		"literal block":          {"rules:\n- name: a\n  target: |\n    object(\"Pod\",\n      nope)\n", "line 5, column 7: a: undeclared reference"},
		"folded block":           {"rules:\n- name: a\n  target: >-\n    object(\"Pod\",\n    nope)\n", "line 5, column 5: a: undeclared reference"},
		"has":                    {"rules:\n- name: a\n  when: has(labels.pod)\n  target: unknown()\n", "line 3, column 12: a: found no matching overload for 'has'"},
		"wrong type":             {"rules:\n- name: a\n  target: labels.pod\n", "line 3, column 11: a: want an expression of type object, got string"},
		"YAML":                   {"rules:\n- name: a\n  target: [x\n- name: b\n", "line 3, column 1: did not find expected ',' or ']'"},
		"not a mapping":          {"- a\n", "line 1, column 1: the file must be a mapping"},
		"not a list":             {"rules: a\n", "line 1, column 8: must be a list"},
		"unknown field":          {"rules:\n- name: a\n  target: unknown()\n  matches: b\n", `line 4, column 3: unknown field "matches": a rule has name, reason, target, when`},
		"no name":                {"rules:\n- target: unknown()\n", "line 2, column 3: a rule needs a name"},
		"bad name":               {"rules:\n- name: A b\n  target: unknown()\n", "line 2, column 3: the name of a rule has lower case letters"},
		"no target":              {"rules:\n- name: a\n", "line 2, column 3: rule a needs the field target"},
		"twice":                  {"rules:\n- name: a\n  target: unknown()\n- name: a\n  target: unknown()\n", "line 4, column 3: rule a is there twice"},
		"exporter of anybody":    {"trustedExporters:\n- name: a\n  jobs: [a]\n", "line 2, column 3: trusted exporter a needs jobs and namespaces"},
		"namespace":              {"trustedExporters:\n- name: a\n  jobs: [a]\n  namespaces: [\"*\"]\n", `line 4, column 16: "*" is not the name of a namespace`},
		"variable that is taken": {"variables:\n- name: labels\n  expression: 'true'\n", "line 2, column 3: the name labels is taken"},
		"two documents":          {"rules: []\n---\nrules: []\n", "line 1, column 1: want one YAML document"},
		"too large":              {strings.Repeat("#", rules.MaxFile+1), "line 1, column 1: the file has 262145 bytes"},
		"too many rules":         {"rules:\n" + strings.Repeat("- {}\n", 201), "line 2, column 1: has 201 entries: at most 200 are taken"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := rules.Parse("file", []byte(test.file), builtIn(t))
			invalid, ok := errors.AsType[*rules.InvalidError](err)
			if !ok || len(invalid.Problems) == 0 || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func TestTheRulesOfTheDocumentationAreValid(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../../../docs/targets.md")
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		if !strings.Contains(block, "\nrules:") || strings.Contains(block, "apiVersion:") {
			continue
		}
		files++
		set, err := rules.Parse("file", []byte(block), builtIn(t))
		if err != nil {
			t.Fatal(err)
		}
		l := labels{"namespace": "shop", "job": "orders-queue", "queue": "orders"}
		if got, rule := decide(t, set, l, rules.Nowhere{}); got != "Deployment shop/orders-worker" {
			t.Errorf("got %s by rule %s", got, rule)
		}
	}
	if files != 1 {
		t.Errorf("the page has %d files of rules", files)
	}
}

func TestAnEmptyFileHasNoRules(t *testing.T) {
	t.Parallel()
	base := builtIn(t)
	set, err := rules.Parse("file", nil, base)
	if err != nil || len(set.Rules()) != len(base.Rules()) {
		t.Errorf("got %v, %v", set, err)
	}
}

func TestErrorsOfTheClusterDecideNothing(t *testing.T) {
	t.Parallel()
	unavailable := errors.New("unavailable")
	set, err := rules.Parse("file", []byte(`
rules:
- name: swallows
  when: labels.pod == "p" || cluster.has(object("Node", "n")) || true
  target: object("Pod", labels.pod)
`), builtIn(t))
	if err != nil {
		t.Fatal(err)
	}
	_, err = set.Evaluate(t.Context(), labels{"namespace": "a", "pod": "q"}, cluster{err: unavailable})
	if !errors.Is(err, unavailable) {
		t.Errorf("got %v, want the error of the cluster", err)
	}
	if got, _ := decide(t, set, labels{"namespace": "a", "pod": "p"}, cluster{err: unavailable}); got != "Pod a/p" {
		t.Errorf("got %s: nothing was asked", got)
	}
}

func TestARuleThatCannotBeEvaluatedNamesNothing(t *testing.T) {
	t.Parallel()
	set, err := rules.Parse("file", []byte(`
rules:
- name: index
  target: object("Pod", labels.pod.split("-")[5])
- name: expensive
  when: labels.all(a, labels.all(b, labels.all(c, labels.all(d, labels.all(e, a + b + c + d + e != "")))))
  target: unknown()
`), builtIn(t))
	if err != nil {
		t.Fatal(err)
	}
	l := labels{"namespace": "a", "pod": "p"}
	for i := range 40 {
		l[fmt.Sprintf("l%d", i)] = "v"
	}
	d, err := set.Evaluate(t.Context(), l, rules.Nowhere{})
	if err != nil || d.Object.String() != "Pod a/p" {
		t.Fatalf("got %+v, %v", d, err)
	}
	if len(d.Failures) != 2 || d.Failures[0].Rule != "file/index" || d.Failures[1].Rule != "file/expensive" ||
		!strings.Contains(d.Failures[1].Err.Error(), "cost limit") {
		t.Errorf("failures %v", d.Failures)
	}
}

func TestEvaluationEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := builtIn(t).Evaluate(ctx, labels{"namespace": "a", "pod": "p"}, rules.Nowhere{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkEvaluate(b *testing.B) {
	set, err := rules.BuiltIn()
	if err != nil {
		b.Fatal(err)
	}
	l := labels{
		"alertname": "KubePodCrashLooping", "namespace": "shop", "pod": "checkout-5d9c5b7c6b-aaaaa", "container": "checkout", "severity": "warning",
		"job": "kube-state-metrics", "instance": "10.0.0.1:8080", "service": "kube-state-metrics", "uid": "u", "reason": "CrashLoopBackOff",
	}
	for b.Loop() {
		if _, err := set.Evaluate(b.Context(), l, rules.Nowhere{}); err != nil {
			b.Fatal(err)
		}
	}
}
