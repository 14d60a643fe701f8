package catalog

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/cel"

	"kubernaut.ai/api/v1alpha1"
)

// replicas is the parameter that a scale action asks for.
const replicas = "replicas"

// Parameters are environment variables of a Job. These would change how any program runs,
// or pretend to be the platform's.
var (
	reservedNames    = []string{"path", "home", "hostname", "godebug", "ssl_cert_file", "ssl_cert_dir", "http_proxy", "https_proxy", "no_proxy", "all_proxy"}
	reservedPrefixes = []string{"kubernaut_", "kubernetes_", "ld_"}
)

// selectors are names of what no parameter selects: what is changed, and with which rights, is a
// matter of the alert and of the workflow.
var selectors = []string{
	"namespace", "target_namespace", "target", "target_name", "target_kind", "object", "object_name",
	"service_account", "service_account_name", "serviceaccount", "serviceaccountname",
}

// ResolveParameters returns the values that an execution works with: those given, and the
// defaults of the others, in the order of the spec. The error names every violation.
func ResolveParameters(spec *v1alpha1.RemediationWorkflowSpec, given map[string]string) ([]v1alpha1.ExecutionParameter, error) {
	var (
		resolved []v1alpha1.ExecutionParameter
		wrong    []error
	)
	known := make(map[string]bool, len(spec.Parameters))
	for i := range spec.Parameters {
		p := &spec.Parameters[i]
		known[p.Name] = true
		value, has := given[p.Name]
		if !has && p.Default != nil {
			value, has = *p.Default, true
		}
		if !has {
			if p.Required || isReplicas(spec, p) {
				wrong = append(wrong, fmt.Errorf("parameter %s is required", p.Name))
			}
			continue
		}
		if err := fits(spec, p, value); err != nil {
			wrong = append(wrong, fmt.Errorf("parameter %s: %w", p.Name, err))
			continue
		}
		resolved = append(resolved, v1alpha1.ExecutionParameter{Name: p.Name, Value: value})
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !known[name] {
			wrong = append(wrong, fmt.Errorf("parameter %q is unknown to the workflow", name))
		}
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return resolved, nil
}

func isReplicas(spec *v1alpha1.RemediationWorkflowSpec, p *v1alpha1.WorkflowParameter) bool {
	return p.Name == replicas && spec.Action != nil && spec.Action.Scale != nil
}

// fits says what is wrong with a value.
func fits(spec *v1alpha1.RemediationWorkflowSpec, p *v1alpha1.WorkflowParameter, value string) error {
	if limit := maxLength(p); len(value) > int(limit) {
		return fmt.Errorf("the value has %d bytes, more than %d", len(value), limit)
	}
	if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
		return errors.New("the value is no text")
	}
	parsed, err := parse(p.Type, value)
	if err != nil {
		return err
	}
	if n, ok := parsed.(int64); ok && isReplicas(spec, p) {
		if s := spec.Action.Scale; n < int64(s.MinReplicas) || n > int64(s.MaxReplicas) {
			return fmt.Errorf("%d is not between %d and %d", n, s.MinReplicas, s.MaxReplicas)
		}
	}
	if p.Pattern != "" {
		pattern, err := compilePattern(p.Pattern)
		if err != nil {
			return err
		}
		if !pattern.MatchString(value) {
			return fmt.Errorf("%q does not match pattern %s", value, p.Pattern)
		}
	}
	if p.Rule == "" {
		return nil
	}
	r, err := compileRule(p.Rule, celType(p.Type), maxLength(p))
	if err != nil {
		return err
	}
	return r.holds(parsed)
}

func maxLength(p *v1alpha1.WorkflowParameter) int32 {
	if p.MaxLength > 0 {
		return p.MaxLength
	}
	return defaultMaxLength
}

// compilePattern compiles a pattern that the whole value has to match.
func compilePattern(pattern string) (*regexp.Regexp, error) {
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	compiled, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	return compiled, nil
}

// parse returns a value in the type that rules see.
func parse(of v1alpha1.ParameterType, value string) (any, error) {
	switch of {
	case v1alpha1.ParameterString:
		return value, nil
	case v1alpha1.ParameterInteger:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is no integer", value)
		}
		return n, nil
	case v1alpha1.ParameterBoolean:
		if value != "true" && value != "false" {
			return nil, fmt.Errorf("%q is neither true nor false", value)
		}
		return value == "true", nil
	case v1alpha1.ParameterDuration:
		d, err := time.ParseDuration(value)
		if err != nil {
			return nil, fmt.Errorf("%q is no duration, as in 1h30m", value)
		}
		return d, nil
	}
	return nil, fmt.Errorf("type %q is unknown", of)
}

func celType(of v1alpha1.ParameterType) *cel.Type {
	switch of {
	case v1alpha1.ParameterInteger:
		return cel.IntType
	case v1alpha1.ParameterBoolean:
		return cel.BoolType
	case v1alpha1.ParameterDuration:
		return cel.DurationType
	case v1alpha1.ParameterString:
	}
	return cel.StringType
}

// checkParameters says what is wrong with the parameters of a workflow, before any value is given.
func checkParameters(spec *v1alpha1.RemediationWorkflowSpec) []string {
	var wrong []string
	for i := range spec.Parameters {
		p := &spec.Parameters[i]
		if err := checkParameter(spec, p); err != nil {
			wrong = append(wrong, fmt.Sprintf("parameter %s: %v", p.Name, err))
		}
	}
	return wrong
}

func checkParameter(spec *v1alpha1.RemediationWorkflowSpec, p *v1alpha1.WorkflowParameter) error {
	if slices.Contains(reservedNames, p.Name) || slices.ContainsFunc(reservedPrefixes, func(prefix string) bool { return strings.HasPrefix(p.Name, prefix) }) {
		return errors.New("as an environment variable this name changes how programs run: choose another")
	}
	if slices.Contains(selectors, p.Name) {
		return errors.New("a parameter never selects the object, its namespace or the service account: remove it; " +
			"the program of a Job finds the target in KUBERNAUT_TARGET_NAMESPACE and KUBERNAUT_TARGET_NAME")
	}
	if p.Pattern != "" {
		if _, err := compilePattern(p.Pattern); err != nil {
			return err
		}
	}
	if p.Rule != "" {
		if _, err := compileRule(p.Rule, celType(p.Type), maxLength(p)); err != nil {
			return err
		}
	}
	if p.Default != nil {
		if err := fits(spec, p, *p.Default); err != nil {
			return fmt.Errorf("default: %w", err)
		}
	}
	return nil
}
