package redact

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"kubernaut.ai/internal/printable"
)

const (
	lastApplied = "kubectl.kubernetes.io/last-applied-configuration"
	// maxAnnotation bounds the annotations of others: longer ones are documents.
	maxAnnotation = 256
)

// knownDomains are those of annotations that are known to be harmless.
var knownDomains = regexp.MustCompile(`^(?:[a-z0-9.-]+\.)?(?:kubernetes\.io|k8s\.io|kubernaut\.ai|cert-manager\.io|openshift\.io|prometheus\.io)/`)

// knownVariables are environment variables whose values are known to be harmless, apart from what Text finds in them.
var knownVariables = regexp.MustCompile(`^(?:DATASTORAGE|GATEWAY|SIGNALPROCESSING|WORKFLOWEXECUTION|KUBERNAUT|KUBERNETES|OTEL)_[A-Z0-9_]+$` +
	`|^GO(?:MEMLIMIT|MAXPROCS|GC|DEBUG|TRACEBACK)$|^(?:POD|NODE)_(?:NAME|NAMESPACE|IP|UID)$` +
	`|^(?:PATH|HOME|TZ|LANG|LC_ALL|HOSTNAME|NAMESPACE|PGHOST|PGPORT|PGDATABASE|PGUSER|PGDATA|PGSSLMODE|POSTGRES_DB|POSTGRES_USER)$`)

var (
	secretVariable   = regexp.MustCompile(`(?i)passw|passphrase|pwd|secret|token|credential|key|cookie|dsn|auth|webhook`)
	harmlessVariable = regexp.MustCompile(`(?i)(?:file|path|dir|name|namespace|audience|timeout|interval|ttl|seconds|enabled|mode)$`)
	// harmlessValue matches switches, numbers, quantities, durations, paths of files, and addresses.
	harmlessValue = regexp.MustCompile(`^(?:true|false|yes|no|on|off|debug|info|warn|warning|error|json|console|text` +
		`|[-+]?[0-9]{1,9}(?:\.[0-9]{1,6})?(?:[kKMGTP]i?|m|%)?|(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|ms|s|m|h|d))+` +
		`|/[A-Za-z0-9._/-]*|:[0-9]{1,5}|(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?:[:/][0-9]{1,5})?` +
		`|[a-z0-9-]+(?:\.[a-z0-9-]+)*\.svc(?:\.cluster\.local)?(?::[0-9]{1,5})?|localhost(?::[0-9]{1,5})?|[a-z-]{1,40}:[0-9]{1,5})$`)
)

// payloads are fields of our resources with data of senders.
var payloads = []string{"originalPayload", "providerData", "annotations"} //nolint:goconst // names of fields

// Object removes secrets from an object of the API server, in place. It knows
// pods and their templates, ConfigMaps, Secrets and Kubernaut's own resources by
// their fields; every other text passes Text. What is not printable is escaped.
func (r *Redactor) Object(object map[string]any) {
	apiVersion, _ := object["apiVersion"].(string)
	kind, _ := object["kind"].(string)
	group, _, _ := strings.Cut(apiVersion, "/")
	if metadata, ok := object["metadata"].(map[string]any); ok {
		delete(metadata, "managedFields")
	}
	switch {
	case kind == "Secret" && apiVersion == "v1":
		delete(object, "data")
		delete(object, "stringData")
	case kind == "ConfigMap" && apiVersion == "v1":
		if binary, ok := object["binaryData"].(map[string]any); ok {
			for key, value := range binary {
				text, _ := value.(string)
				binary[key] = fmt.Sprintf("%s (%d bytes in base64)", redacted, len(text))
			}
		}
	case strings.HasSuffix(group, "kubernaut.ai"):
		if !r.Sensitive {
			hidePayloads(object)
		}
		r.before(object)
	}
	r.fields(object, "")
}

// before removes secrets from the target that the status of an execution has as text.
func (r *Redactor) before(object map[string]any) {
	status, _ := object["status"].(map[string]any)
	text, _ := status["before"].(string)
	if text == "" {
		return
	}
	target := map[string]any{}
	if json.Unmarshal([]byte(text), &target) == nil {
		r.Object(target)
		if safe, err := json.Marshal(target); err == nil {
			status["before"] = string(safe)
			return
		}
	}
	status["before"] = redacted // not the text of an object
}

// clean is Text for the values of objects, which a YAML file can hold only if they are printable.
func (r *Redactor) clean(text string) string { return r.Text(printable.Text(text)) }

