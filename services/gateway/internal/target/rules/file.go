package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"
)

// The bounds of a file.
const (
	// MaxFile bounds its size, in bytes.
	MaxFile = 256 << 10
	// maxRules bounds the rules of one file.
	maxRules = 200
	// maxVariables bounds the variables of one file.
	maxVariables = 50
	// maxExporters bounds the trusted exporters of one file, their jobs, and their namespaces.
	maxExporters = 100
	// maxProblems bounds how many mistakes one error reports.
	maxProblems = 20
)

// fieldName is the field that exporters, variables and rules have.
const fieldName = "name"

// Problem is one mistake in a file.
type Problem struct {
	// Line and Column begin at 1.
	Line, Column int
	Message      string
}

func (p Problem) String() string {
	return fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, p.Message)
}

// InvalidError means that a file of rules is unusable.
type InvalidError struct {
	// Problems are the mistakes, in the order of the file.
	Problems []Problem
}

func (e *InvalidError) Error() string {
	texts := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		texts[i] = p.String()
	}
	return strings.Join(texts, "; ")
}

// named is an expression with a name: a rule's or a variable's.
type named struct {
	name     string
	at       *yaml.Node
	when     *yaml.Node // nil if there is none
	value    *yaml.Node
	position func(n *yaml.Node, line, column int) Problem
}

// file is the content of a file of rules, before its expressions are compiled.
type file struct {
	lines     []string
	problems  []Problem
	exporters []Exporter
	variables []named
	rules     []named
}

// parse reads a file. The error is an *InvalidError.
func parse(source []byte) (*file, error) {
	f := &file{lines: strings.Split(string(source), "\n")}
	if len(source) > MaxFile {
		f.add(Problem{1, 1, fmt.Sprintf("the file has %d bytes: at most %d are read", len(source), MaxFile)})
		return nil, f.invalid()
	}
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(source))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return f, nil
	case err != nil:
		f.add(syntaxProblem(err))
		return nil, f.invalid()
	}
	if err := decoder.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		f.add(Problem{1, 1, "want one YAML document"})
	}
	f.document(document.Content[0])
	return f, f.invalid()
}

// syntaxProblem reads the line from an error of the YAML parser, which has no type for it.
func syntaxProblem(err error) Problem {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if _, scanErr := fmt.Sscanf(text, "line %d:", &line); scanErr == nil {
		_, text, _ = strings.Cut(text, ": ")
		for _, expected := range []string{"node content", "'-' indicator", "key", "','", "<document start>"} {
			if strings.HasPrefix(text, "did not find expected "+expected) {
				line++ // the library counts lines from 0 in these errors, and from 1 in others
			}
		}
	}
	return Problem{line, 1, text}
}

func (f *file) add(p Problem) {
	if len(f.problems) < maxProblems {
		f.problems = append(f.problems, p)
	}
}

func (f *file) addf(at *yaml.Node, format string, args ...any) {
	f.add(Problem{max(at.Line, 1), max(at.Column, 1), fmt.Sprintf(format, args...)})
}

