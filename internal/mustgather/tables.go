package mustgather

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/printable"
)

// tableText aligns the cells of a table, with the namespaces of its objects if it is of all. Without a table, it is empty.
func tableText(table map[string]any, ofAll bool) string {
	if kind, _ := table["kind"].(string); kind != "Table" {
		return "" // of an API server that knows no tables
	}
	header, dates := []string{}, map[int]bool{}
	if ofAll {
		header = append(header, "NAMESPACE")
	}
	definitions, _ := table["columnDefinitions"].([]any)
	for at, definition := range definitions {
		fields, _ := definition.(map[string]any)
		name, _ := fields["name"].(string)
		header = append(header, strings.ToUpper(name))
		dates[at] = fields["type"] == "date"
	}
	lines := [][]string{header}
	rows, _ := table["rows"].([]any)
	for _, row := range rows {
		fields, _ := row.(map[string]any)
		line := []string{}
		if ofAll {
			line = append(line, objectOf(fields["object"]).GetNamespace())
		}
		cells, _ := fields["cells"].([]any)
		for at, cell := range cells {
			line = append(line, cellText(cell, dates[at]))
		}
		lines = append(lines, line)
	}
	return columns(lines)
}

func cellText(cell any, isDate bool) string {
	text, isText := cell.(string)
	switch {
	case cell == nil:
		return ""
	case !isText:
		return fmt.Sprint(cell)
	case isDate:
		if then, err := time.Parse(time.RFC3339, text); err == nil {
			return duration.HumanDuration(time.Since(then))
		}
	}
	return text
}

// columns aligns cells. Each row takes one line.
func columns(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable.Line(cell)
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len(row[i]))
		}
	}
	var text strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&line, "%-*s", widths[i]+2, cell) //nolint:mnd // the gap
		}
		text.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return text.String()
}

// withTimeout is for clients that take no context.
func withTimeout(c *rest.Config, limit time.Duration) *rest.Config {
	c = rest.CopyConfig(c)
	c.Timeout = limit
	return c
}
