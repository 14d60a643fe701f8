package telemetry

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/client-go/rest"
)

// Cluster is a configuration of clients with which each call of the API server is a span of the step that makes it. Calls
// outside of a step, as those of informers and leases, have none. It is config itself if there are no traces.
func (t *Tracing) Cluster(config *rest.Config) *rest.Config {
	if !t.On() {
		return config
	}
	traced := rest.CopyConfig(config)
	traced.Wrap(func(next http.RoundTripper) http.RoundTripper {
		calls := otelhttp.NewTransport(restored{next},
			otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(t.Propagator()),
			otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
				return "kubernetes " + r.Method + " " + resourceOf(calledURL(r).Path)
			}),
		)
		return hidden{calls, next}
	})
	return traced
}

// urlKey is where the URL of a call is while otelhttp, which makes an attribute of it, sees no more than the server.
type urlKey struct{}

func calledURL(r *http.Request) *url.URL {
	if u, is := r.Context().Value(urlKey{}).(*url.URL); is {
		return u
	}
	return r.URL
}

// hidden takes the names of objects and the filters out of what calls sees. Calls without a step go to plain.
type hidden struct{ calls, plain http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (h hidden) RoundTrip(r *http.Request) (*http.Response, error) {
	if !trace.SpanContextFromContext(r.Context()).IsValid() {
		return h.plain.RoundTrip(r) //nolint:wrapcheck // passed on
	}
	shown := r.WithContext(context.WithValue(r.Context(), urlKey{}, r.URL))
	shown.URL = &url.URL{Scheme: r.URL.Scheme, Host: r.URL.Host}
	return h.calls.RoundTrip(shown) //nolint:wrapcheck // passed on
}

// WrappedRoundTripper leads client-go to the transport below.
func (h hidden) WrappedRoundTripper() http.RoundTripper { return h.plain }

// restored puts back what hidden took out.
type restored struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (r restored) RoundTrip(request *http.Request) (*http.Response, error) {
	called := request.WithContext(request.Context())
	called.URL = calledURL(request)
	return r.next.RoundTrip(called) //nolint:wrapcheck // passed on
}

// resourceOf is what the path of a call is about, as in "pods/log": without group, namespace and name.
func resourceOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case parts[0] == "api" && len(parts) > 2: //nolint:mnd // api, version
		parts = parts[2:]
	case parts[0] == "apis" && len(parts) > 3: //nolint:mnd // apis, group, version
		parts = parts[3:]
	default:
		return parts[0]
	}
	const namespaced = 3 // namespaces, name, resource
	if parts[0] == "namespaces" && len(parts) >= namespaced && !slices.Contains([]string{"status", "finalize"}, parts[2]) {
		parts = parts[2:]
	}
	const withSubresource = 3 // resource, name, subresource
	if len(parts) >= withSubresource {
		return parts[0] + "/" + parts[2]
	}
	return parts[0]
}
