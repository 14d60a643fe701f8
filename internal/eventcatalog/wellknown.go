package eventcatalog

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/google/uuid"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// wellKnown are the schemas of types whose JSON form is not that of their fields.
func wellKnown() map[reflect.Type]*jsonschema.Schema {
	const text = "string"
	instant := &jsonschema.Schema{Type: text, Format: "date-time"}
	nullable := &jsonschema.Schema{Types: []string{text, "null"}, Format: "date-time"}
	anything := &jsonschema.Schema{}
	return map[reflect.Type]*jsonschema.Schema{
		reflect.TypeFor[time.Time]():            instant,
		reflect.TypeFor[metav1.Time]():          nullable, // the zero value is null
		reflect.TypeFor[metav1.MicroTime]():     nullable,
		reflect.TypeFor[metav1.Duration]():      {Type: text},
		reflect.TypeFor[uuid.UUID]():            {Type: text, Format: "uuid"},
		reflect.TypeFor[json.RawMessage]():      anything,
		reflect.TypeFor[runtime.RawExtension](): anything,
		reflect.TypeFor[apiextensionsv1.JSON](): anything,
	}
}
