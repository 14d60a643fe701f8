package event

import "kubernaut.ai/pkg/audit/wire"

// field numbers the members of an event in all wire forms.
type field uint8

const (
	fieldNone field = iota
	fieldID
	fieldVersion
	fieldType
	fieldTimestamp
	fieldCategory
	fieldAction
	fieldOutcome
	fieldCorrelationID
	fieldData
	fieldActorType
	fieldActorID
	fieldActorIP
	fieldResourceType
	fieldResourceID
	fieldNamespace
	fieldClusterID
	fieldClusterName
	fieldSeverity
	fieldDuration
	fieldErrorCode
	fieldErrorMessage
	fieldParentID
	fieldRetention
	fieldSensitive
	fieldProducerID
	fieldProducerEpoch
	fieldProducerSeq
	// Attributes of CloudEvents.
	fieldSpecVersion
	fieldSource
	fieldContentType

	fieldCount
)

// The longest texts of fields that are more than text.
const (
	idLength      = 36
	longestTime   = 50
	longestScalar = 50
)

// rules of the fields' texts, under the platform's own names.
var rules = [fieldCount]wire.TextField{
	fieldID:            {Name: wire.FieldID, Most: idLength, Required: true},
	fieldVersion:       wire.FieldVersion,
	fieldType:          wire.FieldType,
	fieldTimestamp:     {Name: wire.FieldTimestamp, Most: longestTime, Required: true},
	fieldCategory:      wire.FieldCategory,
	fieldAction:        wire.FieldAction,
	fieldOutcome:       wire.FieldOutcome,
	fieldCorrelationID: wire.FieldCorrelationID,
	fieldData:          {Name: wire.FieldData},
	fieldActorType:     wire.FieldActorType,
	fieldActorID:       wire.FieldActorID,
	fieldActorIP:       wire.FieldActorIP,
	fieldResourceType:  wire.FieldResourceType,
	fieldResourceID:    wire.FieldResourceID,
	fieldNamespace:     wire.FieldNamespace,
	fieldClusterID:     wire.FieldClusterID,
	fieldClusterName:   wire.FieldClusterName,
	fieldSeverity:      wire.FieldSeverity,
	fieldDuration:      {Name: wire.FieldDuration, Most: longestScalar},
	fieldErrorCode:     wire.FieldErrorCode,
	fieldErrorMessage:  wire.FieldErrorMessage,
	fieldParentID:      {Name: wire.FieldParentID, Most: idLength, Required: true},
	fieldRetention:     {Name: wire.FieldRetention, Most: longestScalar},
	fieldSensitive:     {Name: wire.FieldSensitive, Most: longestScalar},
	fieldProducerID:    wire.FieldProducerID,
	fieldProducerEpoch: {Name: wire.FieldProducerEpoch, Most: longestScalar},
	fieldProducerSeq:   {Name: wire.FieldProducerSeq, Most: longestScalar},
	fieldSpecVersion:   {Name: "specversion", Most: 50, Required: true},
	fieldSource:        {Name: "source", Most: 255, Required: true},
	fieldContentType:   {Name: "datacontenttype", Most: 255},
}

// naming tells what the fields of an event are called in a wire form.
type naming struct {
	fields map[string]field
	// shown are the names of the fields in this form.
	shown [fieldCount]string
	// cloud: numbers and booleans may come as text, and the attributes of the
	// CloudEvents specification are looked at.
	cloud bool
}

func newNaming(cloud bool, fields map[string]field) *naming {
	n := &naming{fields: fields, cloud: cloud}
	for i := range rules {
		n.shown[i] = rules[i].Name
	}
	for name, f := range fields {
		n.shown[f] = name
	}
	return n
}

// The wire form of the platform, see the schema AuditEvent of the API's document.
var wireNames = func() *naming {
	fields := map[string]field{}
	for f := fieldID; f < fieldSpecVersion; f++ {
		fields[rules[f].Name] = f
	}
	return newNaming(false, fields)
}()

// CloudEvents 1.0 in JSON; its names are lower case letters and digits.
var cloudEventNames = newNaming(true, map[string]field{
	"id": fieldID, "type": fieldType, "time": fieldTimestamp, "subject": fieldCorrelationID, "data": fieldData,
	"eventversion": fieldVersion, "eventcategory": fieldCategory, "eventaction": fieldAction, "eventoutcome": fieldOutcome,
	"actortype": fieldActorType, "actorid": fieldActorID, "actorip": fieldActorIP,
	"resourcetype": fieldResourceType, "resourceid": fieldResourceID, "namespace": fieldNamespace, "clusterid": fieldClusterID,
	"severity": fieldSeverity, "durationms": fieldDuration, "errorcode": fieldErrorCode, "errormessage": fieldErrorMessage,
	"parenteventid": fieldParentID, "retentiondays": fieldRetention, "issensitive": fieldSensitive,
	"producerid": fieldProducerID, "producerepoch": fieldProducerEpoch, "producerseq": fieldProducerSeq,
	"specversion": fieldSpecVersion, "source": fieldSource, "datacontenttype": fieldContentType,
})
