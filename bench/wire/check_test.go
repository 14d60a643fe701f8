package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/tidwall/gjson"

	"kubernaut.ai/pkg/audit/wire"
)

// BenchmarkCheck compares ways to check that an event's data is JSON. Only wire, Event.Validate, which checks the other
// fields too, and jsontext refuse duplicate names; only the first two know all of DataStorage's rules.
func BenchmarkCheck(b *testing.B) {
	event := batchOf(1, "check")[0]
	for name, data := range samples(event.Data) {
		event.Data = data
		for how, check := range map[string]func() bool{
			"validate":      func() bool { return event.Validate() == nil },
			"wire":          func() bool { return wire.CheckData(data, event.Type) == nil },
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

// BenchmarkCanonical compares ways to write the canonical form. That of jsontext (RFC 8785) sorts by UTF-16 and rounds
// numbers that are not whole to a double, so it is another form; and it works in place.
func BenchmarkCanonical(b *testing.B) {
	for name, data := range samples(batchOf(1, "canonical")[0].Data) {
		for how, canonicalize := range map[string]func() error{
			"wire": func() error {
				_, err := wire.CanonicalData(data, "a.b", wire.MaxDataBytes)
				return err
			},
			"jsontext": func() error {
				v := jsontext.Value(bytes.Clone(data))
				return v.Canonicalize(jsontext.CanonicalizeRawInts(true))
			},
		} {
			b.Run(how+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				b.ReportAllocs()
				for b.Loop() {
					if err := canonicalize(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// samples are data of three sizes, made of one of 1 KiB.
func samples(one []byte) map[string][]byte {
	return map[string][]byte{
		"200B":  []byte(`{"request_id":"0190163d-8694-739b-aea5-966c26f8ad91","source":"alertmanager","truncated_alerts":12,"group":"{}:{alertname=\"KubePodCrashLooping\"}","receiver":"kubernaut","remediation":"pending"}`),
		"1KiB":  one,
		"16KiB": fmt.Appendf(nil, `{"signals":[%s]}`, bytes.Join([][]byte{one, one, one, one, one, one, one, one, one, one, one, one, one, one, one}, []byte{','})),
	}
}
