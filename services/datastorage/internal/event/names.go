package event

// naming tells what the fields of an event are called in a wire form.
type naming struct {
	// fields maps a wire name to the field's own name.
	fields map[string]string
	// shown maps a field's own name to its wire name, where that is another.
	shown map[string]string
	// cloud: numbers and booleans may come as text, and the attributes of the
	// CloudEvents specification are looked at.
	cloud bool
}

// name returns what the field is called in the wire form.
func (n naming) name(field string) string {
	if shown, ok := n.shown[field]; ok {
		return shown
	}
	return field
}

// The wire form of the platform, see the schema AuditEvent of the API's document.
var wireNames = naming{fields: identity(
	"event_id", "version", "event_type", "event_timestamp", "event_category", "event_action", "event_outcome",
	"correlation_id", "event_data", "actor_type", "actor_id", "actor_ip", "resource_type", "resource_id",
	"namespace", "cluster_id", "cluster_name", "severity", "duration_ms", "error_code", "error_message",
	"parent_event_id", "retention_days", "is_sensitive", "producer_id", "producer_epoch", "producer_seq",
)}

// CloudEvents 1.0 in JSON; its names are lower case letters and digits.
// source and the content attributes are handled by the reader.
var cloudEventNames = cloudEvents(map[string]string{
	"id": "event_id", "type": "event_type", "time": "event_timestamp", "subject": "correlation_id", "data": "event_data",
	"eventversion": "version", "eventcategory": "event_category", "eventaction": "event_action", "eventoutcome": "event_outcome",
	"actortype": "actor_type", "actorid": "actor_id", "actorip": "actor_ip",
	"resourcetype": "resource_type", "resourceid": "resource_id", "namespace": "namespace", "clusterid": "cluster_id",
	"severity": "severity", "durationms": "duration_ms", "errorcode": "error_code", "errormessage": "error_message",
	"parenteventid": "parent_event_id", "retentiondays": "retention_days", "issensitive": "is_sensitive",
	"producerid": "producer_id", "producerepoch": "producer_epoch", "producerseq": "producer_seq",
	"specversion": attributeSpecVersion, "source": attributeSource, "datacontenttype": attributeContentType,
})

// Attributes of CloudEvents that are no fields of an event.
const (
	attributeSpecVersion = "specversion"
	attributeSource      = "source"
	attributeContentType = "datacontenttype"
)

func identity(names ...string) map[string]string {
	fields := make(map[string]string, len(names))
	for _, name := range names {
		fields[name] = name
	}
	return fields
}

func cloudEvents(fields map[string]string) naming {
	shown := make(map[string]string, len(fields))
	for wire, field := range fields {
		shown[field] = wire
	}
	return naming{fields: fields, shown: shown, cloud: true}
}
