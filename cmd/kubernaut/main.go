// Command kubernaut runs the platform on one machine, demonstrates it, shows and decides
// remediations, keeps and erases events of the trail, tries target rules and policies, and collects what is needed to
// diagnose a cluster.
package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"kubernaut.ai/cmd/kubernaut/erasures"
	"kubernaut.ai/cmd/kubernaut/holds"
	"kubernaut.ai/cmd/kubernaut/requests"
	"kubernaut.ai/cmd/kubernaut/stores"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/spoolcommand"
	gateway "kubernaut.ai/services/gateway/app"
)

// prefix is that of the environment variables of all commands.
const prefix = "KUBERNAUT"

const (
	// plugin is the name under which kubectl runs the program as `kubectl kubernaut`.
	plugin = "kubectl-kubernaut"
	// pluginCompletion is the name under which kubectl asks for the plugin's completions.
	pluginCompletion = "kubectl_complete-kubernaut"
)

func main() {
	root := command()
	os.Args = append(os.Args[:1:1], invoked(root, os.Args)...)
	os.Exit(cli.Main(root))
}

// invoked returns the arguments of the command line, which begins with the name that the
// program was called by: others than its own stand for a command.
func invoked(root *cobra.Command, line []string) []string {
	switch args := line[1:]; filepath.Base(line[0]) {
	case imageProgram:
		return gatherArguments(args)
	case plugin:
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl kubernaut"}
		return args
	case pluginCompletion:
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl kubernaut"}
		return append([]string{cobra.ShellCompRequestCmd}, args...)
	default:
		return args
	}
}

func command() *cobra.Command {
	root := cli.Group(&cobra.Command{
		Use:   "kubernaut",
		Short: "Turn alerts into remediations, with an audit trail whose completeness can be proved",
	})
	root.AddCommand(upCommand(), demoCommand(), mustGatherCommand(), gateway.TargetsCommand(prefix),
		spoolcommand.Command(prefix), stores.Command(prefix), policyCommand(),
		holds.Command(prefix, requests.CompleteRequests), erasures.Command(prefix))
	root.AddCommand(requests.Commands(prefix)...)
	return root
}
