package event

import (
	"mime"
	"strings"

	"kubernaut.ai/pkg/audit/wire"
)

// The attributes of CloudEvents that are required and no fields of an event.
var (
	specVersion = wire.TextField{Name: attributeSpecVersion, Most: 50, Required: true}
	source      = wire.TextField{Name: attributeSource, Most: 255, Required: true}
)

// cloud reads the attributes of CloudEvents that are no fields of an event, and
// fills in what follows from them: version "1.0" without the extension
// eventversion, and the source as the actor without the extension actorid.
func (r *reader) cloud() {
	if v := r.text(&specVersion); v != "" && v != "1.0" {
		r.refusef(attributeSpecVersion, "must be 1.0")
	}
	from := r.text(&source)
	if _, given := r.values["actor_id"]; !given && from != "" {
		r.values["actor_id"] = r.values[attributeSource]
	}
	if _, given := r.values["version"]; !given {
		r.values["version"] = []byte(`"1.0"`)
	}
	if _, given := r.values["event_id"]; !given {
		r.refusef(wire.FieldID, wire.ReasonRequired)
	}
	if value, given := r.values[attributeContentType]; given {
		text, err := wire.Text(value)
		media, _, mediaErr := mime.ParseMediaType(text)
		if err != nil || mediaErr != nil || (media != "application/json" && !strings.HasSuffix(media, "+json")) {
			r.refusef(attributeContentType, "must be a JSON type")
		}
	}
}
