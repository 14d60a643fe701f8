//go:build integration

package catalog_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/services/workflowexecution/internal/catalog"
)

const workflows = "kubernaut-workflows"

// plane is the package's API server, which has the shipped catalog, and cluster a client of it.
var (
	plane   *controlplane.ControlPlane
	cluster client.WithWatch
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	var err error
	if plane, err = controlplane.Start(ctx, controlplane.Options{}); err == nil {
		defer func() { _ = plane.Stop(ctx) }()
		err = applyCatalog(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func applyCatalog(ctx context.Context) error {
	scheme, err := kube.Scheme()
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if cluster, err = client.NewWithWatch(plane.Config(), client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	dir := filepath.Join("..", "..", "..", "..", "deploy", "kustomize", "workflows")
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return fmt.Errorf("build %s: %w", dir, err)
	}
	for _, r := range built.Resources() {
		content, err := r.Map()
		if err != nil {
			return fmt.Errorf("read %s: %w", r.GetName(), err)
		}
		object := &unstructured.Unstructured{Object: content}
		if err := cluster.Create(ctx, object); err != nil {
			return fmt.Errorf("create %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

func validator() catalog.Validator { return catalog.Validator{Live: cluster, Writer: cluster} }

// reconciled is the workflow after it was reconciled twice: once decides, twice changes nothing.
func reconciled(t *testing.T, name string) *v1alpha1.RemediationWorkflow {
	t.Helper()
	var known []string
	r := &catalog.Reconciler{
		Validator: validator(), Status: cluster, Namespace: workflows, Every: catalog.Every,
		Known: func(workflow string) { known = append(known, workflow) },
	}
	key := client.ObjectKey{Namespace: workflows, Name: name}
	var first, wf v1alpha1.RemediationWorkflow
	for _, into := range []*v1alpha1.RemediationWorkflow{&first, &wf} {
		if result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: key}); err != nil || result.RequeueAfter == 0 {
			t.Fatalf("%v %v", result, err)
		}
		if err := cluster.Get(t.Context(), key, into); err != nil {
			t.Fatal(err)
		}
	}
	if first.ResourceVersion != wf.ResourceVersion {
		t.Error("reconciling again writes again")
	}
	if !slices.Equal(known, []string{name, name}) {
		t.Errorf("told of %q", known)
	}
	return &wf
}

func TestShippedWorkflowsAreValidAndTheirAccountsMayDoNothingElse(t *testing.T) {
	for name, may := range map[string]string{
		"clean-finished-jobs": "jobs:list,delete",
		"restart":             "deployments:get,patch statefulsets:get,patch daemonsets:get,patch",
		"rollback":            "deployments:get,patch replicasets:get,list",
		"scale":               "deployments:get,patch statefulsets:get,patch",
	} {
		t.Run(name, func(t *testing.T) {
			wf := reconciled(t, name)
			c := meta.FindStatusCondition(wf.Status.Conditions, v1alpha1.ConditionValid)
			if c == nil || c.Status != metav1.ConditionTrue || len(wf.Status.SHA256) != 64 || wf.Status.ObservedGeneration != wf.Generation {
				t.Fatalf("%+v", wf.Status)
			}
			role := &rbacv1.ClusterRole{}
			if err := cluster.Get(t.Context(), client.ObjectKey{Name: "kubernaut-workflow-" + name}, role); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, rule := range role.Rules {
				for _, resource := range rule.Resources {
					got = append(got, resource+":"+strings.Join(rule.Verbs, ","))
				}
			}
			if strings.Join(got, " ") != may {
				t.Errorf("the account may %s", strings.Join(got, " "))
			}
		})
	}
	var list v1alpha1.RemediationWorkflowList
	if err := cluster.List(t.Context(), &list, client.InNamespace(workflows)); err != nil || len(list.Items) < 4 {
		t.Fatalf("%d workflows, %v", len(list.Items), err)
	}
}

// program is a Job that nothing is wrong with.
func program() *v1alpha1.WorkflowJob {
	return &v1alpha1.WorkflowJob{
		RepeatIsHarmless: "it deletes what is finished, once",
		Template: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "program", Image: "localhost/program",
				Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")},
					Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("64Mi")},
				},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		}}}},
	}
}

