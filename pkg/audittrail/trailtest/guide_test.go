package trailtest_test

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audittrail/trailtest"
)

// docs/testing-with-audittest.md quotes this file.

// Depot moves orders through their phases.
type Depot struct {
	Audit audit.Recorder
}

// Move records a transition.
func (d *Depot) Move(ctx context.Context, order, phase string) error {
	data, err := json.Marshal(map[string]any{"phase": map[string]string{"to": phase}})
	if err != nil {
		return err
	}
	return d.Audit.Record(ctx, &audit.Event{
		Type: "depot.order.moved", Category: "depot", Action: "moved",
		Outcome: audit.OutcomeSuccess, CorrelationID: order, Data: data,
	})
}

func movedTo(phase string) types.GomegaMatcher {
	return trailtest.BeEvent("depot.order.moved", trailtest.WithData("phase.to", phase))
}

func TestMovesAreAuditedInOrder(t *testing.T) {
	g := NewWithT(t)
	store, sink, _ := audittest.NewStore(t)
	depot := &Depot{Audit: store}

	for _, phase := range []string{"Picked", "Packed", "Shipped"} {
		g.Expect(depot.Move(t.Context(), "order-7", phase)).To(Succeed())
	}
	_, err := store.Flush(t.Context())
	g.Expect(err).NotTo(HaveOccurred())

	trail := sink.EventsOf("order-7")
	g.Expect(trail).To(trailtest.HaveAuditedTimes(3, "depot.order.moved", trailtest.WithOutcome(audit.OutcomeSuccess)))
	g.Expect(trail).To(trailtest.HaveAuditedInOrder(movedTo("Picked"), movedTo("Packed"), movedTo("Shipped")))
	g.Expect(trail).NotTo(trailtest.HaveAudited("depot.order.moved", trailtest.WithData("phase.to", HavePrefix("Ret"))))
}

// What the section about this package shows is what this file compiles and runs.
func TestGuideShowsCodeThatRuns(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/testing-with-audittest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## With Gomega\n")
	if !found {
		t.Fatal("the guide has no section about Gomega")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	source, err := os.ReadFile("guide_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(section, "```go\n")[1:]
	if len(blocks) == 0 {
		t.Error("the section shows no code")
	}
	for _, block := range blocks {
		code, _, closed := strings.Cut(block, "```")
		if !closed || !strings.Contains(string(source), code) {
			t.Errorf("the guide shows what is not in guide_test.go:\n%s", code)
		}
	}
}
