// Package output writes what commands show, in the form that --output names.
package output

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"

	"kubernaut.ai/internal/cli"
)

// The forms of the output.
const (
	Table = "table"
	JSON  = "json"
	YAML  = "yaml"
)

// Declare declares the flag --output.
func Declare(form *string) func(*cli.Flags) {
	return func(f *cli.Flags) {
		f.String(form, "output", Table, "form of the output: table, json or yaml", cli.OneOf(Table, JSON, YAML), cli.Shorthand("o"))
	}
}

// Encode writes a value as JSON or YAML; what names it in errors.
func Encode(out io.Writer, form, what string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err == nil && form == YAML {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return fmt.Errorf("encode %s: %w", what, err)
	}
	return Line(out, "%s", strings.TrimRight(string(text), "\n"))
}

// Line writes a line.
func Line(out io.Writer, format string, args ...any) error {
	if _, err := fmt.Fprintf(out, format+"\n", args...); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
