package chaos

import (
	"net/http"
	"regexp"
	"slices"
	"strings"

	"kubernaut.ai/test/apicalls"
)

// call is a request of a process to the API server or to DataStorage.
type call struct {
	// name is the verb and the resource, or what is stored.
	name string
	path string
	// write is set if the call changes a target or creates a Job.
	write bool
	// background calls belong to no remediation: discovery, caches, the validation of workflows.
	background bool
}

// eventTypes are the types of the events in a batch for DataStorage.
var eventTypes = regexp.MustCompile(`"event_type":"((?:remediation|workflowexecution\.execution)\.[a-z_.]+)"`)

// storing begins the names of batches, each of which has an event of a remediation.
const storing = "store "

// points are what a call is, by name: which events share a batch is a matter of time.
func (c *call) points() []string {
	types, stores := strings.CutPrefix(c.name, storing)
	if !stores {
		return []string{c.name}
	}
	points := strings.Split(types, ", ")
	for i := range points {
		points[i] = storing + points[i]
	}
	return points
}

// reads reports whether what a point names changes nothing.
func reads(point string) bool {
	return strings.HasPrefix(point, "get ") || strings.HasPrefix(point, "list ")
}

// ofStorage names a call of DataStorage. A batch without events of a remediation is background.
func ofStorage(r *http.Request, body []byte) call {
	c := call{name: strings.ToLower(r.Method) + " " + r.URL.Path, path: r.URL.Path}
	all := eventTypes.FindAllSubmatch(body, -1)
	types := make([]string, 0, len(all))
	for _, found := range all {
		types = append(types, string(found[1]))
	}
	c.background = len(types) == 0
	if !c.background {
		c.name = storing + strings.Join(types, ", ")
	}
	return c
}

// verbs by HTTP method, of calls that name an object.
var verbs = map[string]string{
	http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
}

// byWorkflow ends the names of calls with the rights of the workflow's service account.
const byWorkflow = ", by the workflow"

// ofAPI names a call of the API server. token is the process's own.
func ofAPI(r *http.Request, token string) call {
	resource, object := apicalls.Resource(r.URL.Path)
	query := r.URL.Query()
	verb := verbs[r.Method]
	switch {
	case query.Get("watch") != "":
		verb = "watch"
	case verb == "get" && object == "":
		verb = "list"
	}
	dry := query.Has("dryRun")
	c := call{name: verb + " " + resource, path: r.URL.Path}
	if dry {
		c.name += ", dry run"
	}
	c.write = !dry && (c.name == "patch deployments" || c.name == "create jobs")
	if r.Header.Get("Authorization") != "Bearer "+token {
		c.name += byWorkflow
	}
	// The lists of caches name a version or are in pieces.
	cached := verb == "list" && (query.Has("resourceVersion") || query.Has("limit"))
	c.background = verb == "watch" || cached || resource == "" ||
		slices.Contains([]string{"subjectaccessreviews", "remediationworkflows/status", "customresourcedefinitions", "configmaps", "events"}, resource)
	return c
}
