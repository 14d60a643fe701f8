package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"kubernaut.ai/test/apicalls"
)

// call is a request to the API server or to DataStorage, with its answer.
type call struct {
	// service is who made it, and name its verb and resource, for people.
	service, name string
	began         time.Time
	took          time.Duration

	method, path, query, contentType, accept string
	body, answer                             []byte
	status                                   int
	// storage is set for calls of DataStorage, account for those with the token of a service account.
	storage, account bool
}

// key names the service and the call.
func (c *call) key() string { return c.service + ": " + c.name }

// recorder is between the services and their servers, and keeps the calls that handle signals.
type recorder struct {
	token        string // the services' own
	api, storage *httptest.Server

	mu    sync.Mutex
	calls []*call // guarded by mu
}

// newRecorder makes a recorder in front of the servers. The caller closes it.
func newRecorder(s *servers) (*recorder, error) {
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(s.config))
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	r := &recorder{token: s.config.BearerToken}
	if r.api, err = r.serve(s.config.Host, transport, false); err != nil {
		return nil, err
	}
	if r.storage, err = r.serve(s.dataStorageURL, http.DefaultTransport, true); err != nil {
		r.api.Close()
		return nil, err
	}
	return r, nil
}

func (r *recorder) close() {
	for _, s := range []*httptest.Server{r.api, r.storage} {
		s.CloseClientConnections()
		s.Close()
	}
}

// config leads to the API server through the recorder. Bodies are JSON, so that they can be read.
func (r *recorder) config() *rest.Config {
	return &rest.Config{
		Host: r.api.URL, BearerToken: r.token, ContentConfig: rest.ContentConfig{ContentType: "application/json"},
		TLSClientConfig: rest.TLSClientConfig{CAData: authority(r.api.Certificate())},
	}
}

func authority(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// take returns the calls so far, in the order of their beginnings, and forgets them.
func (r *recorder) take() []*call {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	slices.SortStableFunc(calls, func(a, b *call) int { return a.began.Compare(b.began) })
	return calls
}

// callKey is the key of a call in a context.
type callKey struct{}

func (r *recorder) serve(to string, transport http.RoundTripper, storage bool) (*httptest.Server, error) {
	target, err := url.Parse(to)
	if err != nil {
		return nil, fmt.Errorf("record calls of %s: %w", to, err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.Out.Header.Del("Accept-Encoding")
		},
		Transport: transport, FlushInterval: -1, ErrorLog: zap.NewStdLog(zap.NewNop()),
		ModifyResponse: func(response *http.Response) error {
			c, ok := response.Request.Context().Value(callKey{}).(*call)
			if !ok {
				return nil
			}
			answer, err := io.ReadAll(response.Body)
			if err != nil {
				return fmt.Errorf("read an answer: %w", err)
			}
			c.took, c.answer, c.status = time.Since(c.began), answer, response.StatusCode
			response.Body = io.NopCloser(bytes.NewReader(answer))
			r.mu.Lock()
			defer r.mu.Unlock()
			r.calls = append(r.calls, c)
			return nil
		},
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		c, err := r.arrive(request, storage)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if c != nil {
			request = request.WithContext(context.WithValue(request.Context(), callKey{}, c))
		}
		proxy.ServeHTTP(w, request)
	}))
	if storage {
		server.Start()
	} else {
		server.StartTLS()
	}
	return server, nil
}

// arrive notes a call; nil if it handles no signal: a watch, the lists of caches, discovery.
func (r *recorder) arrive(request *http.Request, storage bool) (*call, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, fmt.Errorf("read a call: %w", err)
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	c := &call{
		service: serviceOf(request.UserAgent()), began: time.Now(),
		method: request.Method, path: request.URL.Path, query: request.URL.RawQuery,
		contentType: request.Header.Get("Content-Type"), accept: request.Header.Get("Accept"), body: body,
		storage: storage, account: !storage && request.Header.Get("Authorization") != "Bearer "+r.token,
	}
	if storage {
		c.name = "store " + strings.Join(eventTypesOf(body), ", ")
		return c, nil
	}
	name, background := apiCall(request, c.account)
	if c.name = name; background {
		return nil, nil //nolint:nilnil // there is none
	}
	return c, nil
}

// serviceOf is the service that a user agent names.
func serviceOf(agent string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(agent, "kubernaut-"), "/")
	return name
}

var eventType = regexp.MustCompile(`"event_type":"([a-z_.]+)"`)

func eventTypesOf(body []byte) []string {
	all := eventType.FindAllSubmatch(body, -1)
	types := make([]string, 0, len(all))
	for _, found := range all {
		types = append(types, string(found[1]))
	}
	return types
}

const verbGet = "get"

var verbs = map[string]string{
	http.MethodGet: verbGet, http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
}

// apiCall names a call of the API server by verb and resource.
func apiCall(r *http.Request, account bool) (name string, background bool) {
	resource, object := apicalls.Resource(r.URL.Path)
	query := r.URL.Query()
	verb := verbs[r.Method]
	if verb == verbGet && object == "" {
		verb = "list"
	}
	name = verb + " " + resource
	if query.Has("dryRun") {
		name += ", dry run"
	}
	if account {
		name += ", by the workflow"
	}
	cached := verb == "list" && (query.Has("resourceVersion") || query.Has("limit"))
	return name, query.Has("watch") || cached || resource == "" ||
		slices.Contains([]string{"subjectaccessreviews", "remediationworkflows/status", "customresourcedefinitions"}, resource)
}

// identity is what an object's answer says about it.
type identity struct {
	Metadata struct {
		Name            string `json:"name"`
		UID             string `json:"uid"`
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
	Status struct {
		Token string `json:"token"`
	} `json:"status"`
}

func identityOf(answer []byte) identity {
	var found identity
	_ = json.Unmarshal(answer, &found) // what is no object has no identity
	return found
}
