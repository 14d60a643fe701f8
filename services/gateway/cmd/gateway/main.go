// Command gateway takes signals and opens remediation requests.
package main

import (
	"os"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/gateway/app"
)

func main() { os.Exit(cli.Main(app.Command())) }