func (f *file) invalid() error {
	if len(f.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(f.problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return &InvalidError{Problems: f.problems}
}

// document reads the top level.
func (f *file) document(n *yaml.Node) {
	f.fields(n, "the file", map[string]func(*yaml.Node){
		"trustedExporters": func(n *yaml.Node) { f.each(n, maxExporters, f.exporter) },
		"variables":        func(n *yaml.Node) { f.each(n, maxVariables, f.variable) },
		"rules":            func(n *yaml.Node) { f.each(n, maxRules, f.rule) },
	})
}

// fields calls the function of each field of a mapping.
func (f *file) fields(n *yaml.Node, what string, known map[string]func(*yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		f.addf(n, "%s must be a mapping", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		read, ok := known[key.Value]
		switch {
		case !ok:
			names := make([]string, 0, len(known))
			for name := range known {
				names = append(names, name)
			}
			slices.Sort(names)
			f.addf(key, "unknown field %q: %s has %s", key.Value, what, strings.Join(names, ", "))
		case seen[key.Value]:
			f.addf(key, "field %q is there twice", key.Value)
		default:
			read(n.Content[i+1])
		}
		seen[key.Value] = true
	}
}

func (f *file) each(n *yaml.Node, limit int, read func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		f.addf(n, "must be a list")
		return
	}
	if len(n.Content) > limit {
		f.addf(n, "has %d entries: at most %d are taken", len(n.Content), limit)
		return
	}
	for _, entry := range n.Content {
		read(entry)
	}
}

// text reads a string that is not empty.
func (f *file) text(n *yaml.Node) string {
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		f.addf(n, "must be text")
		return ""
	}
	return n.Value
}

func (f *file) exporter(n *yaml.Node) {
	var e Exporter
	f.fields(n, "a trusted exporter", map[string]func(*yaml.Node){
		fieldName: func(n *yaml.Node) { e.Name = f.text(n) },
		"jobs": func(n *yaml.Node) {
			f.each(n, maxExporters, func(n *yaml.Node) { e.Jobs = append(e.Jobs, f.text(n)) })
		},
		"namespaces": func(n *yaml.Node) {
			f.each(n, maxExporters, func(n *yaml.Node) {
				if len(validation.IsDNS1123Label(n.Value)) > 0 {
					f.addf(n, "%q is not the name of a namespace", n.Value)
				}
				e.Namespaces = append(e.Namespaces, n.Value)
			})
		},
		"withoutJob": func(n *yaml.Node) {
			if err := n.Decode(&e.WithoutJob); err != nil {
				f.addf(n, "withoutJob must be true or false")
			}
		},
	})
	switch {
	case n.Kind != yaml.MappingNode:
	case e.Name == "":
		f.addf(n, "a trusted exporter needs a name")
	case len(e.Jobs) == 0 || len(e.Namespaces) == 0:
		f.addf(n, "trusted exporter %s needs jobs and namespaces: without both, anybody could run it", e.Name)
	}
	f.exporters = append(f.exporters, e)
}

func (f *file) variable(n *yaml.Node) {
	v := f.newNamed(n)
	f.fields(n, "a variable", map[string]func(*yaml.Node){
		fieldName:    func(n *yaml.Node) { v.name = f.text(n) },
		"expression": func(n *yaml.Node) { v.value = n },
	})
	f.variables = f.complete(f.variables, v, "variable", "expression")
}

func (f *file) rule(n *yaml.Node) {
	r := f.newNamed(n)
	f.fields(n, "a rule", map[string]func(*yaml.Node){
		fieldName: func(n *yaml.Node) { r.name = f.text(n) },
		"reason":  func(n *yaml.Node) { f.text(n) },
		"when":    func(n *yaml.Node) { r.when = n },
		"target":  func(n *yaml.Node) { r.value = n },
	})
	f.rules = f.complete(f.rules, r, "rule", "target")
}

func (f *file) newNamed(n *yaml.Node) named { return named{at: n, position: f.position} }

// complete adds a rule or variable to the others, if it has what it needs.
func (f *file) complete(others []named, n named, what, field string) []named {
	switch {
	case n.at.Kind != yaml.MappingNode:
	case n.name == "":
		f.addf(n.at, "a %s needs a name", what)
	case len(validation.IsDNS1123Label(n.name)) > 0 && what == "rule":
		f.addf(n.at, "the name of a rule has lower case letters, digits and dashes, at most 63; got %q", n.name)
	case n.value == nil:
		f.addf(n.at, "%s %s needs the field %s", what, n.name, field)
	case slices.ContainsFunc(others, func(other named) bool { return other.name == n.name }):
		f.addf(n.at, "%s %s is there twice", what, n.name)
	default:
		return append(others, n)
	}
	return others
}

// position turns a place in an expression, whose lines begin at 1 and columns
// at 0, into one in the file.
func (f *file) position(n *yaml.Node, line, column int) Problem {
	line, column = max(line, 1), max(column, 0) // CEL has -1 for "nowhere"
	switch {
	case n.Style&yaml.LiteralStyle != 0:
		return Problem{Line: n.Line + line, Column: f.blockIndentation(n.Line+1) + column + 1}
	case n.Style&yaml.FoldedStyle != 0:
		return f.folded(n.Line+1, 0, column)
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return f.folded(n.Line, n.Column, column)
	default:
		return f.folded(n.Line, n.Column-1, column)
	}
}

// folded finds the character of a scalar whose lines were joined by spaces. The
// scalar begins on line, after skip characters; or at its first text if skip is 0.
func (f *file) folded(line, skip, offset int) Problem {
	for ; ; line++ {
		text := f.contentLine(line)
		start := max(skip, indentation(text))
		length := max(len([]rune(strings.TrimRight(text, " \r")))-start, 0)
		if offset <= length || line >= len(f.lines) {
			return Problem{Line: line, Column: start + min(offset, length) + 1}
		}
		offset -= length + 1
		skip = 0
	}
}

// contentLine returns a line, counted from 1; empty beyond the file.
func (f *file) contentLine(line int) string {
	if line < 1 || line > len(f.lines) {
		return ""
	}
	return f.lines[line-1]
}

// blockIndentation returns the indentation of a literal block: that of its first text.
func (f *file) blockIndentation(line int) int {
	for line < len(f.lines) && strings.TrimSpace(f.contentLine(line)) == "" {
		line++
	}
	return indentation(f.contentLine(line))
}

func indentation(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