// mistakes are workflows that the API server accepts, and what the controller says about them.
var mistakes = map[string]struct {
	change func(s *v1alpha1.RemediationWorkflowSpec)
	want   string // empty: valid
}{
	"nothing":              {func(*v1alpha1.RemediationWorkflowSpec) {}, ""},
	"account is absent":    {func(s *v1alpha1.RemediationWorkflowSpec) { s.ServiceAccountName = "absent" }, "service account kubernaut-workflows/absent does not exist"},
	"account is elsewhere": {func(s *v1alpha1.RemediationWorkflowSpec) { s.ServiceAccountName = "elsewhere" }, "service account kubernaut-workflows/elsewhere does not exist"},
	"account lacks right":  {func(s *v1alpha1.RemediationWorkflowSpec) { s.ServiceAccountName = "powerless" }, "service account kubernaut-workflows/powerless may not get deployments.apps or patch deployments.apps, neither in the cluster nor"},
	"rollback is absent":   {func(s *v1alpha1.RemediationWorkflowSpec) { s.Rollback = "absent" }, "workflow absent does not exist"},
	"kind cannot scale":    {func(s *v1alpha1.RemediationWorkflowSpec) { s.AppliesTo.Kinds[0].Kind = "DaemonSet" }, "scale cannot change a DaemonSet"},
	"pattern":              {func(s *v1alpha1.RemediationWorkflowSpec) { add(s, "zone").Pattern = "(" }, "parameter zone: pattern"},
	"rule":                 {func(s *v1alpha1.RemediationWorkflowSpec) { add(s, "zone").Rule = "value ==" }, "parameter zone: rule"},
	"rule is no boolean":   {func(s *v1alpha1.RemediationWorkflowSpec) { add(s, "zone").Rule = "size(value)" }, "has to be true or false"},
	"rule costs too much": {func(s *v1alpha1.RemediationWorkflowSpec) {
		add(s, "zone").Rule = "value.split(',').all(a, value.split(',').all(b, value.split(',').all(c, a + b + c != '')))"
	}, "simplify it"},
	"default": {func(s *v1alpha1.RemediationWorkflowSpec) {
		p := add(s, "zone")
		p.Pattern, p.Default = "eu|us", new("mars")
	}, "parameter zone: default"},
	"parameter is a program's setting": {func(s *v1alpha1.RemediationWorkflowSpec) { add(s, "ld_preload") }, "choose another"},
	"parameter selects the namespace":  {func(s *v1alpha1.RemediationWorkflowSpec) { add(s, "namespace") }, "a parameter never selects the object, its namespace or the service account: remove it"},
	"parameter is the platform's":      {func(s *v1alpha1.RemediationWorkflowSpec) { add(s, "kubernaut_target_name") }, "choose another"},
	"condition":                        {func(s *v1alpha1.RemediationWorkflowSpec) { s.Verification.Condition = "target.(" }, "verification: condition"},
	"selector": {func(s *v1alpha1.RemediationWorkflowSpec) {
		s.AppliesTo.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
	}, "namespaceSelector"},
	"job": {func(s *v1alpha1.RemediationWorkflowSpec) { s.Action, s.Job = nil, program() }, ""},
	"job is privileged": {func(s *v1alpha1.RemediationWorkflowSpec) {
		s.Action, s.Job = nil, program()
		s.Job.Template.Spec.Template.Spec.Containers[0].SecurityContext.Privileged = new(true)
	}, "restricted Pod Security refuses the pod"},
	"job repeats": {func(s *v1alpha1.RemediationWorkflowSpec) {
		s.Action, s.Job = nil, program()
		s.Job.Template.Spec.BackoffLimit = new(int32(3))
	}, "the platform sets backoffLimit"},
	"job has another account": {func(s *v1alpha1.RemediationWorkflowSpec) {
		s.Action, s.Job = nil, program()
		s.Job.Template.Spec.Template.Spec.ServiceAccountName = "workflow-restart"
	}, "the platform sets template.spec.serviceAccountName"},
	"job has no limit": {func(s *v1alpha1.RemediationWorkflowSpec) {
		s.Action, s.Job = nil, program()
		s.Job.Template.Spec.Template.Spec.Containers[0].Resources = corev1.ResourceRequirements{}
	}, "needs a request of CPU and a limit of memory"},
}