// hidePayloads removes what senders sent along from our resources' specification.
func hidePayloads(object map[string]any) {
	spec, _ := object["spec"].(map[string]any)
	for _, part := range []any{spec, spec["signal"]} {
		fields, _ := part.(map[string]any)
		for _, name := range payloads {
			switch value := fields[name].(type) {
			case string:
				if value != "" {
					fields[name] = redacted
				}
			case map[string]any:
				for key := range value {
					value[key] = redacted
				}
			}
		}
	}
}

// fields removes secrets from the values of a structure, whose own name is parent.
func (r *Redactor) fields(object map[string]any, parent string) {
	for name, value := range object {
		switch value := value.(type) {
		case string:
			object[name] = r.field(name, parent, value)
		case map[string]any:
			r.fields(value, name)
		case []any:
			r.items(value, name)
		}
		// The names of labels, annotations and keys come from others, too.
		if safe := r.line(printable.Line(name)); safe != name {
			delete(object, name)
			object[safe] = redacted
		}
	}
}

// field returns the text of a field without secrets.
func (r *Redactor) field(name, parent, text string) string {
	switch {
	case text == "":
		return text
	case isSecretName(name) && (parent == "data" || parent == "annotations" || parent == "labels" || !namesSecret(name)):
		return redacted
	case parent == "annotations":
		return r.annotation(name, text)
	}
	return r.clean(text)
}

// namesSecret reports whether a field of the API holds a reference to a secret rather than one.
func namesSecret(name string) bool { return name == "secret" }

func (r *Redactor) annotation(name, text string) string {
	switch {
	case name == lastApplied:
		return redacted
	case len(text) > maxAnnotation && !knownDomains.MatchString(name):
		return r.hash(text)
	}
	return r.clean(text)
}

func (r *Redactor) items(list []any, name string) {
	flag := "" // the one before
	for i, item := range list {
		switch item := item.(type) {
		case string:
			list[i] = r.clean(item)
			if name == "args" || name == "command" {
				if strings.HasPrefix(flag, "-") && !strings.Contains(flag, "=") && isSecretName(flag) && !strings.HasPrefix(item, "-") {
					list[i] = redacted
				}
				flag = item
			}
		case map[string]any:
			if name == "env" {
				r.variable(item)
			}
			r.fields(item, name)
		case []any:
			r.items(item, name)
		}
	}
}

// variable hashes the value of an environment variable that is not known to be harmless.
func (r *Redactor) variable(variable map[string]any) {
	name, _ := variable["name"].(string)
	text, ok := variable["value"].(string)
	switch {
	case !ok || text == "" || harmlessValue.MatchString(text) && !isSecretVariable(name):
	case isSecretVariable(name) && !harmlessSwitch(text):
		variable["value"] = redacted
	case knownVariables.MatchString(name):
		variable["value"] = r.clean(text)
	default:
		variable["value"] = r.hash(text)
	}
}

func isSecretVariable(name string) bool {
	return secretVariable.MatchString(name) && !harmlessVariable.MatchString(name)
}

func harmlessSwitch(text string) bool { return text == "true" || text == "false" }

// Data returns the data of an audit event without secrets. The payloads of
// signals are removed unless Sensitive is set.
func (r *Redactor) Data(data json.RawMessage) (any, error) {
	var decoded any
	if err := json.Unmarshal(data, &decoded); err != nil {
		return nil, fmt.Errorf("event data: %w", err)
	}
	return r.data(decoded, ""), nil
}

func (r *Redactor) data(value any, name string) any {
	switch value := value.(type) {
	case string:
		if value != "" && (isSecretName(name) || !r.Sensitive && slices.Contains(payloads, name)) {
			return redacted
		}
		return r.clean(value)
	case map[string]any:
		if !r.Sensitive && slices.Contains(payloads, name) && len(value) > 0 {
			return redacted
		}
		safe := make(map[string]any, len(value))
		for field, inner := range value {
			safe[r.line(printable.Line(field))] = r.data(inner, field)
		}
		return safe
	case []any:
		if !r.Sensitive && slices.Contains(payloads, name) && len(value) > 0 {
			return redacted
		}
		for i, inner := range value {
			value[i] = r.data(inner, name)
		}
		return value
	default: // numbers under a secret's name, too
		if value != nil && isSecretName(name) {
			if _, isBool := value.(bool); !isBool {
				return redacted
			}
		}
		return value
	}
}
