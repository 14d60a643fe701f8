// Command gateway takes signals and opens remediation requests.
package main

import (
	"os"

	"kubernaut.ai/pkg/service"
	"kubernaut.ai/services/gateway/app"
)

func main() { os.Exit(service.Main(app.Command())) }