func add(s *v1alpha1.RemediationWorkflowSpec, name string) *v1alpha1.WorkflowParameter {
	s.Parameters = append(s.Parameters, v1alpha1.WorkflowParameter{Name: name, Type: v1alpha1.ParameterString})
	return &s.Parameters[len(s.Parameters)-1]
}

func TestControllerNamesWhatIsWrong(t *testing.T) {
	powerless := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: workflows, Name: "powerless"}}
	if err := cluster.Create(t.Context(), powerless); err != nil {
		t.Fatal(err)
	}
	elsewhere := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "elsewhere"}}
	if err := cluster.Create(t.Context(), elsewhere); err != nil {
		t.Fatal(err)
	}
	for name, c := range mistakes {
		t.Run(name, func(t *testing.T) {
			wf := scale()
			wf.Name = "w-" + strings.ReplaceAll(strings.ReplaceAll(name, " ", "-"), "'", "")
			c.change(&wf.Spec)
			if err := cluster.Create(t.Context(), wf); err != nil {
				t.Fatal(err)
			}
			condition := meta.FindStatusCondition(reconciled(t, wf.Name).Status.Conditions, v1alpha1.ConditionValid)
			if c.want == "" {
				if condition.Status != metav1.ConditionTrue {
					t.Errorf("%+v", condition)
				}
				return
			}
			if condition.Status != metav1.ConditionFalse || !strings.Contains(condition.Message, c.want) {
				t.Errorf("%+v", condition)
			}
		})
	}
}

func TestRightsInOneNamespaceThatOptedInSuffice(t *testing.T) {
	ctx := t.Context()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: workflows, Name: "confined"}}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "confined"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "kubernaut-workflow-scale"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: workflows, Name: account.Name}},
	}
	wf := scale()
	wf.Name, wf.Spec.ServiceAccountName = "confined", account.Name
	for _, object := range []client.Object{namespace, account, binding, wf} {
		if err := cluster.Create(ctx, object); err != nil {
			t.Fatal(err)
		}
	}
	v := validator()
	wrong, err := v.Validate(ctx, wf)
	if err != nil || len(wrong) != 1 || !strings.Contains(wrong[0], "get deployments.apps or patch deployments.apps,") {
		t.Fatalf("the namespace has not opted in: %q %v", wrong, err)
	}
	namespace.Labels[v1alpha1.LabelRemediation] = v1alpha1.RemediationEnabled
	if err := cluster.Update(ctx, namespace); err != nil {
		t.Fatal(err)
	}
	if wrong, err := v.Validate(ctx, wf); err != nil || len(wrong) != 0 {
		t.Errorf("%q %v", wrong, err)
	}
}

