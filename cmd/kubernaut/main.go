// Command kubernaut runs the platform on one machine and shows what it does.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"kubernaut.ai/internal/cli"
)

func main() {
	root := cli.Group(&cobra.Command{
		Use:   "kubernaut",
		Short: "Alerts become remediations, with an audit trail that can be proved complete",
	})
	root.AddCommand(upCommand(), demoCommand(), mustGatherCommand())
	os.Exit(cli.Main(root))
}
