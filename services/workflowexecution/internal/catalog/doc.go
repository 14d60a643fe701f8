// Package catalog knows which remediation workflows can be used: it validates them, says
// which problems they apply to, resolves their parameters and evaluates their conditions.
//
// What a workflow says in CEL or as a regular expression is bounded: expressions have a
// cost limit, and patterns are RE2.
package catalog
