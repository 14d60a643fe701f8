package kubernaut.remediation_test

import data.kubernaut.remediation

restart := {"name": "restart", "risk": "low", "parameters": []}

rollback := {"name": "rollback", "risk": "medium", "parameters": []}

scale := {"name": "a-scale", "risk": "low", "parameters": [{"name": "replicas", "required": true}]}

playground := {
	"workflows": [restart],
	"recent": [],
	"environment": {"value": "test", "source": "namespace-label"},
	"namespace": {"remediation": "auto"},
}

test_auto_where_the_namespace_says_so if {
	remediation.decision.workflow == "restart" with input as playground
	remediation.decision.approval == "auto" with input as playground
}

test_every_lack_of_evidence_requires_a_person if {
	every change in [
		{"workflows": [rollback]},
		{"environment": {"value": "production", "source": "namespace-label"}},
		{"environment": {"value": "unknown", "source": "default"}},
		{"environment": {"value": "test", "source": "target-label"}},
		{"environment": {"value": "test", "source": "namespace-name"}},
		{"environment": {"value": "test", "source": "signal-cluster"}},
		{"namespace": {"remediation": "enabled"}},
		{"namespace": {"remediation": ""}},
		{"recent": [{"workflow": "restart", "outcome": "Ineffective"}]},
	] {
		requires_person(change)
	}
}

requires_person(change) if {
	remediation.decision.approval == "required" with input as object.union(playground, change)
}

test_labels_of_senders_and_workloads_remove_no_approval if {
	forged := {
		"environment": {"value": "test", "source": "target-label"},
		"signal": {"labels": {"kubernaut.ai/remediation": "auto", "environment": "test"}},
		"context": {"targetLabels": {"kubernaut.ai/remediation": "auto"}},
	}
	requires_person(forged)
}

test_the_least_risk_comes_first if {
	remediation.decision.workflow == "restart" with input as {"workflows": [rollback, restart], "recent": []}
}

test_what_did_not_help_comes_last if {
	remediation.decision.workflow == "rollback" with input as {
		"workflows": [restart, rollback],
		"recent": [{"workflow": "restart", "outcome": "Ineffective"}],
	}
}

test_values_that_nobody_gave_exclude_a_workflow if {
	remediation.decision.workflow == "" with input as {"workflows": [scale], "recent": []}
}

test_nothing if {
	remediation.decision.workflow == "" with input as {}
	remediation.decision.approval == "required" with input as {}
}