// refused are workflows that the API server itself refuses.
var refused = map[string]struct {
	change func(s *v1alpha1.RemediationWorkflowSpec)
	want   string
}{
	"neither action nor job":     {func(s *v1alpha1.RemediationWorkflowSpec) { s.Action = nil }, "exactly one of action and job"},
	"action and job":             {func(s *v1alpha1.RemediationWorkflowSpec) { s.Job = program() }, "exactly one of action and job"},
	"two actions":                {func(s *v1alpha1.RemediationWorkflowSpec) { s.Action.Restart = &v1alpha1.RestartAction{} }, "exactly one of restart, rollback and scale"},
	"scale without replicas":     {func(s *v1alpha1.RemediationWorkflowSpec) { s.Parameters = nil }, "scale requires a parameter replicas"},
	"bounds are reversed":        {func(s *v1alpha1.RemediationWorkflowSpec) { s.Action.Scale.MinReplicas = 7 }, "minReplicas must not exceed"},
	"no signal":                  {func(s *v1alpha1.RemediationWorkflowSpec) { s.AppliesTo.Signals = []string{} }, "signals"},
	"no kind":                    {func(s *v1alpha1.RemediationWorkflowSpec) { s.AppliesTo.Kinds = []v1alpha1.WorkflowKind{} }, "kinds"},
	"risk":                       {func(s *v1alpha1.RemediationWorkflowSpec) { s.Risk = "none" }, "risk"},
	"timeout":                    {func(s *v1alpha1.RemediationWorkflowSpec) { s.Timeout.Duration = 2 * 3600e9 }, "between 1s and 1h"},
	"cool-down":                  {func(s *v1alpha1.RemediationWorkflowSpec) { s.CoolDown.Duration = 200 * 3600e9 }, "between 0s and 168h"},
	"stabilization":              {func(s *v1alpha1.RemediationWorkflowSpec) { s.Stabilization.Duration = 25 * 3600e9 }, "between 0s and 24h"},
	"pattern of an integer":      {func(s *v1alpha1.RemediationWorkflowSpec) { s.Parameters[0].Pattern = "1" }, "pattern is for parameters of type string"},
	"required with default":      {func(s *v1alpha1.RemediationWorkflowSpec) { s.Parameters[0].Default = new("2") }, "a required parameter has no default"},
	"two parameters of one name": {func(s *v1alpha1.RemediationWorkflowSpec) { add(s, "replicas") }, "Duplicate value"},
	"account elsewhere":          {func(s *v1alpha1.RemediationWorkflowSpec) { s.ServiceAccountName = "default/elsewhere" }, "without a namespace"},
	"rollback elsewhere":         {func(s *v1alpha1.RemediationWorkflowSpec) { s.Rollback = "default/restart" }, "without a namespace"},
	"parameter's name":           {func(s *v1alpha1.RemediationWorkflowSpec) { add(s, "PATH") }, "name"},
}

func TestAPIServerRefusesWhatNoWorkflowCanBe(t *testing.T) {
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			wf := scale()
			wf.Name = "refused"
			c.change(&wf.Spec)
			err := cluster.Create(t.Context(), wf, client.DryRunAll)
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// kubectl asks for strict validation. Without it, the API server would drop the field.
func TestATypoInAFieldIsNamed(t *testing.T) {
	wf, err := runtime.DefaultUnstructuredConverter.ToUnstructured(scale())
	if err != nil {
		t.Fatal(err)
	}
	typo := &unstructured.Unstructured{Object: wf}
	typo.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("RemediationWorkflow"))
	typo.SetName("typo")
	for field, at := range map[string][]string{"stabilisation": {"spec"}, "signal": {"spec", "appliesTo"}} {
		wrong := typo.DeepCopy()
		if err := unstructured.SetNestedField(wrong.Object, "15m", append(at, field)...); err != nil {
			t.Fatal(err)
		}
		err := cluster.Create(t.Context(), wrong, client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
		if want := fmt.Sprintf("unknown field %q", strings.Join(append(at, field), ".")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestPlatformMayActAsTheAccountsOfTheCatalogOnly(t *testing.T) {
	var list v1alpha1.RemediationWorkflowList
	if err := cluster.List(t.Context(), &list, client.InNamespace(workflows), client.MatchingLabels{"app.kubernetes.io/part-of": "kubernaut"}); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{"approval-probe": true}
	for i := range list.Items {
		want[list.Items[i].Spec.ServiceAccountName] = true
	}
	dir := filepath.Join("..", "..", "..", "..", "deploy", "kustomize", "workflows-access")
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var tokens int
	for _, r := range built.Resources() {
		content, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		role := &rbacv1.Role{}
		if r.GetKind() != "Role" {
			continue
		}
		if err := yaml.UnmarshalStrict(content, role); err != nil {
			t.Fatal(err)
		}
		for _, rule := range role.Rules {
			if !slices.Contains(rule.Resources, "serviceaccounts/token") {
				continue
			}
			tokens++
			if got := slices.Sorted(slices.Values(rule.ResourceNames)); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
				t.Errorf("tokens of %q, and the catalog has %v", got, want)
			}
		}
	}
	if tokens != 1 || len(want) != 5 {
		t.Errorf("%d rules for tokens, %d accounts", tokens, len(want))
	}
}
