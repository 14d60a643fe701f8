package policy

import (
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// The built-in functions that policies may call. A list of what is allowed, not of
// what is forbidden: a new release of OPA adds functions, and none of them may
// reach the network, the clock, chance or the process without our knowing.
var allowed = []string{
	// comparison and arithmetic
	"equal", "neq", "lt", "lte", "gt", "gte", "eq", "assign",
	"plus", "minus", "mul", "div", "rem", "abs", "ceil", "floor", "round", "numbers.range", "numbers.range_step",
	// collections
	"count", "sum", "product", "max", "min", "sort", "and", "or", "intersection", "union", "walk",
	"internal.member_2", "internal.member_3", "internal.print", "internal.test_case", "print",
	"array.concat", "array.flatten", "array.reverse", "array.slice",
	"object.filter", "object.get", "object.keys", "object.remove", "object.subset", "object.union", "object.union_n",
	"json.filter", "json.patch", "json.remove", "graph.reachable", "graph.reachable_paths",
	// text
	"concat", "contains", "endswith", "format_int", "indexof", "indexof_n", "lower", "replace", "split", "sprintf",
	"startswith", "strings.any_prefix_match", "strings.any_suffix_match", "strings.count", "strings.render_template",
	"strings.replace_n", "strings.reverse", "strings.split_n", "substring", "to_number", "trim", "trim_left", "trim_prefix", "trim_right",
	"trim_space", "trim_suffix", "upper",
	"glob.match", "glob.quote_meta",
	"regex.find_all_string_submatch_n", "regex.find_n", "regex.globs_match", "regex.is_valid", "regex.match", "regex.replace", "regex.split",
	"internal.template_string",
	// types
	"is_array", "is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string", "type_name",
	// values
	"base64.decode", "base64.encode", "base64.is_valid", "base64url.decode", "base64url.encode", "hex.decode", "hex.encode", "json.is_valid", "json.marshal",
	"json.unmarshal", "uri.is_valid", "uri.parse", "urlquery.decode", "urlquery.decode_object", "urlquery.encode",
	"urlquery.encode_object", "yaml.is_valid", "yaml.marshal", "yaml.unmarshal",
	"crypto.sha256", "semver.compare", "semver.is_valid", "units.parse", "units.parse_bytes",
	"net.cidr_contains", "net.cidr_contains_matches", "net.cidr_intersects", "net.cidr_is_valid",
	"bits.and", "bits.lsh", "bits.negate", "bits.or", "bits.rsh", "bits.xor",
	// times of the input
	"time.add_date", "time.clock", "time.date", "time.diff", "time.format", "time.parse_duration_ns", "time.parse_ns",
	"time.parse_rfc3339_ns", "time.weekday",
}

// capabilities are those of this version of OPA, with the allowed functions only.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	c.Builtins = slices.DeleteFunc(c.Builtins, func(b *ast.Builtin) bool { return !slices.Contains(allowed, b.Name) })
	c.AllowNet = []string{}
	return c
}

// forbidden names the functions that a compiler reports as unknown, although OPA has them.
func forbidden(text string) string {
	for _, b := range ast.Builtins {
		if !slices.Contains(allowed, b.Name) && strings.Contains(text, "undefined function "+b.Name) {
			return b.Name
		}
	}
	return ""
}
