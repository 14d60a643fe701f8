package telemetry

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
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
				return "kubernetes " + r.Method + " " + resourceOf(r.Method, calledURL(r).Path)
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
func (r restored) RoundTrip(call *http.Request) (*http.Response, error) {
	called := call.WithContext(call.Context())
	called.URL = calledURL(call)
	return r.next.RoundTrip(called) //nolint:wrapcheck // passed on
}

// paths knows the paths of the API server.
var paths = request.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")}

// resourceOf is what a call is about, as in "pods/log": without group, namespace, name and filters.
func resourceOf(method, path string) string {
	call, err := paths.NewRequestInfo(&http.Request{Method: method, URL: &url.URL{Path: path}})
	if err != nil || !call.IsResourceRequest {
		first, _, _ := strings.Cut(strings.Trim(path, "/"), "/")
		return first
	}
	if call.Subresource == "" {
		return call.Resource
	}
	return call.Resource + "/" + call.Subresource
}
