//go:build integration

package cleanup_test

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/services/workflowexecution/internal/catalog"
	"kubernaut.ai/services/workflowexecution/internal/cleanup"
	"kubernaut.ai/services/workflowexecution/internal/plan"
)

// shipped is the workflow of the catalog.
func shipped(t *testing.T) *v1alpha1.RemediationWorkflow {
	t.Helper()
	wf := &v1alpha1.RemediationWorkflow{}
	must(t, cluster.Get(t.Context(), client.ObjectKey{Namespace: workflows, Name: "clean-finished-jobs"}, wf))
	return wf
}

// podOf creates the Job that an execution of the workflow on a target would create, and
// waits for the pod that its controller makes of it.
func podOf(t *testing.T, target *batchv1.Job, parameters map[string]string) (*batchv1.Job, *corev1.Pod) {
	t.Helper()
	wf := shipped(t)
	resolved, err := catalog.ResolveParameters(&wf.Spec, parameters)
	must(t, err)
	object := &unstructured.Unstructured{}
	object.SetAPIVersion("batch/v1")
	object.SetKind("Job")
	must(t, cluster.Get(t.Context(), client.ObjectKeyFromObject(target), object))
	job := plan.RenderJob(wf, object, resolved, target.UID, workflows)
	watch, err := cluster.Watch(t.Context(), &corev1.PodList{}, client.InNamespace(workflows))
	must(t, err)
	defer watch.Stop()
	must(t, cluster.Create(t.Context(), job))
	for e := range watch.ResultChan() {
		if pod, ok := e.Object.(*corev1.Pod); ok && metav1.IsControlledBy(pod, job) {
			return job, pod
		}
	}
	t.Fatal("the watch has ended")
	return nil, nil
}

// runPod runs the pod's program as a kubelet would: with its arguments, its variables, and a
// token of its service account that is bound to the pod.
func runPod(t *testing.T, pod *corev1.Pod) (string, error) {
	t.Helper()
	container := &pod.Spec.Containers[0]
	variables := append(make([]string, 0, len(container.Env)+1), "PATH=")
	expand := make([]string, 0, 2*len(container.Env))
	for _, v := range container.Env {
		variables = append(variables, v.Name+"="+v.Value)
		expand = append(expand, "$("+v.Name+")", v.Value)
	}
	arguments := make([]string, 0, len(container.Args)+1)
	for _, argument := range container.Args {
		arguments = append(arguments, strings.NewReplacer(expand...).Replace(argument))
	}
	run := exec.CommandContext(t.Context(), program, append(arguments, "--kubeconfig="+kubeconfig(t, pod))...)
	run.Env = variables
	out, err := run.CombinedOutput()
	return string(out), err
}

func kubeconfig(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Spec.ServiceAccountName}}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
	}}
	must(t, cluster.SubResource("token").Create(t.Context(), account, request))
	server := plane.Config()
	config := api.NewConfig()
	config.Clusters["cluster"] = &api.Cluster{Server: server.Host, CertificateAuthorityData: server.CAData, CertificateAuthority: server.CAFile}
	config.AuthInfos["account"] = &api.AuthInfo{Token: request.Status.Token}
	config.Contexts["pod"] = &api.Context{Cluster: "cluster", AuthInfo: "account"}
	config.CurrentContext = "pod"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, clientcmd.WriteToFile(*config, file))
	return file
}

func TestTheShippedWorkflowDeletesFinishedJobsWithItsAccountsRights(t *testing.T) {
	namespace, elsewhere := newNamespace(t), newNamespace(t)
	owner := func(kind string) func(*batchv1.Job) {
		return func(j *batchv1.Job) {
			j.OwnerReferences = []metav1.OwnerReference{{APIVersion: "example.com/v1", Kind: kind, Name: "owner", UID: "owner", Controller: new(true)}}
		}
	}
	target := newJob(t, namespace, "backup-1", nil)
	finishJob(t, target, batchv1.JobFailed, 16*time.Minute)
	finishJob(t, newJob(t, namespace, "report-1", nil), batchv1.JobComplete, time.Hour)
	finishJob(t, newJob(t, namespace, "young", nil), batchv1.JobFailed, 9*time.Minute)
	finishJob(t, newJob(t, namespace, "wanted", func(j *batchv1.Job) { j.Annotations = map[string]string{cleanup.AnnotationKeep: "until the audit"} }), batchv1.JobFailed, time.Hour)
	finishJob(t, newJob(t, namespace, "migration", owner("Operator")), batchv1.JobComplete, time.Hour)
	newJob(t, namespace, "suspended", nil)
	finishJob(t, newJob(t, elsewhere, "report-1", nil), batchv1.JobComplete, time.Hour)

	job, pod := podOf(t, target, nil)
	out, err := runPod(t, pod)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, line := range []string{
		fmt.Sprintf("deleted Job %s/report-1: Complete 1h0m", namespace), fmt.Sprintf("deleted Job %s/backup-1: Failed 16m", namespace),
		fmt.Sprintf("deleted 2 Jobs of namespace %s, kept 4 (1 annotated with kubernaut.ai/keep, 1 controlled by a Operator, 1 not finished, 1 too young)", namespace),
	} {
		if !strings.Contains(out, line) {
			t.Errorf("%q is not in\n%s", line, out)
		}
	}
	if strings.Index(out, "report-1") > strings.Index(out, "backup-1") {
		t.Error("the oldest Job is not the first")
	}
	if got := jobsIn(t, namespace); !slices.Equal(got, []string{"migration", "suspended", "wanted", "young"}) {
		t.Errorf("left are %v", got)
	}
	if got := jobsIn(t, elsewhere); !slices.Equal(got, []string{"report-1"}) {
		t.Errorf("in another namespace there are %v", got)
	}
	if out, err := runPod(t, pod); err != nil || !strings.HasPrefix(out, "deleted 0 Jobs") {
		t.Errorf("a repetition: %v: %s", err, out)
	}
	succeed(t, job, pod)
}

