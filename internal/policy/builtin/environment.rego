# Environment tells what the target is used for. The best evidence wins:
# namespace label, target label, namespace name, the signal's cluster, nothing.
package kubernaut.environment

aliases := {
	"production": {"production", "prod", "prd", "live"},
	"staging": {"staging", "stage", "stg", "preprod", "preproduction", "uat"},
	"development": {"development", "devel", "dev", "sandbox"},
	"test": {"test", "testing", "tst", "qa", "e2e", "ci"},
}

# The labels of a namespace or target that name an environment, in this order.
label_names := ["kubernaut.ai/environment", "app.kubernetes.io/environment", "environment", "env"]

# The labels of a signal that name its cluster, in this order.
cluster_label_names := ["cluster", "cluster_name", "kubernaut.ai/cluster"]

default decision := {"value": "unknown", "source": "default", "confidence": 0}

decision := {"value": value, "source": "namespace-label", "confidence": 95} if {
	value := labelled(input.context.namespaceLabels)
} else := {"value": value, "source": "target-label", "confidence": 85} if {
	value := labelled(input.context.targetLabels)
} else := {"value": value, "source": "namespace-name", "confidence": 70} if {
	words := segments(input.signal.target.namespace)
	value := first([words[0], words[count(words) - 1]])
} else := {"value": value, "source": "signal-cluster", "confidence": 60} if {
	found := [name |
		some label in cluster_label_names
		name := input.signal.labels[label]
	]
	value := first(segments(found[0]))
}

# Labels that nobody understands are passed over.
labelled(labels) := first([normal(labels[name]) |
	some name in label_names
	labels[name]
])

# First is what the first understood word means.
first(words) := meant[0] if {
	meant := [value |
		some word in words
		some value, names in aliases
		word in names
	]
}

segments(name) := split(normal(name), "-")

# "pre-prod" and "non-prod" are one word each: neither is production.
normal(name) := regex.replace(
	regex.replace(lower(trim_space(name)), `[\s._-]+`, "-"),
	`(^|-)(pre|non)-`, "${1}${2}",
)
