//go:build integration

package integration_test

import (
	"context"
	"fmt"
	"os"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"

	"kubernaut.ai/internal/cli"
	gateway "kubernaut.ai/services/gateway/app"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	"kubernaut.ai/test/chaos"
	"kubernaut.ai/test/verdict"
)

// programs are roles that make the test binary, with its race detector, one of
// the platform's programs.
var programs = map[string]func() *cobra.Command{
	"gateway": gateway.Command, "signalprocessing": signalprocessing.Command,
}

// program is what a role's main does.
func program(role string) int { return cli.Main(programs[role]()) }

const (
	// killSpecs is how many specs kill each service, with kills kills each.
	killSpecs = 4
	kills     = 5
)

// Make torture runs the same scenarios with the real binaries, on a larger scale.
var _ = Describe("kill -9", func() {
	for instance := range killSpecs {
		DescribeTable("loses and doubles nothing that was seen", func(ctx SpecContext, role string, scenario func(context.Context, chaos.Options) (verdict.Tally, error)) {
			self, err := os.Executable()
			Expect(err).NotTo(HaveOccurred())
			tally, err := scenario(ctx, chaos.Options{
				Env: env, Program: chaos.Program{Path: self, Env: []string{ownerRole + "=" + role}},
				Kills: kills, Seed: uint64(GinkgoRandomSeed()) + uint64(instance), Output: GinkgoWriter,
			})
			Expect(err).NotTo(HaveOccurred())
			AddReportEntry("tally", tally.Line("torture "+role, "kills"))
			Expect(tally.Err()).To(Succeed())
			Expect(tally.Deeds).To(Equal(kills))
		},
			Entry(fmt.Sprintf("of the Gateway's answers (%d)", instance), "gateway", chaos.Gateway, SpecTimeout(specTimeout)),
			Entry(fmt.Sprintf("of SignalProcessing's statuses (%d)", instance), "signalprocessing", chaos.SignalProcessing, SpecTimeout(specTimeout)),
		)
	}
})
