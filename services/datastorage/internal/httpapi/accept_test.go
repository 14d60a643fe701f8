package httpapi //nolint:testpackage // negotiation is an inner step

import (
	"net/http"
	"testing"
)

func TestAcceptsJSON(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"": true, "*/*": true, "application/json": true, "application/*;q=0.5": true, "text/csv, application/json;q=0.1": true,
		"text/html, */*; q=0.8": true, "text/csv": false, "application/x-ndjson": false, "application/json;q=0, */*": false,
	} {
		var values []string
		if accept != "" {
			values = []string{accept}
		}
		if got := acceptsJSON(values); got != want {
			t.Errorf("Accept %q: %v, want %v", accept, got, want)
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"": false, "gzip": true, "br, gzip;q=0.5": true, "gzip;q=0": false, "identity": false, "GZIP": true,
	} {
		if got := acceptsGzip(http.Header{"Accept-Encoding": {accept}}); got != want {
			t.Errorf("Accept-Encoding %q: %v, want %v", accept, got, want)
		}
	}
}
