// Command signalprocessing enriches and classifies the signals of RemediationRequests.
package main

import (
	"os"

	"kubernaut.ai/pkg/service"
	"kubernaut.ai/services/signalprocessing/app"
)

func main() { os.Exit(service.Main(app.Command())) }
