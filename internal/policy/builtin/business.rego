# Business tells who is concerned and what was promised to them, as the
# namespace's labels and annotations say it; labels go before annotations.
package kubernaut.business

unit_names := ["kubernaut.ai/business-unit"]

owner_names := ["kubernaut.ai/service-owner", "team", "owner"]

criticalities := {"critical", "high", "medium", "low"}

decision := {"unit": unit, "serviceOwner": owner, "criticality": criticality, "sla": sla}

default unit := ""

unit := said(unit_names)

default owner := ""

owner := said(owner_names)

default criticality := "unknown"

criticality := value if {
	value := lower(said(["kubernaut.ai/criticality"]))
	value in criticalities
}

# A promise that cannot be read is none.
default sla := ""

sla := value if {
	value := said(["kubernaut.ai/sla"])
	time.parse_duration_ns(value) > 0
}

said(names) := values[0] if {
	values := [value |
		some name in names
		some source in ["namespaceLabels", "namespaceAnnotations"]
		value := trim_space(input.context[source][name])
		value != ""
	]
}
