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

// programs are the roles in which the test binary, and so the race detector, acts
// as one of the platform's programs.
var programs = map[string]func() *cobra.Command{
	"gateway": gateway.Command, "signalprocessing": signalprocessing.Command,
}

// program runs a role's main.
func program(role string) int { return cli.Main(programs[role]()) }

const (
	// killSpecs is the number of specs for each service, kills the kills in each of them.
	killSpecs = 2
	kills     = 5
)

// make torture runs the same scenarios with the real binaries, on a larger scale.
var _ = Describe("kill -9", func() {
	for instance := range killSpecs {
		DescribeTable("loses and doubles nothing that was seen", func(ctx SpecContext, role string, scenario func(context.Context, chaos.Options) (verdict.Result, error)) {
			self, err := os.Executable()
			Expect(err).NotTo(HaveOccurred())
			result, err := scenario(ctx, chaos.Options{
				Env: env, Program: chaos.Program{Path: self, Env: []string{ownerRole + "=" + role}},
				Kills: kills, Seed: uint64(GinkgoRandomSeed()) + uint64(instance), Output: GinkgoWriter,
			})
			Expect(err).NotTo(HaveOccurred())
			AddReportEntry("result", result.Line("torture "+role, "kills"))
			Expect(result.Err()).To(Succeed())
			Expect(result.Disruptions).To(Equal(kills))
		},
			Entry(fmt.Sprintf("of the Gateway's answers (%d)", instance), "gateway", chaos.Gateway, SpecTimeout(specTimeout)),
			Entry(fmt.Sprintf("of SignalProcessing's statuses (%d)", instance), "signalprocessing", chaos.SignalProcessing, SpecTimeout(specTimeout)),
		)
	}
})
