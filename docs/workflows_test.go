package docs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/v1alpha1"
)

const (
	catalogDir  = "../deploy/kustomize/workflows/catalog"
	workflowDir = "workflows"
)

// The sections of a workflow's page, in this order.
var workflowSections = []string{"When", "What changes", "What it can break", "How to undo", "Rights"}

// shippedWorkflow is a workflow of the catalog with the role of its account.
type shippedWorkflow struct {
	workflow v1alpha1.RemediationWorkflow
	role     rbacv1.ClusterRole
}

// manifests are the objects of the catalog that pages speak of.
type manifests struct {
	workflows []v1alpha1.RemediationWorkflow
	roles     []rbacv1.ClusterRole
	bindings  []rbacv1.ClusterRoleBinding
}

func readManifests(t *testing.T) *manifests {
	t.Helper()
	files, err := filepath.Glob(filepath.FromSlash(catalogDir + "/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m := &manifests{}
	for _, file := range files {
		documents := utilyaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(read(t, file))))
		buffer := make([]byte, 1<<20)
		for {
			n, err := documents.Read(buffer)
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				err = m.add(buffer[:n])
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
	}
	return m
}

func (m *manifests) add(document []byte) error {
	var object struct {
		Kind string `json:"kind"`
	}
	if err := yaml.Unmarshal(document, &object); err != nil {
		return fmt.Errorf("read a document: %w", err)
	}
	switch object.Kind {
	case "RemediationWorkflow":
		return appended(&m.workflows, document)
	case "ClusterRole":
		return appended(&m.roles, document)
	case "ClusterRoleBinding":
		return appended(&m.bindings, document)
	}
	return nil
}

func appended[T any](list *[]T, document []byte) error {
	var object T
	if err := yaml.UnmarshalStrict(document, &object); err != nil {
		return fmt.Errorf("read a document: %w", err)
	}
	*list = append(*list, object)
	return nil
}

// roleOf is the role that is bound to an account.
func (m *manifests) roleOf(account string) (rbacv1.ClusterRole, bool) {
	for i := range m.bindings {
		b := &m.bindings[i]
		if slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool { return s.Name == account }) {
			at := slices.IndexFunc(m.roles, func(r rbacv1.ClusterRole) bool { return r.Name == b.RoleRef.Name })
			if at >= 0 {
				return m.roles[at], true
			}
		}
	}
	return rbacv1.ClusterRole{}, false
}

func shippedWorkflows(t *testing.T) map[string]*shippedWorkflow {
	t.Helper()
	m, found := readManifests(t), map[string]*shippedWorkflow{}
	for _, wf := range m.workflows {
		role, ok := m.roleOf(wf.Spec.ServiceAccountName)
		if !ok {
			t.Errorf("workflow %s: no ClusterRole is bound to its account %s", wf.Name, wf.Spec.ServiceAccountName)
		}
		found[wf.Name] = &shippedWorkflow{wf, role}
	}
	return found
}

func code(text string) string { return "`" + text + "`" }

// rightsTable shows the rules of a role as a page does.
func rightsTable(role *rbacv1.ClusterRole) string {
	cell := func(names []string) string { return "`" + strings.Join(names, "`, `") + "`" }
	var text strings.Builder
	text.WriteString("| API group | resources | verbs |\n|---|---|---|\n")
	for i := range role.Rules {
		rule := &role.Rules[i]
		fmt.Fprintf(&text, "| %s | %s | %s |\n", cell(rule.APIGroups), cell(rule.Resources), cell(rule.Verbs))
	}
	return text.String()
}

var section = regexp.MustCompile(`(?m)^## (.*)$`)

// sectionsOf are the sections of a page: their names in order, and their texts.
func sectionsOf(page string) (order []string, texts map[string]string) {
	texts = map[string]string{}
	at := section.FindAllStringSubmatchIndex(page, -1)
	for i, m := range at {
		end := len(page)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		name := page[m[2]:m[3]]
		order = append(order, name)
		texts[name] = strings.TrimSpace(page[m[1]:end])
	}
	return order, texts
}

