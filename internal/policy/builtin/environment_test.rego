package kubernaut.environment_test

import data.kubernaut.environment

at(namespace) := {"signal": {"target": {"namespace": namespace}, "labels": {}}, "context": {}}

labelled(labels) := {"signal": {"target": {"namespace": "shop"}, "labels": {}}, "context": {"namespaceLabels": labels}}

test_every_alias_as_namespace_label if {
	every value, names in environment.aliases {
		every name in names {
			decision := environment.decision with input as labelled({"environment": name})
			decision == {"value": value, "source": "namespace-label", "confidence": 95}
		}
	}
}

test_every_label_name if {
	every name in environment.label_names {
		environment.decision.value == "staging" with input as labelled({name: "Staging"})
	}
}

test_own_label_before_others if {
	environment.decision.value == "test" with input as labelled({"env": "prod", "kubernaut.ai/environment": "test"})
}

test_label_not_understood_is_passed_over if {
	environment.decision.value == "production" with input as labelled({"environment": "blue", "env": "prod"})
}

test_namespace_label_before_target_label if {
	decision := environment.decision with input as {"context": {"namespaceLabels": {"env": "dev"}, "targetLabels": {"env": "prod"}}}
	decision.value == "development"
}

test_target_label_before_namespace_name if {
	decision := environment.decision with input as {
		"signal": {"target": {"namespace": "prod-shop"}},
		"context": {"targetLabels": {"env": "qa"}},
	}
	decision == {"value": "test", "source": "target-label", "confidence": 85}
}

test_namespace_name if {
	every name, value in {
		"prod": "production", "prod-shop": "production", "shop-prod": "production", "shop-live": "production",
		"staging-web": "staging", "web-stg": "staging", "pre-prod": "staging", "shop-pre-prod": "staging", "preprod-shop": "staging",
		"dev-shop": "development", "shop-development": "development",
		"test-shop": "test", "shop-qa": "test", "ci": "test",
	} {
		decision := environment.decision with input as at(name)
		decision == {"value": value, "source": "namespace-name", "confidence": 70}
	}
}

test_names_that_only_look_like_it if {
	every name in ["shop", "productivity", "devices", "shop-prod-eu", "latest", "non-prod", "shop-non-prod", "attest-web"] {
		environment.decision == {"value": "unknown", "source": "default", "confidence": 0} with input as at(name)
	}
}

test_namespace_name_before_cluster if {
	decision := environment.decision with input as {"signal": {"target": {"namespace": "dev-shop"}, "labels": {"cluster": "prod"}}}
	decision.value == "development"
}

test_signal_cluster if {
	every name, value in {"prod": "production", "eu-prod-1": "production", "stage.example.com": "staging"} {
		decision := environment.decision with input as {"signal": {"target": {"namespace": "shop"}, "labels": {"cluster": name}}}
		decision == {"value": value, "source": "signal-cluster", "confidence": 60}
	}
}

test_nothing_tells if {
	environment.decision.value == "unknown" with input as at("shop")
}

test_empty_input if {
	environment.decision.value == "unknown" with input as {}
}
