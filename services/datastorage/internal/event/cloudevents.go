package event

import (
	"mime"
	"strings"

	"kubernaut.ai/pkg/audit/wire"
)

// cloud reads the attributes of CloudEvents that are no fields of an event, and
// fills in what follows from them: version "1.0" without the extension
// eventversion, and the source as the actor without the extension actorid.
func (r *reader) cloud() {
	if v := r.text(fieldSpecVersion); v != "" && v != "1.0" {
		r.refusef(fieldSpecVersion, "must be 1.0")
	}
	from := r.text(fieldSource)
	if r.values[fieldActorID] == nil && from != "" {
		r.values[fieldActorID] = r.values[fieldSource]
	}
	if r.values[fieldVersion] == nil {
		r.values[fieldVersion] = []byte(`"1.0"`)
	}
	if r.values[fieldID] == nil {
		r.refusef(fieldID, wire.ReasonRequired)
	}
	if value := r.values[fieldContentType]; value != nil {
		text, err := wire.Text(value)
		media, _, mediaErr := mime.ParseMediaType(text)
		if err != nil || mediaErr != nil || (media != "application/json" && !strings.HasSuffix(media, "+json")) {
			r.refusef(fieldContentType, "must be a JSON type")
		}
	}
}
