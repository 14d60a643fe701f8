package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var errPath = errors.New(`must be a field's name, or a path as in $.target.kind, $.labels["app.kubernetes.io/name"] or $.targets[0].name ([*] for any position)`)

// maxSteps bounds the work that a path can ask for.
const maxSteps = 16

// jsonPaths returns the paths that a key stands for: a name with dots is both a
// field with this name and, as in target.name, one of nested fields.
func jsonPaths(key string) ([]string, error) {
	path, err := jsonPath(key)
	if err != nil {
		return nil, err
	}
	paths := []string{path}
	if !strings.HasPrefix(key, "$") && strings.ContainsAny(key, ".[") {
		if nested, err := jsonPath("$." + key); err == nil && nested != path {
			paths = append(paths, nested)
		}
	}
	return paths, nil
}

// jsonPath turns what a client names into a PostgreSQL jsonpath. It knows names
// and positions only and quotes the names itself: no filter, no method, nothing
// else of that language gets through.
func jsonPath(key string) (string, error) {
	if key == "" {
		return "", errPath
	}
	if !strings.HasPrefix(key, "$") {
		return "$" + nameStep(key), nil
	}
	path := strings.Builder{}
	path.WriteString("$")
	rest := key[1:]
	steps := 0
	for ; rest != ""; steps++ {
		step, after, err := cutStep(rest)
		if err != nil {
			return "", err
		}
		path.WriteString(step)
		rest = after
	}
	switch {
	case steps == 0:
		return "", errPath
	case steps > maxSteps:
		return "", fmt.Errorf("must have at most %d steps", maxSteps)
	}
	return path.String(), nil
}

// cutStep takes one step off a path: .name, ["name"], ['name'], [n] or [*].
func cutStep(text string) (step, rest string, err error) {
	if name, ok := strings.CutPrefix(text, "."); ok {
		end := strings.IndexAny(name, ".[")
		if end < 0 {
			end = len(name)
		}
		if end == 0 || strings.ContainsAny(name[:end], "\"'*$@()]") {
			return "", "", errPath
		}
		return nameStep(name[:end]), name[end:], nil
	}
	inner, ok := strings.CutPrefix(text, "[")
	if !ok || inner == "" {
		return "", "", errPath
	}
	if quote := inner[0]; quote == '"' || quote == '\'' {
		name, rest, found := strings.Cut(inner[1:], string(quote)+"]")
		if !found {
			return "", "", errPath
		}
		return nameStep(name), rest, nil
	}
	position, rest, found := strings.Cut(inner, "]")
	if !found {
		return "", "", errPath
	}
	if position == "*" {
		return "[*]", rest, nil
	}
	const bits = 31 // PostgreSQL takes an int
	n, err := strconv.ParseUint(position, 10, bits)
	if err != nil {
		return "", "", errPath
	}
	return "[" + strconv.FormatUint(n, 10) + "]", rest, nil
}

// nameStep quotes a name as a JSON string, which jsonpath takes.
func nameStep(name string) string {
	quoted, err := json.Marshal(name)
	if err != nil {
		return "" // a string always marshals
	}
	return "." + string(quoted)
}