// succeed plays the end of the pod, and waits until its Job is complete.
func succeed(t *testing.T, job *batchv1.Job, pod *corev1.Pod) {
	t.Helper()
	watch, err := cluster.Watch(t.Context(), &batchv1.JobList{}, client.InNamespace(workflows))
	must(t, err)
	defer watch.Stop()
	must(t, cluster.Status().Patch(t.Context(), pod, client.RawPatch(types.MergePatchType, []byte(`{"status":{"phase":"Succeeded"}}`))))
	for e := range watch.ResultChan() {
		if seen, ok := e.Object.(*batchv1.Job); ok && seen.UID == job.UID && seen.Status.Succeeded == 1 {
			return
		}
	}
	t.Fatal("the watch has ended")
}

func TestParametersBoundWhatIsDeleted(t *testing.T) {
	namespace := newNamespace(t)
	for i := range 3 {
		finishJob(t, newJob(t, namespace, fmt.Sprintf("report-%d", i), nil), batchv1.JobComplete, time.Duration(3-i)*time.Hour)
	}
	target := newJob(t, namespace, "target", nil)
	_, pod := podOf(t, target, map[string]string{"min_age": "90m", "max_jobs": "1"})
	out, err := runPod(t, pod)
	if err != nil || !strings.Contains(out, "1 beyond --max-jobs 1") {
		t.Errorf("%v: %s", err, out)
	}
	if got := jobsIn(t, namespace); !slices.Equal(got, []string{"report-1", "report-2", "target"}) {
		t.Errorf("left are %v", got)
	}
	wf := shipped(t)
	for _, wrong := range []map[string]string{{"min_age": "59s"}, {"max_jobs": "0"}, {"max_jobs": "501"}, {"namespace": "kube-system"}} {
		if _, err := catalog.ResolveParameters(&wf.Spec, wrong); err == nil {
			t.Errorf("%v is accepted", wrong)
		}
	}
}

func TestManyJobsAreReadInPages(t *testing.T) {
	namespace := newNamespace(t)
	const jobs = 260
	for i := range jobs {
		finishJob(t, newJob(t, namespace, fmt.Sprintf("report-%03d", i), nil), batchv1.JobComplete, time.Duration(i+60)*time.Minute)
	}
	var out strings.Builder
	must(t, cleanup.Run(t.Context(), cleanup.Options{Config: plane.Config(), Namespace: namespace, MinAge: time.Hour, MaxJobs: 255, Out: &out}))
	if got := jobsIn(t, namespace); len(got) != 5 || got[4] != "report-004" {
		t.Errorf("left are %v", got)
	}
}

func TestWhatFailsIsSaid(t *testing.T) {
	namespace := newNamespace(t)
	finishJob(t, newJob(t, namespace, "report", nil), batchv1.JobComplete, time.Hour)
	config := plane.Config()
	config.Impersonate.UserName = "nobody"
	err := cleanup.Run(t.Context(), cleanup.Options{Config: config, Namespace: namespace, MinAge: time.Minute, MaxJobs: 1, Out: &strings.Builder{}})
	if err == nil || !strings.Contains(err.Error(), "list the Jobs of namespace "+namespace) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := cleanup.Run(ctx, cleanup.Options{Config: plane.Config(), Namespace: namespace, MinAge: time.Minute, MaxJobs: 1, Out: &strings.Builder{}}); err == nil {
		t.Error("a canceled run succeeds")
	}
	for arguments, want := range map[string]string{
		"":                                 "--namespace is required",
		"--namespace=shop --max-jobs=501":  "501",
		"--namespace=shop --min-age=never": "min-age",
	} {
		out, err := exec.CommandContext(t.Context(), program, append([]string{"workflow", "clean-finished-jobs"}, strings.Fields(arguments)...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%q: %v: %s", arguments, err, out)
		}
	}
}
