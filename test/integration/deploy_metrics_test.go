//go:build integration

package integration_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/VictoriaMetrics/metricsql"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// foreignMetrics are those of kube-state-metrics, which is part of the Prometheus
// operator's stack.
var foreignMetrics = []string{
	"kube_deployment_status_replicas_ready", "kube_deployment_spec_replicas", "kube_statefulset_replicas",
	"aggregator_unavailable_apiservice", // of the API server
}

// optionalMetrics are exported with TLS, or with a token file, which these
// services do not have. The specs of rows C15 and C17 expect them.
var optionalMetrics = []string{
	"datastorage_tls_certificate_not_after_seconds", "gateway_tls_certificate_not_after_seconds", "signalprocessing_tls_certificate_not_after_seconds",
	"workflowexecution_tls_certificate_not_after_seconds",
	"datastorage_tls_files_up", "gateway_tls_files_up", "signalprocessing_tls_files_up", "workflowexecution_tls_files_up",
	"datastorage_auth_token_file_up", "gateway_auth_token_file_up",
}

// metricsOfUse are exported once something has happened that does not happen to these
// services, and those of maintenance by a separate program. The suite of the alerts
// expects them.
var metricsOfUse = []string{
	"datastorage_ingest_skewed_events_total", "datastorage_ingest_stray_events_total",
	"datastorage_maintenance_interval_seconds", "datastorage_maintenance_last_success_timestamp_seconds", "datastorage_maintenance_run_seconds_bucket",
	"datastorage_maintenance_runs_total", "datastorage_maintenance_events_total", "datastorage_maintenance_partitions",
	"datastorage_maintenance_partitions_until_timestamp_seconds",
	"workflowexecution_executions_total", "workflowexecution_execution_duration_seconds_bucket", "workflowexecution_workflow_valid",
}

// exported are the names of the series at some management ports.
func exported(ctx context.Context, urls ...string) map[string]bool {
	GinkgoHelper()
	names := map[string]bool{}
	for _, url := range urls {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", nil)
		Expect(err).NotTo(HaveOccurred())
		response, err := http.DefaultClient.Do(request)
		Expect(err).NotTo(HaveOccurred())
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			if name, _, ok := strings.Cut(lines.Text(), " "); ok && name != "#" {
				name, _, _ = strings.Cut(name, "{")
				names[name] = true
			}
		}
		Expect(lines.Err()).NotTo(HaveOccurred())
		Expect(response.Body.Close()).To(Succeed())
	}
	return names
}

// alerts are the expressions of the rules, by the alert's name.
func alerts(d deployment) map[string]string {
	GinkgoHelper()
	expressions := map[string]string{}
	for _, u := range d {
		if u.GetKind() != "PrometheusRule" {
			continue
		}
		var spec struct {
			Groups []struct {
				Rules []struct {
					Alert string `json:"alert"`
					Expr  string `json:"expr"`
				} `json:"rules"`
			} `json:"groups"`
		}
		content, err := json.Marshal(u.Object["spec"])
		Expect(err).NotTo(HaveOccurred())
		Expect(json.Unmarshal(content, &spec)).To(Succeed())
		for _, group := range spec.Groups {
			for _, r := range group.Rules {
				Expect(expressions).NotTo(HaveKey(r.Alert))
				expressions[r.Alert] = r.Expr
			}
		}
	}
	Expect(expressions).NotTo(BeEmpty())
	return expressions
}

// panels are the expressions of the dashboard, by the panel's title.
func panels(d deployment) map[string]string {
	GinkgoHelper()
	var dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	content := d.configured("kubernaut-dashboard", "kubernaut.json")
	Expect(json.Unmarshal([]byte(content), &dashboard)).To(Succeed())
	expressions := map[string]string{}
	for _, p := range dashboard.Panels {
		for _, t := range p.Targets {
			// Grafana replaces these variables before it queries.
			expressions[p.Title+": "+t.Expr] = strings.ReplaceAll(t.Expr, "$namespace", deployNamespace)
		}
	}
	Expect(expressions).NotTo(BeEmpty())
	return expressions
}

// expectMetrics expects every series that alerts and dashboard use to exist.
func expectMetrics(d deployment, there map[string]bool) {
	GinkgoHelper()
	for _, name := range slices.Concat(foreignMetrics, optionalMetrics, metricsOfUse) {
		there[name] = true
	}
	for _, expressions := range []map[string]string{alerts(d), panels(d)} {
		for what, expression := range expressions {
			for _, name := range metrics(expression) {
				Expect(there).To(HaveKey(name), "%s asks for %s, which no service exports", what, name)
			}
		}
	}
}

// metrics are the names in an expression of PromQL.
func metrics(expression string) []string {
	GinkgoHelper()
	parsed, err := metricsql.Parse(expression)
	Expect(err).NotTo(HaveOccurred(), expression)
	var names []string
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		if m, ok := e.(*metricsql.MetricExpr); ok {
			for _, filters := range m.LabelFilterss {
				for _, f := range filters {
					if f.Label == "__name__" {
						names = append(names, f.Value)
					}
				}
			}
		}
	})
	Expect(names).NotTo(BeEmpty(), expression)
	return names
}

var _ = Describe("deployment: alerts", func() {
	It("fire before the configured limits are reached", func() {
		expressions := alerts(build("production"))
		Expect(expressions["KubernautDataStorageQueueFilling"]).To(MatchRegexp(`> 0\.\d \* datastorage_ingest_queue_events_limit$`))
	})
})
