package story_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/story"
)

// eventType matches the types of events, and no groups, leases or metrics.
var eventType = regexp.MustCompile(`^(datastorage|gateway|signalprocessing|remediation|workflowexecution)\.[a-z_]+(\.[a-z_]+)?$`)

// declaredTypes finds the constants with event types in the source of the services.
func declaredTypes(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	root := filepath.Join("..", "..", "..", "services")
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declaration := range file.Decls {
			constants, ok := declaration.(*ast.GenDecl)
			if !ok || constants.Tok != token.CONST {
				continue
			}
			ast.Inspect(constants, func(n ast.Node) bool {
				literal, ok := n.(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					return true
				}
				if text, err := strconv.Unquote(literal.Value); err == nil && eventType.MatchString(text) && !strings.HasSuffix(text, ".kubernaut.ai") {
					found[text] = path
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestEveryEventTypeOfTheServicesHasASentence(t *testing.T) {
	t.Parallel()
	declared := declaredTypes(t)
	if len(declared) < 20 {
		t.Fatalf("only %d event types found: %v", len(declared), declared)
	}
	for name, path := range declared {
		if !story.Known(name) {
			t.Errorf("%s: event type %s has no sentence in cmd/kubernaut/story/sentences.go", path, name)
		}
	}
}

func TestTell(t *testing.T) {
	t.Parallel()
	grace := "grace@example.org"
	message := "the API server is down"
	for name, test := range map[string]struct {
		event datastorage.StoredEvent
		data  string
		want  string
	}{
		"values of the data": {
			datastorage.StoredEvent{EventType: "signalprocessing.phase.transition"},
			`{"from":"Pending","to":"Enriching"}`,
			"Processing went from Pending to Enriching.",
		},
		"optional parts without a value": {
			datastorage.StoredEvent{EventType: "gateway.signal.received"},
			`{"signal_name":"KubePodCrashLooping","target_resource":{"kind":"Pod"}}`,
			"Signal KubePodCrashLooping arrived.",
		},
		"a person": {
			datastorage.StoredEvent{EventType: "remediation.approval.approved", ActorId: &grace},
			`{"reason":"seen before"}`,
			"grace@example.org approved the plan: seen before.",
		},
		"a number of items": {
			datastorage.StoredEvent{EventType: "signalprocessing.enrichment.completed"},
			`{"context":{"ownerChain":[{},{}]}}`,
			"The target was looked up: 2 owners.",
		},
		"an error": {
			datastorage.StoredEvent{EventType: "gateway.crd.failed", ErrorMessage: &message},
			`[]`,
			"The Gateway could not create a request: the API server is down.",
		},
		"a pause by a label": {
			datastorage.StoredEvent{EventType: "remediation.paused"},
			`{"paused":true,"namespace":"shop","field_manager":"kubectl-label"}`,
			"Executions are paused in namespace shop; kubectl-label wrote the label.",
		},
		"an erasure refused for holds": {
			datastorage.StoredEvent{EventType: "datastorage.erasure.refused"},
			`{"held":1,"altered":0,"reason":"request 7"}`,
			"Nothing was erased; legal holds keep 1 events.",
		},
		"one refused for several events": {
			datastorage.StoredEvent{EventType: "datastorage.erasure.refused"},
			`{"held":0,"altered":2,"own":3,"unusable":false,"reason":"request 7"}`,
			"Nothing was erased; 2 events were altered; 3 events are DataStorage's own.",
		},
		"one that is unusable": {
			datastorage.StoredEvent{EventType: "datastorage.erasure.refused"},
			`{"held":0,"altered":0,"unusable":true,"reason":""}`,
			"Nothing was erased; the request is not one that DataStorage takes.",
		},
		"a type of others": {datastorage.StoredEvent{EventType: "shop.order.paid", EventAction: "pay"}, `{}`, "pay."},
		"a sequence that controls the terminal": {
			datastorage.StoredEvent{EventType: "signalprocessing.phase.transition"},
			`{"from":"\u001b[31mPending","to":"a\nb"}`,
			`Processing went from Pending to a\nb.`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.event.EventData = json.RawMessage(test.data)
			if got := story.Tell(&test.event); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}
