// Command workflowexecution remediates what RemediationRequests report, and verifies the effect.
package main

import (
	"os"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/workflowexecution/app"
)

func main() { os.Exit(cli.Main(app.Command())) }
