package alerts_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
)

const (
	// notice is for rules and services that wait for an hour, by the time of the rules, before they call something a fault.
	notice = 2 * time.Hour
	// patience is for services that notice what happens by the time of the machine.
	patience = 20 * time.Second
)

// pass lets time pass; each is what happens again and again.
func (m *monitor) pass(ctx context.Context, d time.Duration, each ...func()) {
	GinkgoHelper()
	for range d / m.every {
		for _, happens := range each {
			happens()
		}
		m.step(ctx)
	}
}

// active are the alerts that are pending or fire.
func (m *monitor) active() []string {
	var all []string
	for _, group := range m.groups {
		for _, rule := range group.AlertingRules() {
			rule.ForEachActiveAlert(func(a *rules.Alert) {
				if a.ResolvedAt.IsZero() {
					all = append(all, fmt.Sprintf("%s is %s: %s %v", rule.Name(), a.State, a.Labels, a.Value))
				}
			})
		}
	}
	return all
}

func (m *monitor) rule(alert string) *rules.AlertingRule {
	GinkgoHelper()
	for _, group := range m.groups {
		for _, rule := range group.AlertingRules() {
			if rule.Name() == alert {
				return rule
			}
		}
	}
	Fail("no rule " + alert)
	return nil
}

// about are the alerts of a rule in a state that concern the site.
func (m *monitor) about(alert string, states ...rules.AlertState) []*rules.Alert {
	GinkgoHelper()
	var found []*rules.Alert
	for _, a := range m.rule(alert).ActiveAlerts() {
		for _, state := range states {
			if a.State == state {
				found = append(found, a)
			}
		}
	}
	return found
}

// fires lets time pass until an alert fires, while its cause lasts: each happens again and
// again. It returns the alert, whose texts it checks.
func (m *monitor) fires(ctx context.Context, alert string, each ...func()) *rules.Alert {
	GinkgoHelper()
	Expect(m.about(alert, rules.StateFiring)).To(BeEmpty(), "before its cause")
	began, hold := m.now, m.rule(alert).HoldDuration()
	for start := time.Now(); m.now.Before(began.Add(notice+hold)) || time.Since(start) < patience; {
		m.pass(ctx, m.every, each...)
		if firing := m.about(alert, rules.StateFiring); len(firing) > 0 {
			Expect(m.now.Sub(began)).To(BeNumerically(">", hold), "it waits for its cause to last")
			m.legible(alert, firing[0])
			return firing[0]
		}
	}
	Fail(fmt.Sprintf("%s does not fire within %s; active are %q", alert, m.now.Sub(began), m.active()))
	return nil
}

// ends lets time pass until an alert does not fire any more.
func (m *monitor) ends(ctx context.Context, alert string, each ...func()) {
	GinkgoHelper()
	began := m.now
	for start := time.Now(); m.now.Before(began.Add(widest+notice)) || time.Since(start) < patience; {
		m.pass(ctx, m.every, each...)
		if len(m.about(alert, rules.StateFiring, rules.StatePending)) == 0 {
			return
		}
	}
	Fail(fmt.Sprintf("%s does not end within %s; active are %q", alert, m.now.Sub(began), m.active()))
}

// legible checks what people read of an alert.
func (m *monitor) legible(alert string, a *rules.Alert) {
	GinkgoHelper()
	GinkgoWriter.Printf("%s fires: %s %s\n", alert, a.Labels, a.Annotations)
	Expect(a.Labels.Get("severity")).To(BeElementOf("warning", "critical"))
	Expect(a.Annotations.Get("summary")).NotTo(BeEmpty())
	a.Annotations.Range(func(l labels.Label) {
		// A label that the alert does not have is rendered as nothing.
		Expect(l.Value).NotTo(MatchRegexp(`<no value>|error expanding|^ |  | $|''|""|\(\)`), l.Name)
	})
}
