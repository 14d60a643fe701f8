# Severity translates what a source called severe into the platform's scale.
package kubernaut.severity

# The words of the sources, without case, spaces, hyphens, underscores and dots:
# Prometheus rules, syslog (RFC 5424), ITU-T X.733, Zabbix, PagerDuty, Opsgenie and incident levels.
levels := {
	"critical": {
		"critical", "crit", "fatal", "emergency", "emerg", "panic", "disaster", "alert",
		"blocker", "page", "sev0", "sev1", "severity1", "p0", "p1",
	},
	"high": {"high", "error", "err", "major", "severe", "sev2", "severity2", "p2"},
	"medium": {
		"medium", "moderate", "average", "warning", "warn", "minor",
		"sev3", "severity3", "p3",
	},
	"low": {
		"low", "info", "informational", "information", "notice", "normal", "debug", "none",
		"sev4", "sev5", "severity4", "severity5", "p4", "p5",
	},
}

# The labels that speak where the signal's own severity is not understood, in this order.
label_names := ["kubernaut.ai/severity", "severity", "level", "priority"]

default decision := {"value": "unknown", "source": "default", "confidence": 0}

decision := {"value": value, "source": "signal-severity", "confidence": confidence(input.signal.severity, value)} if {
	value := level(input.signal.severity)
} else := {"value": found[0].value, "source": "signal-label", "confidence": 80} if {
	found := [f |
		some name in label_names
		f := {"name": name, "value": level(input.signal.labels[name])}
	]
	count(found) > 0
}

level(word) := value if {
	some value, words in levels
	normal(word) in words
}

# A word of the platform's own scale needs no translation.
confidence(word, value) := 100 if {
	normal(word) == value
} else := 90

normal(word) := regex.replace(lower(trim_space(word)), `[\s._-]+`, "")
