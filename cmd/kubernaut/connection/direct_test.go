package connection_test

import (
	"strings"
	"testing"

	"kubernaut.ai/cmd/kubernaut/connection"
)

func TestOnlyAURLWithASchemeAndAHostIsTaken(t *testing.T) {
	t.Parallel()
	for text, usable := range map[string]bool{
		"": true, "http://127.0.0.1:8080": true, "https://datastorage.example/audit/": true,
		"127.0.0.1:8080": false, "localhost:8080": false, "datastorage": false, "http://": false, "ftp://datastorage": false, "http://a b": false,
	} {
		o := connection.Direct{URL: text}
		err := o.Check()
		if usable != (err == nil) || err != nil && (!strings.Contains(err.Error(), "--datastorage-url") || !strings.Contains(err.Error(), "http://127.0.0.1:8080")) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
