//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/pkg/audittrail/podflush"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
	"kubernaut.ai/test/testenv/cluster"
)

var _ = Describe("a volume without a pod", Serial, Label("chaos"), func() {
	It("field C19: is adopted by the Job of the runbook, and what it held is on the trail", func(ctx SpecContext) {
		const third, claim, job = "gateway-2", "spool-gateway-2", "adopt-spool-gateway-2"
		DeferCleanup(func(ctx SpecContext) {
			scaleBack(ctx, cluster.Gateway)
			for _, object := range []client.Object{
				&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.System, Name: job}},
				&corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: cluster.System, Name: claim}},
			} {
				Expect(client.IgnoreNotFound(env.Delete(ctx, object, client.PropagationPolicy(metav1.DeletePropagationBackground)))).To(Succeed())
			}
		})
		Expect(env.Scale(ctx, cluster.Gateway, 3)).To(Succeed())
		Expect(env.AwaitRollout(ctx, cluster.Gateway)).To(Succeed())

		By("accepting a signal that cannot be stored, and losing the replica that has its events")
		scaleToZero(ctx, cluster.DataStorage)
		answer, err := tryPost(ctx, forward(ctx, third)[0], alertBody(alertmanager.Firing, podAlert()))
		Expect(err).NotTo(HaveOccurred())
		Expect(answer.Code).To(Equal(http.StatusCreated), answer.Detail)
		rr := requestOf(answer.Result)
		env.Track(rr.Name)
		Expect(pending(ctx, third)).To(Equal(2), "the signal and its request")
		scaleBack(ctx, cluster.Gateway)
		scaleBack(ctx, cluster.DataStorage)
		classified(ctx, rr)
		_, err = env.Flusher.FlushPods(ctx, rr.Name)
		volumes, ok := errors.AsType[*podflush.VolumeError](err)
		Expect(ok).To(BeTrue(), "%v", err)
		Expect(volumes.Claims).To(Equal([]string{claim}))

		By("running the commands of the runbook")
		commands := runbook("A volume without a pod")
		Expect(commands).To(HaveLen(3))
		Expect(shell(ctx, commands[0])).To(ContainSubstring("2 events sent, /var/lib/kubernaut/spool/audit is empty"))
		shell(ctx, commands[1])
		Expect(audited(ctx, rr.Name)).To(testenv.BeProcessed(signalReceived, requestCreated))
	}, SpecTimeout(chaosTimeout))
})

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// runbook returns the commands of a section of docs/troubleshooting.md, by the block, for the platform's namespace.
func runbook(section string) []string {
	GinkgoHelper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "troubleshooting.md"))
	Expect(err).NotTo(HaveOccurred())
	_, text, exists := strings.Cut(string(page), "\n## "+section+"\n")
	Expect(exists).To(BeTrue(), section)
	text, _, _ = strings.Cut(text, "\n## ")
	found := shellBlock.FindAllStringSubmatch(text, -1)
	blocks := make([]string, 0, len(found))
	for _, block := range found {
		blocks = append(blocks, strings.ReplaceAll(block[1], "-n kubernaut-system", "-n "+cluster.System))
	}
	return blocks
}

// shell runs commands, which find kubectl and the cluster, and returns their output.
func shell(ctx context.Context, commands string) string {
	GinkgoHelper()
	command := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", `kubectl() { "${KUBECTL:-kubectl}" "$@"; }`+"\n"+commands)
	command.Env = append(os.Environ(), "KUBECONFIG="+env.Kubeconfig)
	output, err := command.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s\n%s", commands, output)
	return string(output)
}
