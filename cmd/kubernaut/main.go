// Command kubernaut runs the platform on one machine, demonstrates it, tries target
// rules, and collects what is needed to diagnose a cluster.
package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kubernaut.ai/cmd/kubernaut/stores"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/spoolcommand"
	gateway "kubernaut.ai/services/gateway/app"
)

// prefix is that of the environment variables of all commands.
const prefix = "KUBERNAUT"

func main() {
	if filepath.Base(os.Args[0]) == imageProgram {
		os.Args = append(os.Args[:1:1], gatherArguments(os.Args[1:])...)
	}
	os.Exit(cli.Main(command()))
}

func command() *cobra.Command {
	root := cli.Group(&cobra.Command{
		Use:   "kubernaut",
		Short: "Turn alerts into remediations, with an audit trail whose completeness can be proved",
	})
	root.AddCommand(upCommand(), demoCommand(), mustGatherCommand(), gateway.TargetsCommand(prefix),
		spoolcommand.Command(prefix), stores.Command(prefix), policyCommand())
	return root
}
