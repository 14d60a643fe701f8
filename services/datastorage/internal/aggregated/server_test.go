package aggregated //nolint:testpackage // steps of a request are inner parts

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/problem"
)

type silent struct{}

func (silent) Queried(string, int, time.Duration) {}

func handler(t *testing.T) http.Handler {
	t.Helper()
	h, err := New(Config{
		Auth: auth.NewGate(auth.None{}, zap.NewNop()), Observer: silent{}, Log: zap.NewNop(), Clock: clocktesting.NewFakePassiveClock(time.Now()),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func call(t *testing.T, h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	return answer
}

func TestAnAPIWithoutAGateIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{Log: zap.NewNop()}); err == nil {
		t.Error("an API without a gate was made")
	}
}

func TestDiscoveryNamesEveryCall(t *testing.T) {
	t.Parallel()
	h := handler(t)
	var list metav1.APIResourceList
	if err := json.Unmarshal(call(t, h, http.MethodGet, root, "").Body.Bytes(), &list); err != nil || list.GroupVersion != "audit.kubernaut.ai/v1" {
		t.Fatalf("got %+v, error %v", list, err)
	}
	verbs := map[string][]string{}
	for _, r := range list.APIResources {
		verbs[r.Name] = r.Verbs
	}
	count := 0
	for _, c := range Calls() {
		if !slices.Contains(verbs[c.Action.Resource], c.Action.Verb) {
			t.Errorf("%s is not in the discovery document: %v", c.Action, verbs)
		}
		count++
	}
	for _, of := range verbs {
		count -= len(of)
	}
	if count != 0 {
		t.Errorf("calls %+v, discovered %v", Calls(), verbs)
	}
}

func TestTheDocumentHasEveryCall(t *testing.T) {
	t.Parallel()
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := yaml.Unmarshal(openapi, &document); err != nil {
		t.Fatal(err)
	}
	var documented []string
	served := make([]string, 0, len(Calls()))
	for path, methods := range document.Paths {
		for method := range methods {
			documented = append(documented, strings.ToUpper(method)+" "+path)
		}
	}
	for _, c := range Calls() {
		served = append(served, c.Method+" "+strings.Replace(c.Path, ":name", "{name}", 1))
	}
	slices.Sort(documented)
	slices.Sort(served)
	if !slices.Equal(documented, served) {
		t.Errorf("documented %v, served %v", documented, served)
	}
}

func TestWhatTheAggregatorAsksForIsAnswered(t *testing.T) {
	t.Parallel()
	h := handler(t)
	for _, path := range []string{"/apis", "/apis/" + Group, root, "/openapi/v2", "/openapi/v3", "/openapi/v3" + root} {
		answer := call(t, h, http.MethodGet, path, "")
		if answer.Code != http.StatusOK || !json.Valid(answer.Body.Bytes()) {
			t.Errorf("%s: answered %d %s", path, answer.Code, answer.Body)
		}
	}
	answer := call(t, h, http.MethodGet, "/api/v1/audit/events", "")
	var status metav1.Status
	if err := json.Unmarshal(answer.Body.Bytes(), &status); err != nil || answer.Code != http.StatusNotFound || status.Reason != metav1.StatusReasonNotFound {
		t.Errorf("answered %d %s", answer.Code, answer.Body)
	}
}

func TestErrorsAreAStatus(t *testing.T) {
	t.Parallel()
	answer := httptest.NewRecorder()
	p := problem.Unavailable(1500*time.Millisecond, nil, "the database is away")
	if err := writeStatus(p, answer); err != nil {
		t.Fatal(err)
	}
	var status metav1.Status
	if err := json.Unmarshal(answer.Body.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	if status.Kind != "Status" || status.Status != "Failure" || status.Code != 503 || status.Reason != "ServiceUnavailable" ||
		status.Message != "the database is away" || status.Details.RetryAfterSeconds != 2 || answer.Header().Get("Retry-After") != "2" {
		t.Errorf("got %+v, header %v", status, answer.Header())
	}
}

func TestParametersOfKubernetesAreTranslated(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"limit=500&continue=abc":                             "cursor=abc&limit=500",
		"limit=0&resourceVersion=0&pretty=true":              "",
		"fieldSelector=correlation_id%3Drr-1,order%3D%3Dasc": "correlation_id=rr-1&order=asc",
		"since=24h&watch=false":                              "since=24h",
		"fieldSelector=a!%3Db":                               "error",
		"fieldSelector=order%3Dasc&order=desc":               "error",
		"continue=a&cursor=b":                                "error",
		"watch=true":                                         "error",
		"%zz":                                                "error",
	} {
		u := &url.URL{RawQuery: given}
		err := translate(u)
		if want == "error" {
			if err == nil {
				t.Errorf("%s: became %s, want an error", given, u.RawQuery)
			}
			continue
		}
		if err != nil || u.RawQuery != want {
			t.Errorf("%s: became %s, error %v, want %s", given, u.RawQuery, err, want)
		}
	}
}

func TestUnusableAcknowledgementsAreRefused(t *testing.T) {
	t.Parallel()
	h := handler(t)
	spec := `"spec":{"recorder":"r","eventIDs":["` + uuid.NewString() + `"],"reason":"why"}`
	const kind = `"apiVersion":"audit.kubernaut.ai/v1","kind":"Acknowledgement",`
	for body, want := range map[string]string{
		"":                               "not a usable Acknowledgement",
		"{" + spec + "}":                 "want apiVersion",
		"{" + kind + spec + "}{}":        "something follows",
		"{" + kind + spec + `,"more":1}`: "more",
		"{" + kind + `"spec":{}}`:        "spec.recorder is required",
		"{" + kind + spec + `,"status":{"acknowledgedBy":"me"}}`:    "status",
		"{" + kind + spec + `,"metadata":{"name":"mine"}}`:          "name",
		"{" + kind + spec + `,"metadata":{"generateName":"mine-"}}`: "name",
		"{" + kind + spec + `,"metadata":{"namespace":"mine"}}`:     "namespace",
		strings.Repeat(" ", maxBody+1) + "{" + kind + spec + "}":    "larger than",
	} {
		answer := call(t, h, http.MethodPost, root+"/acknowledgements", body)
		if answer.Code < 400 || answer.Code >= 500 || !strings.Contains(answer.Body.String(), want) {
			t.Errorf("%.200s: answered %d %s, want %q", body, answer.Code, answer.Body, want)
		}
	}
	answer := call(t, h, http.MethodPost, root+"/acknowledgements?dryRun=All", "{"+kind+spec+"}")
	if answer.Code != http.StatusBadRequest || !strings.Contains(answer.Body.String(), "dryRun") {
		t.Errorf("a dry run was answered %d %s", answer.Code, answer.Body)
	}
}

// Regression test: the zero UUID used to select all legal holds, and its deletion released them.
func TestTheZeroUUIDNamesNothing(t *testing.T) {
	t.Parallel()
	h := handler(t)
	for _, c := range Calls() {
		if !strings.HasSuffix(c.Path, "/:name") || c.Action.Resource == trails {
			continue
		}
		path := strings.Replace(c.Path, ":name", uuid.Nil.String(), 1) + map[bool]string{true: "?reason=settled"}[c.Method == http.MethodDelete]
		if answer := call(t, h, c.Method, path, ""); answer.Code != http.StatusNotFound {
			t.Errorf("%s %s: answered %d %s, want 404", c.Method, path, answer.Code, answer.Body)
		}
	}
}

// Regression test: the precondition used to be ignored, and the hold released.
func TestAHoldIsNotReleasedOnAConditionThatItCannotMeet(t *testing.T) {
	t.Parallel()
	h := handler(t)
	path := root + "/legalholds/" + uuid.NewString() + "?reason=settled"
	for body, want := range map[string]int{
		`{"preconditions": {"resourceVersion": "7"}}`:                   http.StatusBadRequest,
		`{"preconditions": {"uid": "another"}}`:                         http.StatusConflict,
		`{"dryRun": ["All"]}`:                                           http.StatusBadRequest,
		`{"preconditions": {"resourceVersion": "7", "uid": "another"}}`: http.StatusBadRequest,
	} {
		if answer := call(t, h, http.MethodDelete, path, body); answer.Code != want {
			t.Errorf("%s: answered %d %s, want %d", body, answer.Code, answer.Body, want)
		}
	}
}
