//go:build integration

package integration_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/devstack/controlplane"
)

var _ = Describe("people with kubectl", func() {
	run := func(ctx context.Context, arguments ...string) string {
		GinkgoHelper()
		program := peopleKubectl(ctx)
		command := exec.CommandContext(ctx, program, append([]string{
			"--kubeconfig", env.Kubeconfig, "--cache-dir", GinkgoT().TempDir(),
		}, arguments...)...)
		var failed strings.Builder
		command.Stderr = &failed
		output, err := command.Output()
		Expect(err).NotTo(HaveOccurred(), "%v: %s", arguments, failed.String())
		return string(output)
	}

	It("field C16: kubectl reads trails as tables and objects, and acknowledges", func(ctx SpecContext) {
		id := env.CorrelationID()
		event := anEvent(id, nil)
		decoded[datastorage.EventCreated](storeJSON(ctx, env.DataStorage.URL, storeEvents, event), http.StatusCreated)
		eventID := wireIDs(event)[0]

		table := run(ctx, "get", "events.audit.kubernaut.ai", "--field-selector", "correlation_id="+id)
		Expect(table).To(SatisfyAll(HavePrefix("NAME"), ContainSubstring("CORRELATION"), ContainSubstring(eventID), ContainSubstring(id)))
		Expect(run(ctx, "get", "trails.audit.kubernaut.ai", id)).To(ContainSubstring(eventID))
		Expect(run(ctx, "get", "trails.audit.kubernaut.ai", id, "-o", "jsonpath={.events[0].event_id}")).To(Equal(eventID))
		Expect(run(ctx, "get", "events.audit.kubernaut.ai", eventID, "-o", "name")).To(Equal("event.audit.kubernaut.ai/" + eventID + "\n"))
		Expect(run(ctx, "get", "--raw", aggregatedRoot+"/events?correlation_id="+id)).To(ContainSubstring(eventID))

		file := filepath.Join(GinkgoT().TempDir(), "acknowledgement.yaml")
		text, err := yaml.Marshal(acknowledgement("system:serviceaccount:shop:operator", "the schema was wrong", uuid.NewString()).Object)
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(file, text, 0o600)).To(Succeed())
		name := strings.TrimSpace(run(ctx, "create", "-f", file, "-o", "name"))
		acknowledged, found := strings.CutPrefix(name, "acknowledgement.audit.kubernaut.ai/")
		Expect(found).To(BeTrue(), name)
		env.Track(acknowledged)
		Expect(run(ctx, "get", "acknowledgements.audit.kubernaut.ai", acknowledged, "-o", "jsonpath={.spec.reason}")).To(Equal("the schema was wrong"))
		Expect(run(ctx, "explain", "acknowledgements.audit.kubernaut.ai.spec")).To(ContainSubstring("eventIDs"))
	}, SpecTimeout(specTimeout))
})

// peopleKubectl is the program of the control plane, or of the machine.
func peopleKubectl(ctx context.Context) string {
	GinkgoHelper()
	programs, err := controlplane.Find(ctx, nil)
	Expect(err).NotTo(HaveOccurred())
	if programs.Kubectl != "" {
		return programs.Kubectl
	}
	found, err := exec.LookPath("kubectl")
	Expect(err).NotTo(HaveOccurred())
	return found
}
