//go:build integration

package cleanup_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/kube"
)

const workflows = "kubernaut-workflows"

var (
	plane *controlplane.ControlPlane
	// cluster is a client of the API server, which has the shipped catalog.
	cluster client.WithWatch
	// program is the service's program, as it is in the image.
	program string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "cleanup")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		err = start(ctx, dir)
	}
	if plane != nil {
		defer func() { _ = plane.Stop(ctx) }()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// start runs the API server and the controllers, builds the program, and applies the catalog.
func start(ctx context.Context, dir string) error {
	program = filepath.Join(dir, "workflowexecution")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "../../cmd/workflowexecution").CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w: %s", err, out)
	}
	var err error
	if plane, err = controlplane.Start(ctx, controlplane.Options{}); err != nil {
		return fmt.Errorf("start the API server: %w", err)
	}
	controllers, err := controlplane.FindControllers(ctx, nil)
	if err != nil {
		return fmt.Errorf("controllers: %w", err)
	}
	if err := plane.RunControllers(ctx, controllers); err != nil {
		return fmt.Errorf("controllers: %w", err)
	}
	scheme, err := kube.Scheme()
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if cluster, err = client.NewWithWatch(plane.Config(), client.Options{Scheme: scheme}); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return applyCatalog(ctx)
}

func applyCatalog(ctx context.Context) error {
	catalog := filepath.Join("..", "..", "..", "..", "deploy", "kustomize", "workflows")
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), catalog)
	if err != nil {
		return fmt.Errorf("build %s: %w", catalog, err)
	}
	for _, r := range built.Resources() {
		content, err := r.Map()
		if err != nil {
			return fmt.Errorf("read %s: %w", r.GetName(), err)
		}
		if err := cluster.Create(ctx, &unstructured.Unstructured{Object: content}); err != nil {
			return fmt.Errorf("create %s %s: %w", r.GetKind(), r.GetName(), err)
		}
	}
	return nil
}

func newNamespace(t *testing.T) string {
	t.Helper()
	name := "shop-" + strings.ToLower(rand.Text()[:10])
	must(t, cluster.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}))
	return name
}

// newJob creates a Job that is suspended, so that its controller leaves it alone.
func newJob(t *testing.T, namespace, name string, change func(*batchv1.Job)) *batchv1.Job {
	t.Helper()
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: batchv1.JobSpec{Suspend: new(true), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "report", Image: "report:1"}},
		}}},
	}
	if change != nil {
		change(job)
	}
	must(t, cluster.Create(t.Context(), job))
	return job
}

// finishJob makes a Job one that completed or failed some time ago.
func finishJob(t *testing.T, job *batchv1.Job, how batchv1.JobConditionType, ago time.Duration) {
	t.Helper()
	at := metav1.NewTime(time.Now().Add(-ago))
	first := batchv1.JobSuccessCriteriaMet
	completed, succeeded := fmt.Sprintf(`"%s"`, at.UTC().Format(time.RFC3339)), 1
	if how == batchv1.JobFailed {
		first, completed, succeeded = batchv1.JobFailureTarget, "null", 0
	}
	conditions := make([]string, 0, 2)
	for _, c := range []batchv1.JobConditionType{first, how} {
		conditions = append(conditions, fmt.Sprintf(`{"type":%q,"status":"True","reason":"Played","lastTransitionTime":%q}`, c, at.UTC().Format(time.RFC3339)))
	}
	patch := fmt.Sprintf(`{"status":{"startTime":%q,"completionTime":%s,"succeeded":%d,"conditions":[%s]}}`,
		at.Add(-time.Minute).UTC().Format(time.RFC3339), completed, succeeded, strings.Join(conditions, ","))
	must(t, cluster.Status().Patch(t.Context(), job, client.RawPatch(types.MergePatchType, []byte(patch))))
}

// jobsIn are the names of the Jobs of a namespace that nobody has begun to delete.
func jobsIn(t *testing.T, namespace string) []string {
	t.Helper()
	var list batchv1.JobList
	must(t, cluster.List(t.Context(), &list, client.InNamespace(namespace)))
	names := make([]string, 0, len(list.Items))
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil {
			names = append(names, list.Items[i].Name)
		}
	}
	return names
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
