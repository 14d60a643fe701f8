package kubernaut.severity_test

import data.kubernaut.severity

said(word) := {"signal": {"severity": word, "labels": {}}}

test_every_word_of_the_table if {
	every value, words in severity.levels {
		every word in words {
			decision := severity.decision with input as said(word)
			decision.value == value
			decision.source == "signal-severity"
		}
	}
}

test_no_word_means_two_things if {
	every value, words in severity.levels {
		every other, other_words in severity.levels {
			disjoint(value, words, other, other_words)
		}
	}
}

disjoint(value, _, value, _)

disjoint(value, words, other, other_words) if {
	value != other
	count(words & other_words) == 0
}

test_own_words_are_certain if {
	severity.decision == {"value": "high", "source": "signal-severity", "confidence": 100} with input as said("high")
}

test_translated_words_are_less_certain if {
	severity.decision == {"value": "high", "source": "signal-severity", "confidence": 90} with input as said("error")
}

test_case_spaces_and_hyphens_do_not_matter if {
	every word in ["Sev2", "SEV-2", " sev 2 ", "sev_2", "Sev.2"] {
		severity.decision.value == "high" with input as said(word)
	}
}

test_label_speaks_where_the_severity_is_not_understood if {
	severity.decision == {"value": "low", "source": "signal-label", "confidence": 80} with input as {"signal": {
		"severity": "purple",
		"labels": {"level": "info"},
	}}
}

test_first_label_wins if {
	severity.decision.value == "critical" with input as {"signal": {
		"severity": "",
		"labels": {"priority": "P4", "kubernaut.ai/severity": "critical"},
	}}
}

test_unknown_word if {
	severity.decision == {"value": "unknown", "source": "default", "confidence": 0} with input as said("purple")
}

test_no_word if {
	severity.decision.value == "unknown" with input as said("")
}

test_empty_input if {
	severity.decision.value == "unknown" with input as {}
}
