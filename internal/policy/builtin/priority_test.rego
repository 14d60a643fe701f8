package kubernaut.priority_test

import data.kubernaut.priority

scale := {"P0": 0, "P1": 1, "P2": 2, "P3": 3}

decide(severity, environment) := decision if {
	decision := priority.decision with input as {
		"severity": {"value": severity, "confidence": 90},
		"environment": {"value": environment, "confidence": 70},
	}
}

test_every_cell if {
	every severity, row in priority.matrix {
		every environment, value in row {
			decide(severity, environment) == {"value": value, "source": "matrix", "confidence": 70}
		}
	}
}

test_corners if {
	decide("critical", "production").value == "P0"
	decide("critical", "unknown").value == "P1"
	decide("high", "production").value == "P1"
	decide("low", "production").value == "P3"
	decide("unknown", "unknown").value == "P3"
}

test_worse_is_never_later if {
	every environment in ["production", "staging", "development", "test", "unknown"] {
		scale[decide("critical", environment).value] <= scale[decide("high", environment).value]
		scale[decide("high", environment).value] <= scale[decide("medium", environment).value]
		scale[decide("medium", environment).value] <= scale[decide("low", environment).value]
	}
}

test_production_is_never_later if {
	every row in priority.matrix {
		every value in row {
			scale[row.production] <= scale[value]
		}
	}
}

test_empty_input if {
	priority.decision == {"value": "P3", "source": "default", "confidence": 0} with input as {}
}
