package rules

import (
	_ "embed"
	"sync"
)

//go:embed builtin.yaml
var builtInFile []byte

// BuiltIn returns the built-in rules.
func BuiltIn() (*Set, error) { return builtInSet() }

//nolint:gochecknoglobals // compiled once: it is the same in every Gateway
var builtInSet = sync.OnceValues(func() (*Set, error) { return Parse("", builtInFile, &Set{}) })

// BuiltInFile returns the built-in rules as they are written.
func BuiltInFile() []byte { return builtInFile }
