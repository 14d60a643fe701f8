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

// answerPatience bounds how long a service may take to tell its state.
const answerPatience = 5 * time.Second

// states asks services for readiness and metrics, by the URLs of their management ports.
func states(ctx context.Context, managementURLs []string) map[string]string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerPatience)
	defer cancel()
	answers := map[string]string{}
	for _, base := range managementURLs {
		for _, what := range []string{"readyz", "metrics"} {
			answers[nameOf(base)+"-"+what] = state(ctx, strings.TrimSuffix(base, "/")+"/"+what)
		}
	}
	return answers
}

// nameOf makes a part of a file's name of a service's address.
func nameOf(base string) string {
	address, err := url.Parse(base)
	if err != nil {
		return "unknown"
	}
	return strings.NewReplacer(":", "_", "/", "_").Replace(address.Host)
}

// state is the answer, or why there is none.
func state(ctx context.Context, address string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return fmt.Sprintf("no answer: %v\n", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Sprintf("no answer: %v\n", err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Sprintf("half an answer: %v\n%s", err, text)
	}
	return response.Request.URL.String() + " answered " + response.Status + "\n" + string(text)
}
