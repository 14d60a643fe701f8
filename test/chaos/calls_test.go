package chaos

import (
	"net/http"
	"net/http/httptest"
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