// checkWorkflowPage says what is wrong with the page of a workflow.
func checkWorkflowPage(page string, s *shippedWorkflow) []string {
	var wrong []string
	if !strings.HasPrefix(page, "# "+s.workflow.Name+"\n") {
		wrong = append(wrong, "the title is not the workflow's name")
	}
	order, sections := sectionsOf(page)
	if !slices.Equal(order, workflowSections) {
		wrong = append(wrong, fmt.Sprintf("the sections are %q, want %q", order, workflowSections))
	}
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		if sections[name] == "" {
			wrong = append(wrong, fmt.Sprintf("section %q is empty", name))
		}
	}
	named := map[string][]string{"When": slices.Clone(s.workflow.Spec.AppliesTo.Signals), "Rights": {s.workflow.Spec.ServiceAccountName, s.role.Name}}
	for _, kind := range s.workflow.Spec.AppliesTo.Kinds {
		named["When"] = append(named["When"], kind.Kind)
	}
	for i := range s.workflow.Spec.Parameters {
		named["When"] = append(named["When"], s.workflow.Spec.Parameters[i].Name)
	}
	for _, where := range slices.Sorted(maps.Keys(named)) {
		for _, name := range named[where] {
			if !strings.Contains(sections[where], code(name)) {
				wrong = append(wrong, fmt.Sprintf("section %s does not name %s", where, code(name)))
			}
		}
	}
	want := rightsTable(&s.role)
	if _, table, found := strings.Cut(sections["Rights"]+"\n", "\n|"); !found || "|"+table != want {
		wrong = append(wrong, "the table of section Rights differs from the role in the manifests, which is\n"+want)
	}
	return wrong
}

func TestEveryShippedWorkflowHasAPageThatAgreesWithTheManifests(t *testing.T) {
	workflows := shippedWorkflows(t)
	if len(workflows) == 0 {
		t.Fatalf("%s has no workflow", catalogDir)
	}
	linking := string(read(t, "remediation.md"))
	for name, s := range workflows {
		page, err := os.ReadFile(filepath.Join(workflowDir, name+".md"))
		if err != nil {
			t.Errorf("workflow %s has no page: %v", name, err)
			continue
		}
		for _, wrong := range checkWorkflowPage(string(page), s) {
			t.Errorf("docs/%s/%s.md: %s", workflowDir, name, wrong)
		}
		if !strings.Contains(linking, "("+workflowDir+"/"+name+".md)") {
			t.Errorf("remediation.md does not link to the page of workflow %s", name)
		}
	}
	pages, err := filepath.Glob(workflowDir + "/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		if name := strings.TrimSuffix(filepath.Base(page), ".md"); workflows[name] == nil {
			t.Errorf("docs/%s describes no workflow of the catalog", page)
		}
	}
}

func TestAPageThatDisagreesWithTheManifestsIsFound(t *testing.T) {
	scale := shippedWorkflows(t)["scale"]
	page := string(read(t, workflowDir+"/scale.md"))
	undo := regexp.MustCompile(`(?s)## How to undo\n.*?## Rights`)
	for name, c := range map[string]struct{ page, want string }{
		"another title":     {strings.Replace(page, "# scale", "# Scale", 1), "the title"},
		"missing section":   {strings.Replace(page, "## What it can break", "", 1), "the sections are"},
		"empty section":     {undo.ReplaceAllString(page, "## How to undo\n\n## Rights"), `section "How to undo" is empty`},
		"missing signal":    {strings.ReplaceAll(page, "`HighCPUUsage`", "high CPU"), "When does not name `HighCPUUsage`"},
		"missing kind":      {strings.ReplaceAll(page, "`StatefulSet`", "set"), "When does not name `StatefulSet`"},
		"missing parameter": {strings.ReplaceAll(page, "`replicas`", "the number"), "When does not name `replicas`"},
		"fewer rights":      {strings.Replace(page, "`get`, `patch`", "`get`", 1), "differs from the role"},
		"more rights":       {page + "| `apps` | `replicasets` | `get` |\n", "differs from the role"},
		"no rights":         {strings.ReplaceAll(page, "|", "/"), "differs from the role"},
		"another account":   {strings.ReplaceAll(page, "`workflow-scale`", "`scaler`"), "Rights does not name `workflow-scale`"},
	} {
		if wrong := strings.Join(checkWorkflowPage(c.page, scale), "\n"); !strings.Contains(wrong, c.want) {
			t.Errorf("%s: found %q, want %q", name, wrong, c.want)
		}
	}
}
