package alerts_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

// The folders of the project, as seen from the suite's.
const (
	projectDir = "../.."
	rulesPath  = projectDir + "/deploy/kustomize/components/monitoring/rules.yaml"
	panelsPath = projectDir + "/deploy/kustomize/components/monitoring/dashboards/kubernaut.json"
)

// ruleFile writes what the operator of Prometheus makes of the deployed PrometheusRule, and
// returns its path. If alerts are named, it has only their rules.
func ruleFile(alerts ...string) string {
	GinkgoHelper()
	text, err := os.ReadFile(rulesPath)
	Expect(err).NotTo(HaveOccurred())
	var resource struct {
		Spec struct {
			Groups []map[string]any `json:"groups"`
		} `json:"spec"`
	}
	Expect(yaml.Unmarshal(text, &resource)).To(Succeed())
	if len(alerts) > 0 {
		others := func(rule any) bool { return !slices.Contains(alerts, rule.(map[string]any)["alert"].(string)) }
		for _, group := range resource.Spec.Groups {
			group["rules"] = slices.DeleteFunc(group["rules"].([]any), others)
		}
	}
	spec, err := yaml.Marshal(resource.Spec)
	Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(GinkgoT().TempDir(), "rules.yaml")
	Expect(os.WriteFile(path, spec, 0o600)).To(Succeed())
	return path
}

// deployedAlerts are the rules by the alert's name.
func deployedAlerts() map[string]rulefmt.Rule {
	GinkgoHelper()
	groups, errs := rulefmt.ParseFile(ruleFile(), false, model.UTF8Validation, parser.NewParser(parser.Options{}), promslog.NewNopLogger())
	Expect(errs).To(BeEmpty())
	rules := map[string]rulefmt.Rule{}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			Expect(rules).NotTo(HaveKey(rule.Alert))
			rules[rule.Alert] = rule
		}
	}
	Expect(rules).NotTo(BeEmpty())
	return rules
}

// panels are the expressions of the dashboard, by title.
func panels() map[string]string {
	GinkgoHelper()
	text, err := os.ReadFile(panelsPath)
	Expect(err).NotTo(HaveOccurred())
	var dashboard struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	Expect(json.Unmarshal(text, &dashboard)).To(Succeed())
	expressions := map[string]string{}
	for _, p := range dashboard.Panels {
		for _, t := range p.Targets {
			expressions[p.Title+": "+t.Expr] = t.Expr
		}
	}
	Expect(expressions).NotTo(BeEmpty())
	return expressions
}

// caused are the alerts for which a spec exists.
var caused []string

// causes declares the spec of an alert.
func causes(alert string, body func(ctx SpecContext), decorators ...any) bool {
	caused = append(caused, alert)
	return It("causes "+alert, append([]any{body, SpecTimeout(specTimeout)}, decorators...)...)
}

var _ = Describe("the rules", func() {
	It("have a spec for each alert", func() {
		deployed := slices.Sorted(maps.Keys(deployedAlerts()))
		Expect(slices.Sorted(slices.Values(caused))).To(Equal(deployed))
	})

	It("and the dashboards select only metrics that something exports", func(ctx SpecContext) {
		s := site(ctx)
		s.everything(ctx)
		s.processes(ctx)
		m := watch(ctx, s)
		m.step(ctx)
		expressions := panels()
		for alert, rule := range deployedAlerts() {
			expressions[alert] = rule.Expr
		}
		var missing []string
		for what, text := range expressions {
			expression, err := parser.NewParser(parser.Options{}).ParseExpr(text)
			Expect(err).NotTo(HaveOccurred(), what)
			for _, name := range selected(expression) {
				if !m.names[name] {
					missing = append(missing, what+" selects "+name)
				}
			}
		}
		Expect(missing).To(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("are quiet while all is well", func(ctx SpecContext) {
		s := site(ctx)
		s.everything(ctx)
		m := watch(ctx, s)
		m.every = seldom
		m.pass(ctx, quietTime, func() { s.signal(ctx) })
		Expect(m.active()).To(BeEmpty())
	}, SpecTimeout(specTimeout))
})

// selected are the metrics that an expression selects.
func selected(expression parser.Expr) []string {
	var names []string
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		if v, ok := node.(*parser.VectorSelector); ok {
			names = append(names, v.Name)
		}
		return nil
	})
	return names
}
