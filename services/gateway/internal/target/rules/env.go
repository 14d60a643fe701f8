package rules

import (
	"fmt"
	"net"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/ext"
)

// The bounds of an expression.
const (
	// maxExpression bounds its length, in characters.
	maxExpression = 16 << 10
	// maxCost bounds one evaluation, in CEL's units: about one a step. It bounds
	// memory, too, because building a value costs its size.
	maxCost = 200_000
	// checkEvery is how many steps of a loop may pass after the context has ended.
	checkEvery = 100
	// maxNesting bounds the nesting of an expression.
	maxNesting = 64
)

// newEnvironment returns the vocabulary of rules, which docs/targets.md lists.
func newEnvironment() (*cel.Env, error) {
	object, cluster, text := objectType, clusterType, cel.StringType
	env, err := cel.NewCustomEnv(
		// The standard macros without has: every label is there, an absent one is empty.
		cel.StdLib(),
		cel.ClearMacros(),
		cel.Macros(cel.AllMacro, cel.ExistsMacro, cel.ExistsOneMacro, cel.MapMacro, cel.MapFilterMacro, cel.FilterMacro),
		ext.Strings(ext.StringsVersion(2)),
		cel.ParserRecursionLimit(maxNesting),
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.Variable("labels", cel.MapType(text, text)),
		cel.Variable("received", cel.MapType(text, text)),
		cel.Variable("exporter", text),
		cel.Variable("foreign", cel.BoolType),
		cel.Variable("cluster", cluster),
		cel.Function("object",
			cel.Overload("object_kind_name", []*cel.Type{text, text}, object, cel.BinaryBinding(func(kind, name ref.Val) ref.Val {
				return objectValue{Object: Object{Kind: str(kind), Name: str(name)}, inherit: true}
			})),
			cel.Overload("object_kind_namespace_name", []*cel.Type{text, text, text}, object, cel.FunctionBinding(func(args ...ref.Val) ref.Val {
				return objectValue{Object: Object{Kind: str(args[0]), Namespace: str(args[1]), Name: str(args[2])}}
			})),
		),
		cel.Function("unknown", cel.Overload("unknown", nil, object, cel.FunctionBinding(func(...ref.Val) ref.Val {
			return objectValue{abstain: true}
		}))),
		cel.Function("host", cel.Overload("host", []*cel.Type{text}, text, cel.UnaryBinding(func(address ref.Val) ref.Val {
			return types.String(host(str(address)))
		}))),
		cel.Function("has", cel.MemberOverload("cluster_has", []*cel.Type{cluster, object}, cel.BoolType, asked(Exists))),
		cel.Function("lacks", cel.MemberOverload("cluster_lacks", []*cel.Type{cluster, object}, cel.BoolType, asked(Missing))),
		cel.Function("customKind", cel.MemberOverload("cluster_custom_kind", []*cel.Type{cluster, text}, text,
			cel.BinaryBinding(func(cluster, singular ref.Val) ref.Val {
				c, _ := cluster.(*clusterValue)
				return c.text(c.CustomKind(c.ctx, str(singular)))
			}))),
		cel.Function("nodeOf", cel.MemberOverload("cluster_node_of", []*cel.Type{cluster, text}, text,
			cel.BinaryBinding(func(cluster, pod ref.Val) ref.Val {
				c, _ := cluster.(*clusterValue)
				return c.text(c.NodeOfPod(c.ctx, c.namespace, str(pod)))
			}))),
		cel.Function("nodeAt", cel.MemberOverload("cluster_node_at", []*cel.Type{cluster, text}, text,
			cel.BinaryBinding(func(cluster, address ref.Val) ref.Val {
				c, _ := cluster.(*clusterValue)
				return c.text(c.NodeAt(c.ctx, str(address)))
			}))),
	)
	if err != nil {
		return nil, fmt.Errorf("environment of target rules: %w", err)
	}
	return env, nil
}

func asked(state State) cel.OverloadOpt {
	return cel.BinaryBinding(func(cluster, object ref.Val) ref.Val {
		c, _ := cluster.(*clusterValue)
		o, _ := object.(objectValue)
		return c.is(o, state)
	})
}

// str returns a value that the checker knows to be a string.
func str(v ref.Val) string {
	s, _ := v.(types.String)
	return string(s)
}

// host returns an address without its port.
func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return strings.Trim(address, "[]")
}
