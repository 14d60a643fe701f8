package kubernaut.business_test

import data.kubernaut.business

nothing := {"unit": "", "serviceOwner": "", "criticality": "unknown", "sla": ""}

test_labels if {
	business.decision == {"unit": "payments", "serviceOwner": "team-checkout", "criticality": "high", "sla": "4h"} with input as {"context": {"namespaceLabels": {
		"kubernaut.ai/business-unit": "payments",
		"kubernaut.ai/service-owner": "team-checkout",
		"kubernaut.ai/criticality": "High",
		"kubernaut.ai/sla": "4h",
	}}}
}

test_annotations if {
	business.decision == {"unit": "Retail & Online", "serviceOwner": "Checkout <checkout@example.com>", "criticality": "low", "sla": "1h30m"} with input as {"context": {"namespaceAnnotations": {
		"kubernaut.ai/business-unit": "Retail & Online",
		"kubernaut.ai/service-owner": "Checkout <checkout@example.com>",
		"kubernaut.ai/criticality": "low",
		"kubernaut.ai/sla": "1h30m",
	}}}
}

test_label_before_annotation if {
	business.decision.unit == "a" with input as {"context": {
		"namespaceLabels": {"kubernaut.ai/business-unit": "a"},
		"namespaceAnnotations": {"kubernaut.ai/business-unit": "b"},
	}}
}

test_team_owns_where_no_owner_is_named if {
	business.decision.serviceOwner == "checkout" with input as {"context": {"namespaceLabels": {"team": "checkout", "owner": "x"}}}
	business.decision.serviceOwner == "y" with input as {"context": {"namespaceLabels": {"team": "checkout", "kubernaut.ai/service-owner": "y"}}}
}

test_what_cannot_be_read_is_left_out if {
	business.decision == nothing with input as {"context": {"namespaceLabels": {
		"kubernaut.ai/criticality": "enormous",
		"kubernaut.ai/sla": "soon",
	}}}
}

test_an_sla_of_nothing_is_none if {
	business.decision.sla == "" with input as {"context": {"namespaceLabels": {"kubernaut.ai/sla": "0s"}}}
}

test_empty_input if {
	business.decision == nothing with input as {}
}
