package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tidwall/gjson"
)

// BenchmarkCheck holds the ways to check that an event's data is JSON against
// each other. Only Event.Validate, which looks at the other fields too, and
// jsontext refuse names that come twice; only the first knows all of DataStorage's rules.
func BenchmarkCheck(b *testing.B) {
	event := batchOf(1, "check")[0]
	one := event.Data
	for name, data := range map[string][]byte{
		"200B":  []byte(`{"request_id":"0190163d-8694-739b-aea5-966c26f8ad91","source":"alertmanager","truncated_alerts":12,"group":"{}:{alertname=\"KubePodCrashLooping\"}","receiver":"kubernaut","remediation":"pending"}`),
		"1KiB":  one,
		"16KiB": fmt.Appendf(nil, `{"signals":[%s]}`, bytes.Join([][]byte{one, one, one, one, one, one, one, one, one, one, one, one, one, one, one}, []byte{','})),
	} {
		event.Data = data
		for how, check := range map[string]func() bool{
			"validate":      func() bool { return event.Validate() == nil },
			"encoding-json": func() bool { return json.Valid(data) },
			"jsontext":      func() bool { v := jsontext.Value(data); return v.IsValid() },
			"gjson":         func() bool { return gjson.ValidBytes(data) },
		} {
			b.Run(how+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					if !check() {
						b.Fatal("not valid")
					}
				}
			})
		}
	}
}
