package chaos

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestCallsAreNamedByVerbAndResource(t *testing.T) {
	for target, want := range map[string]call{
		"GET /api/v1/namespaces/shop":                                                      {name: "get namespaces"},
		"POST /api/v1/namespaces/wf/serviceaccounts/worker/token":                          {name: "create serviceaccounts/token"},
		"PATCH /apis/apps/v1/namespaces/shop/deployments/web":                              {name: "patch deployments", write: true},
		"PATCH /apis/apps/v1/namespaces/shop/deployments/web?dryRun=All":                   {name: "patch deployments, dry run"},
		"POST /apis/batch/v1/namespaces/wf/jobs":                                           {name: "create jobs", write: true},
		"GET /apis/kubernaut.ai/v1alpha1/workflowexecutions":                               {name: "list workflowexecutions"},
		"GET /apis/kubernaut.ai/v1alpha1/workflowexecutions?resourceVersion=0":             {name: "list workflowexecutions", background: true},
		"GET /apis/kubernaut.ai/v1alpha1/workflowexecutions?watch=true":                    {name: "watch workflowexecutions", background: true},
		"PATCH /apis/kubernaut.ai/v1alpha1/namespaces/shop/workflowexecutions/rr-1/status": {name: "patch workflowexecutions/status"},
		"GET /apis/kubernaut.ai/v1alpha1":                                                  {name: "list ", background: true},
		"GET /version":                                                                     {name: "list ", background: true},
	} {
		t.Run(target, func(t *testing.T) {
			method, path, _ := strings.Cut(target, " ")
			r := httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody)
			want.path = r.URL.Path
			r.Header.Set("Authorization", "Bearer own")
			if got := ofAPI(r, "own"); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			r.Header.Set("Authorization", "Bearer account")
			if got := ofAPI(r, "own").name; got != want.name+byWorkflow {
				t.Errorf("got %q for the call of a workflow", got)
			}
		})
	}
}

func TestBatchesAreNamedByTheirEvents(t *testing.T) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, pathBatch, http.NoBody)
	body := []byte(`{"event_type":"remediation.workflow.selected"}` + "\n" + `{"event_type":"workflowexecution.execution.started"}`)
	if got, want := ofStorage(r, body).name, "store remediation.workflow.selected, workflowexecution.execution.started"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !ofStorage(r, []byte(`{"event_type":"workflowexecution.policy.loaded"}`)).background {
		t.Error("the policies belong to no remediation")
	}
}

func TestABatchIsAPointForEachOfItsEvents(t *testing.T) {
	stored, listed := call{name: "store a.b, c.d"}, call{name: "list pods, by the workflow"}
	if got := stored.points(); !slices.Equal(got, []string{"store a.b", "store c.d"}) {
		t.Errorf("points %q", got)
	}
	if got := listed.points(); !slices.Equal(got, []string{listed.name}) {
		t.Errorf("points %q", got)
	}
}

func TestAtSmallScaleEachChangeIsChosenAndEachReadOnce(t *testing.T) {
	points := []point{{"get pods", 1}, {"patch pods", 1}, {"get pods", 2}, {"patch pods", 2}, {"store a.b", 1}, {"list pods", 1}}
	s := &remediations{Options: &Options{Full: true}}
	if got := s.chosen(s.random(0), points); !slices.Equal(got, points) {
		t.Errorf("at full scale: %v", got)
	}
	s.Full = false
	got := s.chosen(s.random(0), points)
	read := slices.DeleteFunc(slices.Clone(got), func(p point) bool { return p.name != "get pods" })
	rest := slices.DeleteFunc(slices.Clone(got), func(p point) bool { return p.name == "get pods" })
	if len(read) != 1 || !slices.Equal(rest, []point{points[1], points[3], points[4], points[5]}) {
		t.Errorf("at small scale: %v", got)
	}
}
