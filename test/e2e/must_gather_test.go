//go:build e2e

package e2e_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/cluster"
)

// gatherScript does in the image what the script of oc does: it watches how full the volume is while the command runs
// in a session of its own.
const gatherScript = `
while true; do
	used=$(du -s /must-gather | awk '{print $1}')
	all=$(df -P /must-gather | awk 'NR==2 {print $2}')
	[ $((used * 100 / all)) -le 30 ] || exit 1
	sleep 5
done & setsid -w bash <<-GATHER
/usr/bin/gather --correlation-id $1; sync
GATHER`

var _ = Describe("the image of must-gather", func() {
	It("collects in the cluster as oc adm must-gather runs it, and is copied from its second container", func(ctx SpecContext) {
		rr := fire(ctx, podAlert())
		classified(ctx, rr)
		trail := audited(ctx, rr.Name)

		pod := gatherPod(ctx, rr.Name)
		state := func(p *corev1.Pod) (s corev1.ContainerState) {
			for i := range p.Status.ContainerStatuses {
				if status := &p.Status.ContainerStatuses[i]; status.Name == "gather" {
					s = status.State
				}
			}
			return s
		}
		Expect(testenv.WaitFor(ctx, env, pod, func(p *corev1.Pod) bool {
			s := state(p)
			return s.Terminated != nil || s.Waiting != nil && s.Waiting.Reason == "ErrImageNeverPull"
		})).To(Succeed())
		Expect(state(pod).Terminated).NotTo(BeNil(), "hack/images.sh makes the image where Debian's packages are: %v", state(pod).Waiting)
		Expect(state(pod).Terminated.ExitCode).To(BeZero(), "%+v", state(pod).Terminated)

		files := copied(ctx, pod)
		dir := ""
		for name := range files {
			if base, found := strings.CutSuffix(name, ".tar.gz"); found {
				dir = base
			}
		}
		Expect(dir).NotTo(BeEmpty(), "no archive")
		sums := strings.Split(strings.TrimSpace(string(files[dir+"/SHA256SUMS"])), "\n")
		Expect(len(sums)).To(BeNumerically(">", 50))
		for _, line := range sums {
			sum, name, found := strings.Cut(line, "  ")
			Expect(found).To(BeTrue(), line)
			digest := sha256.Sum256(files[dir+"/"+name])
			Expect(hex.EncodeToString(digest[:])).To(Equal(sum), name)
		}
		Expect(string(files[dir+"/not-collected.txt"])).NotTo(ContainSubstring("forbidden"))
		Expect(string(files[dir+"/namespaces/"+cluster.System+"/pods.txt"])).To(ContainSubstring("gateway-0"))
		timeline := string(files[dir+"/timelines/"+rr.Name+".txt"])
		for i := range trail {
			Expect(timeline).To(ContainSubstring(trail[i].EventId.String()))
		}
	}, SpecTimeout(specTimeout))
})

// gatherPod makes the pod that oc makes, in a namespace whose service account may do everything.
func gatherPod(ctx context.Context, correlationID string) *corev1.Pod {
	GinkgoHelper()
	namespace, err := env.NewNamespace(ctx)
	Expect(err).NotTo(HaveOccurred())
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: map[string]string{testenv.NamespaceLabel: "true"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "default"}},
	}
	Expect(env.Create(ctx, binding)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) {
		Expect(env.Delete(ctx, binding)).To(Succeed())
		Expect(env.RemoveNamespace(ctx, namespace)).To(Succeed())
	})
	container := func(name string, command ...string) corev1.Container {
		return corev1.Container{
			Name: name, Image: "kubernaut/must-gather:dev", ImagePullPolicy: corev1.PullNever, Command: command,
			VolumeMounts: []corev1.VolumeMount{{Name: "must-gather-output", MountPath: "/must-gather"}},
		}
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "must-gather"},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, TerminationGracePeriodSeconds: new(int64(0)),
			Volumes: []corev1.Volume{{Name: "must-gather-output", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
			Containers: []corev1.Container{
				container("gather", "/bin/bash", "-c", gatherScript, "gather", correlationID),
				container("copy", "/bin/bash", "-c", "trap : TERM INT; sleep infinity & wait"),
			},
		},
	}
	// The API server makes the service account shortly after the namespace.
	Expect(testenv.WaitFor(ctx, env, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "default"}},
		func(*corev1.ServiceAccount) bool { return true })).To(Succeed())
	Expect(env.Create(ctx, pod)).To(Succeed())
	return pod
}

// copied are the files of the volume, by the container that only waits.
func copied(ctx context.Context, pod *corev1.Pod) map[string][]byte {
	GinkgoHelper()
	program := os.Getenv("KUBECTL")
	if program == "" {
		program = "kubectl"
	}
	var failed strings.Builder
	command := exec.CommandContext(ctx, program, "--kubeconfig", env.Kubeconfig, "-n", pod.Namespace, "exec", pod.Name, "-c", "copy", "--", "tar", "-C", "/must-gather", "-c", ".")
	command.Stderr = &failed
	packed, err := command.Output()
	Expect(err).NotTo(HaveOccurred(), failed.String())
	files := map[string][]byte{}
	reader := tar.NewReader(bytes.NewReader(packed))
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		Expect(err).NotTo(HaveOccurred())
		text, err := io.ReadAll(reader)
		Expect(err).NotTo(HaveOccurred())
		files[path.Clean(header.Name)] = text
	}
}
