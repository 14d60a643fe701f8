package alertmanager_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubernaut.ai/services/gateway/internal/alertmanager"
	"kubernaut.ai/services/gateway/internal/signaltest"
)

func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	fields, err := filepath.Glob("testdata/field/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, fields...) {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(valid))
	f.Add([]byte(repeated(`{}`, 5000)))
	f.Add([]byte(strings.Repeat(`[`, 20_000)))
	f.Add([]byte(`{"groupLabels":{` + strings.Repeat(`"":"",`, 5000) + `}}`))
	f.Fuzz(func(t *testing.T, text []byte) { signaltest.Fuzz(t, alertmanager.Parse, text) })
}
