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

	// create creates an object from a file, and returns its name.
	create := func(ctx context.Context, resource string, object map[string]any) string {
		GinkgoHelper()
		text, err := yaml.Marshal(object)
		Expect(err).NotTo(HaveOccurred())
		file := filepath.Join(GinkgoT().TempDir(), "object.yaml")
		Expect(os.WriteFile(file, text, 0o600)).To(Succeed())
		name, found := strings.CutPrefix(strings.TrimSpace(run(ctx, "create", "-f", file, "-o", "name")), resource+".audit.kubernaut.ai/")
		Expect(found).To(BeTrue(), name)
		env.Track(name)
		return name
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

		acknowledged := create(ctx, "acknowledgement",
			acknowledgement("system:serviceaccount:shop:operator", "the schema was wrong", uuid.NewString()).Object)
		Expect(run(ctx, "get", "acknowledgements.audit.kubernaut.ai", acknowledged, "-o", "jsonpath={.spec.reason}")).To(Equal("the schema was wrong"))
		Expect(run(ctx, "explain", "acknowledgements.audit.kubernaut.ai.spec")).To(ContainSubstring("eventIDs"))
	}, SpecTimeout(specTimeout))

	It("kubectl places, lists and releases legal holds", func(ctx SpecContext) {
		held := env.CorrelationID()
		id := create(ctx, "legalhold", legalHold(map[string]any{"correlationID": held, "reason": "case 117"}).Object)
		table := run(ctx, "get", "legalholds.audit.kubernaut.ai")
		Expect(table).To(SatisfyAll(HavePrefix("NAME"), ContainSubstring(id), ContainSubstring(held), ContainSubstring("case 117")))
		Expect(run(ctx, "get", "legalholds.audit.kubernaut.ai", id, "-o", "jsonpath={.spec.correlationID}")).To(Equal(held))
		Expect(run(ctx, "delete", "--raw", aggregatedRoot+"/legalholds/"+id+"?reason=settled")).To(ContainSubstring(`"releaseReason":"settled"`))
		Expect(run(ctx, "get", "legalholds.audit.kubernaut.ai")).NotTo(ContainSubstring(id))
		Expect(run(ctx, "explain", "legalholds.audit.kubernaut.ai.spec")).To(ContainSubstring("correlationID"))
	}, SpecTimeout(specTimeout))

	It("kubectl finds events to erase, asks for it, and shows what became of it", func(ctx SpecContext) {
		trail := env.CorrelationID()
		ids := stored(ctx, trail, 2)
		path := filepath.Join(GinkgoT().TempDir(), "preview.yaml")
		Expect(os.WriteFile(path, encode(auditObject("ErasurePreview", map[string]any{"filter": map[string]any{"correlation_id": trail}}).Object), 0o600)).To(Succeed())
		found := run(ctx, "create", "-f", path, "-o", "jsonpath={.status.eventIDs[*]}")
		Expect(strings.Fields(found)).To(ConsistOf(ids...))
		id := create(ctx, "erasure", auditObject("Erasure", map[string]any{"eventIDs": ids, "reason": "request 8 of a customer"}).Object)
		table := run(ctx, "get", "erasures.audit.kubernaut.ai")
		Expect(table).To(SatisfyAll(HavePrefix("NAME"), ContainSubstring(id), ContainSubstring("requested"), ContainSubstring("request 8 of a customer")))
		Expect(run(ctx, "get", "erasures.audit.kubernaut.ai", id, "-o", "jsonpath={.status.phase}")).To(Equal("requested"))
		Expect(run(ctx, "explain", "erasures.audit.kubernaut.ai.status")).To(ContainSubstring("phase"))
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
