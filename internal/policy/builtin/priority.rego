# Priority orders the work: how bad it is, by where it happens.
package kubernaut.priority

# A target whose environment nobody knows might be production: it counts for
# more than staging does, and for less than production.
matrix := {
	"critical": {"production": "P0", "staging": "P1", "development": "P2", "test": "P2", "unknown": "P1"},
	"high": {"production": "P1", "staging": "P2", "development": "P3", "test": "P3", "unknown": "P2"},
	"medium": {"production": "P2", "staging": "P3", "development": "P3", "test": "P3", "unknown": "P3"},
	"low": {"production": "P3", "staging": "P3", "development": "P3", "test": "P3", "unknown": "P3"},
	"unknown": {"production": "P2", "staging": "P3", "development": "P3", "test": "P3", "unknown": "P3"},
}

default decision := {"value": "P3", "source": "default", "confidence": 0}

decision := {"value": value, "source": "matrix", "confidence": confidence} if {
	value := matrix[input.severity.value][input.environment.value]
	confidence := min([input.severity.confidence, input.environment.confidence])
}
