package mustgather

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/printable"
)

// tableForm asks the API server for what kubectl get shows.
const tableForm = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

// table writes what kubectl get -o wide shows of a resource; of all namespaces if namespace is empty.
func (s *step) table(ctx context.Context, gvr schema.GroupVersionResource, namespace, file string) error {
	path := "/api/" + gvr.Version
	if gvr.Group != "" {
		path = "/apis/" + gvr.Group + "/" + gvr.Version
	}
	if namespace != "" {
		path += "/namespaces/" + namespace
	}
	command := "kubectl get " + resourceName(gvr) + where(namespace, "") + " -o wide"
	body, err := s.client.CoreV1().RESTClient().Get().AbsPath(path, gvr.Resource).SetHeader("Accept", tableForm).Do(ctx).Raw()
	if err != nil {
		return by(missingResource(err, gvr), "%s", command)
	}
	var table metav1.Table
	if err := json.Unmarshal(body, &table); err != nil {
		return by(fmt.Errorf("read the table of %s: %w", gvr.Resource, err), "%s", command)
	}
	header := []string{}
	if namespace == "" {
		header = append(header, "NAMESPACE")
	}
	for i := range table.ColumnDefinitions {
		header = append(header, strings.ToUpper(table.ColumnDefinitions[i].Name))
	}
	rows := [][]string{header}
	for i := range table.Rows {
		row := []string{}
		if namespace == "" {
			var object metav1.PartialObjectMetadata
			_ = json.Unmarshal(table.Rows[i].Object.Raw, &object) // only for its namespace
			row = append(row, object.Namespace)
		}
		for at, cell := range table.Rows[i].Cells {
			row = append(row, cellText(cell, table.ColumnDefinitions, at))
		}
		rows = append(rows, row)
	}
	return s.files.save(file, columns(rows))
}

func cellText(cell any, definitions []metav1.TableColumnDefinition, at int) string {
	text, isText := cell.(string)
	switch {
	case cell == nil:
		return ""
	case !isText:
		return fmt.Sprint(cell)
	case at < len(definitions) && definitions[at].Type == "date":
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
