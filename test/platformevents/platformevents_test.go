package platformevents_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/eventcatalog"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/test/platformevents"
)

const root = "../.."

func catalog(t *testing.T) eventcatalog.Catalog {
	t.Helper()
	c, err := platformevents.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eventType is the form of a constant that names a type of event.
var eventType = regexp.MustCompile(`^(datastorage|gateway|remediation|signalprocessing|workflowexecution)(\.[a-z_]+)+$`)

func TestEveryTypeThatAServiceDeclaresIsInTheCatalog(t *testing.T) {
	c, found := catalog(t), 0
	err := filepath.WalkDir(filepath.Join(root, "services"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, text := range constants(file) {
			if !eventType.MatchString(text) || strings.HasSuffix(text, ".kubernaut.ai") {
				continue
			}
			found++
			if c.Find(text) == nil {
				t.Errorf("%s: %s is not in the catalog of events: add it to the Catalog function of its package", path, text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < len(c) {
		t.Errorf("found %d constants for %d types: does the search still find them?", found, len(c))
	}
}

// constants are the texts of a file's constants.
func constants(file *ast.File) []string {
	var texts []string
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			for _, value := range spec.(*ast.ValueSpec).Values {
				if literal, ok := value.(*ast.BasicLit); ok && literal.Kind == token.STRING {
					if text, err := strconv.Unquote(literal.Value); err == nil {
						texts = append(texts, text)
					}
				}
			}
		}
	}
	return texts
}

func TestEveryFieldOfAnEventHasAMeaning(t *testing.T) {
	comments := eventcatalog.NewComments(root)
	for _, e := range catalog(t) {
		schema, err := e.Schema(comments, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range append([]*jsonschema.Schema{schema}, schema.AnyOf...) {
			for name, property := range s.Properties {
				if property.Description == "" {
					t.Errorf("%s: nobody says what the field %q means: write a comment at the Go field", e.Type, name)
				}
			}
		}
	}
}

// withoutExample are types of which nobody has collected an example: most are stored only by specs with a
// DataStorage of their own.
var withoutExample = map[string]bool{
	"datastorage.producer.claimed": true, "gateway.signal.undeliverable": true, "remediation.instance.unknown": true,
	"remediation.verification.started":   true,
	"workflowexecution.execution.failed": true, "workflowexecution.policy.rejected": true,
}

func TestEveryTypeHasAnExampleThatFitsItsSchema(t *testing.T) {
	c := catalog(t)
	checker, err := eventcatalog.NewChecker(c, eventcatalog.NewComments(root))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c {
		text, err := os.ReadFile(filepath.Join(root, "api/events/examples", e.Type+".json"))
		if withoutExample[e.Type] && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Errorf("%s has no example (make event-examples): %v", e.Type, err)
			continue
		}
		var stored datastorage.StoredEvent
		if err := json.Unmarshal(text, &stored); err != nil {
			t.Errorf("example of %s: %v", e.Type, err)
			continue
		}
		if stored.EventType != e.Type {
			t.Errorf("the example of %s is an event of type %s", e.Type, stored.EventType)
		}
		if err := checker.Check(e.Type, audit.Outcome(stored.EventOutcome), stored.EventData); err != nil {
			t.Error(err)
		}
	}
}

func TestAnEventThatDiffersFromItsEntryIsFound(t *testing.T) {
	checker, err := eventcatalog.NewChecker(catalog(t), eventcatalog.NewComments(root))
	if err != nil {
		t.Fatal(err)
	}
	const lost, data = "gateway.heartbeat.lost", `{"heartbeat":"watchdog","last_seen":"2026-01-02T03:04:05Z","lost_since":"2026-01-02T03:09:05Z"`
	for name, tried := range map[string]struct {
		outcome audit.Outcome
		data    string
		fits    bool
	}{
		"as the entry says":       {audit.OutcomeFailure, data + `}`, true},
		"another outcome":         {audit.OutcomeSuccess, data + `}`, false},
		"a field more":            {audit.OutcomeFailure, data + `,"more":1}`, false},
		"a field of another type": {audit.OutcomeFailure, data + `,"namespace":1}`, false},
		"a field less":            {audit.OutcomeFailure, `{"heartbeat":"watchdog"}`, false},
	} {
		if err := checker.Check(lost, tried.outcome, []byte(tried.data)); (err == nil) != tried.fits {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checker.Check("shop.order.placed", audit.OutcomeSuccess, []byte(`{}`)); err != nil {
		t.Errorf("a type that the platform does not record: %v", err)
	}
}
