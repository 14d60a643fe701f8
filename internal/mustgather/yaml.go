package mustgather

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v2"
)

// toYAML writes what JSON can hold as YAML in block style, with names in order. Package yaml takes a fifth of the time
// of a collection for it, so it only writes texts of several lines or beyond ASCII.
func toYAML(value any) ([]byte, error) {
	var out bytes.Buffer
	if err := writeYAML(&out, value, 0, false); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// writeYAML writes a value whose lines are indented. After a name or a dash, the first line is begun already.
func writeYAML(out *bytes.Buffer, value any, indent int, begun bool) error {
	switch value := value.(type) {
	case map[string]any:
		if len(value) > 0 {
			return writeMap(out, value, indent, begun)
		}
		out.WriteString("{}\n")
	case []any:
		if len(value) > 0 {
			return writeItems(out, value, indent)
		}
		out.WriteString("[]\n")
	case string:
		return writeText(out, value, indent)
	case bool:
		out.WriteString(strconv.FormatBool(value) + "\n")
	case int64:
		out.WriteString(strconv.FormatInt(value, 10) + "\n")
	case nil:
		out.WriteString("null\n")
	default:
		return writeOther(out, value, indent)
	}
	return nil
}

// writeMap writes pairs. Those of a map that is the item of a list begin behind its dash.
func writeMap(out *bytes.Buffer, pairs map[string]any, indent int, begun bool) error {
	for _, name := range slices.Sorted(maps.Keys(pairs)) {
		if !begun {
			out.WriteString(strings.Repeat(" ", indent))
		}
		begun = false
		if !plain(name) {
			out.WriteString(strconv.Quote(name) + ":") // YAML has the escapes of Go
		} else {
			out.WriteString(name + ":")
		}
		next := indent
		switch inner := pairs[name].(type) {
		case map[string]any:
			next += 2
			out.WriteByte(separator(len(inner)))
		case []any:
			out.WriteByte(separator(len(inner)))
		default:
			out.WriteByte(' ')
		}
		if err := writeYAML(out, pairs[name], next, false); err != nil {
			return err
		}
	}
	return nil
}

// separator is what follows a name: what has no elements is on its line.
func separator(elements int) byte {
	if elements == 0 {
		return ' '
	}
	return '\n'
}

func writeItems(out *bytes.Buffer, items []any, indent int) error {
	for _, item := range items {
		out.WriteString(strings.Repeat(" ", indent) + "-")
		next := indent
		switch inner := item.(type) {
		case map[string]any:
			next += 2
			out.WriteByte(' ')
		case []any:
			next += 2
			out.WriteByte(separator(len(inner)))
		default:
			out.WriteByte(' ')
		}
		if err := writeYAML(out, item, next, true); err != nil {
			return err
		}
	}
	return nil
}

// plain reports whether a text needs no quotes: it begins with a letter or a slash, has words of harmless characters with
// one space or colon between them, and is no word that means something else.
func plain(text string) bool {
	const longestWord = len("false")
	if len(text) <= longestWord {
		switch strings.ToLower(text) {
		case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
			return false
		}
	}
	between := true
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '/':
			between = false
		case i == 0:
			return false
		case c >= '0' && c <= '9', strings.IndexByte("_.@+-", c) >= 0:
			between = false
		case (c == ' ' || c == ':') && !between:
			between = true
		default:
			return false
		}
	}
	return !between
}

func writeText(out *bytes.Buffer, text string, indent int) error {
	switch {
	case plain(text):
		out.WriteString(text + "\n")
	case quotable(text):
		out.WriteByte('"')
		for i := range len(text) {
			if c := text[i]; c == '"' || c == '\\' {
				out.WriteByte('\\')
			}
			out.WriteByte(text[i])
		}
		out.WriteString("\"\n")
	default:
		return writeOther(out, text, indent)
	}
	return nil
}

// quotable reports whether a text is one line of ASCII.
func quotable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// writeOther leaves a scalar to package yaml.
func writeOther(out *bytes.Buffer, value any, indent int) error {
	text, err := yaml.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %T: %w", value, err)
	}
	first := true
	for line := range bytes.Lines(text) {
		if !first && len(bytes.TrimSpace(line)) > 0 {
			out.WriteString(strings.Repeat(" ", indent))
		}
		out.Write(line)
		first = false
	}
	return nil
}
