// Package rules tells which object a signal's labels name. Rules are written in
// CEL (https://cel.dev) and read from YAML; the built-in ones, in builtin.yaml,
// have the same form as those of users. The first rule that names an object
// decides; a rule may also decide that nothing can be known.
//
// Evaluation is bounded in time and memory, and deterministic: the same labels
// and the same cluster give the same target. What a rule asks about the cluster
// goes through [Cluster]; this package never talks to one.
package rules
