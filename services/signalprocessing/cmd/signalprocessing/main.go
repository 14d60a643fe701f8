// Command signalprocessing enriches and classifies the signals of RemediationRequests.
package main

import (
	"os"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/signalprocessing/app"
)

func main() { os.Exit(cli.Main(app.Command())) }
