// Package crds holds the generated CustomResourceDefinitions, for programs
// that install them: the local stack and the test suites.
package crds

import "embed"

// FS holds one YAML file a resource.
//
//go:embed kubernaut.ai_*.yaml
var FS embed.FS
