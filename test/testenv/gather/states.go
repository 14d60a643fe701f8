package gather

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// stateTimeout bounds reading the state of all services.
const stateTimeout = 5 * time.Second

// states reads readiness and metrics from management ports.
func states(ctx context.Context, managementURLs []string) map[string]string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout)
	defer cancel()
	answers := map[string]string{}
	for _, base := range managementURLs {
		for _, what := range []string{"readyz", "metrics"} {
			answers[nameOf(base)+"-"+what] = state(ctx, strings.TrimSuffix(base, "/")+"/"+what)
		}
	}
	return answers
}

// nameOf turns a service's address into a part of a file name.
func nameOf(base string) string {
	address, err := url.Parse(base)
	if err != nil {
		return "unknown"
	}
	return strings.NewReplacer(":", "_", "/", "_").Replace(address.Host)
}

// state returns the response, or why there is none.
func state(ctx context.Context, address string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return fmt.Sprintf("no response: %v\n", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Sprintf("no response: %v\n", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Sprintf("incomplete response: %v\n%s", err, text)
	}
	return response.Request.URL.String() + " answered " + response.Status + "\n" + string(text)
}
