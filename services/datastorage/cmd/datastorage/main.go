// Command datastorage is the audit store: `datastorage serve` serves its API,
// `datastorage migrate` keeps its schema up to date.
package main

import (
	"os"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/datastorage/app"
)

func main() { os.Exit(cli.Main(app.Command())) }
