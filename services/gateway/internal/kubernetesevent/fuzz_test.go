package kubernetesevent_test

import (
	"strings"
	"testing"

	"kubernaut.ai/services/gateway/internal/kubernetesevent"
	"kubernaut.ai/services/gateway/internal/signaltest"
)

func FuzzParse(f *testing.F) {
	for _, name := range []string{"core-v1.json", "events-v1.json"} {
		f.Add([]byte(file(f, name)))
	}
	f.Add([]byte(`{"reason":"A","involvedObject":{"kind":"Pod","name":"` + "\xff\x00" + `\ud800"}}`))
	f.Add([]byte(`{"reason":"A","involvedObject":{"kind":"Pod","name":"n"},"x":` + strings.Repeat(`[`, 5000) + `}`))
	f.Fuzz(func(t *testing.T, text []byte) { signaltest.Fuzz(t, kubernetesevent.Parse, text) })
}
