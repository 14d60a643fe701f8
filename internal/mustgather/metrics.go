package mustgather

import (
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// auditColumns are those of the table of audit stores: names of metrics after audit_.
var auditColumns = []string{
	"pending_events", "pending_bytes", "oldest_pending_age_seconds", "spilled_events", "spool_bytes", "unacknowledged_events",
	"rejected_total", "lost_total", "retries_total", "accepted_total", "stored_total", "sink_up",
}

// ownMetrics are the prefixes of the metrics that are looked into, with the files that show them.
var ownMetrics = map[string]string{"audit_": "audit-state.txt", "datastorage_": "datastorage-state.txt"}

// parseMetrics reads our own metrics, which are a small part of a service's.
func parseMetrics(text string) (map[string]*dto.MetricFamily, error) {
	var ours strings.Builder
	for line := range strings.Lines(text) {
		name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		for prefix := range ownMetrics {
			if strings.HasPrefix(name, prefix) {
				ours.WriteString(line)
			}
		}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(ours.String()))
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	return families, nil
}

// stateOf lists the metrics of a prefix with what they mean; a histogram's mean in the place of its buckets.
func stateOf(families map[string]*dto.MetricFamily, prefix string) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if !strings.HasPrefix(name, prefix) || strings.HasSuffix(name, "_created") {
			continue
		}
		family := families[name]
		for _, metric := range family.GetMetric() {
			series := name + labelText(metric)
			if count, sum, ok := distribution(metric); ok {
				mean := "-"
				if count > 0 {
					mean = fmt.Sprintf("%.6g", sum/float64(count))
				}
				fmt.Fprintf(&out, "%14s  %s, of %d  (mean. %s)\n", mean, series, count, family.GetHelp())
				continue
			}
			fmt.Fprintf(&out, "%14s  %s  (%s)\n", number(single(metric)), series, family.GetHelp())
		}
	}
	return out.String()
}

func labelText(metric *dto.Metric) string {
	if len(metric.GetLabel()) == 0 {
		return ""
	}
	pairs := make([]string, 0, len(metric.GetLabel()))
	for _, label := range metric.GetLabel() {
		pairs = append(pairs, label.GetName()+"="+strconv.Quote(label.GetValue()))
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

// distribution returns count and sum of a histogram or a summary.
func distribution(metric *dto.Metric) (count uint64, sum float64, ok bool) {
	switch {
	case metric.GetHistogram() != nil:
		return metric.GetHistogram().GetSampleCount(), metric.GetHistogram().GetSampleSum(), true
	case metric.GetSummary() != nil:
		return metric.GetSummary().GetSampleCount(), metric.GetSummary().GetSampleSum(), true
	}
	return 0, 0, false
}

// single returns the value of any other metric.
func single(metric *dto.Metric) float64 {
	// A getter returns zero for the kinds that the metric is not of.
	return metric.GetGauge().GetValue() + metric.GetCounter().GetValue() + metric.GetUntyped().GetValue()
}

func number(v float64) string {
	if v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// summarizeStores makes one table of the audit stores of all our pods.
func summarizeStores(_ context.Context, s *step) error {
	rows := [][]string{append([]string{"namespace", "pod"}, auditColumns...)}
	for i := range s.pods {
		pod := &s.pods[i]
		if management(pod) == 0 {
			continue
		}
		row := []string{pod.Namespace, pod.Name}
		families, answered := s.states[pod.Namespace+"/"+pod.Name]
		switch {
		case !answered:
			row = append(row, "no-answer")
		case !hasAudit(families):
			row = append(row, "no-audit-store")
		default:
			for _, column := range auditColumns {
				row = append(row, cell(families["audit_"+column], column))
			}
		}
		rows = append(rows, row)
	}
	return s.files.save("audit-state.txt", "Audit stores of the pods; audit-state.txt of each pod explains the columns.\n\n"+columns(rows))
}

func hasAudit(families map[string]*dto.MetricFamily) bool {
	for name := range families {
		if strings.HasPrefix(name, "audit_") {
			return true
		}
	}
	return false
}

// holds reports whether an audit store has something that its control listener could tell more about.
func holds(families map[string]*dto.MetricFamily) bool {
	for _, column := range []string{"pending_events", "spilled_events", "unacknowledged_events", "rejected_total", "lost_total"} {
		if total(families["audit_"+column]) > 0 {
			return true
		}
	}
	up, known := families["audit_sink_up"]
	return known && total(up) == 0
}

// total is the sum of a metric's series.
func total(family *dto.MetricFamily) float64 {
	sum := 0.0
	for _, metric := range family.GetMetric() {
		sum += single(metric)
	}
	return sum
}

// cell shows the total of a metric.
func cell(family *dto.MetricFamily, column string) string {
	if family == nil {
		return "-"
	}
	digits := 0
	if strings.HasSuffix(column, "seconds") {
		digits = 1
	}
	return strconv.FormatFloat(total(family), 'f', digits, 64)
}

var aboutPartitions = regexp.MustCompile(`(?i)partition`)

// summarizeStorage puts the state of DataStorage's pods into one file.
func summarizeStorage(_ context.Context, s *step) error {
	const lastLines = 20
	var out strings.Builder
	for i := range s.pods {
		pod := &s.pods[i]
		state := s.files.read(podFolder(pod) + "/datastorage-state.txt")
		if state == "" {
			continue
		}
		ready := strings.TrimSpace(s.files.read(podFolder(pod) + "/management/readyz.json"))
		if ready == "" {
			ready = "no response from /readyz"
		}
		fmt.Fprintf(&out, "=== %s in %s: %s\n%spartitions, from its log:\n", pod.Name, pod.Namespace, ready, state)
		var lines []string
		for _, container := range containers(pod) {
			for line := range strings.Lines(s.files.read(podFolder(pod) + "/" + container + "/" + container + "/logs/current.log")) {
				if aboutPartitions.MatchString(line) {
					lines = append(lines, line)
				}
			}
		}
		if len(lines) == 0 {
			lines = []string{"  no messages about partitions\n"}
		}
		out.WriteString(strings.Join(lines[max(0, len(lines)-lastLines):], "") + "\n")
	}
	return s.files.save("datastorage-state.txt", out.String())
}
