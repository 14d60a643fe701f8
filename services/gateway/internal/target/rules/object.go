package rules

import (
	"fmt"
	"reflect"
	"strings"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Object is the object that a rule names.
type Object struct {
	// Kind is a kind, with its group where the kind alone is ambiguous, as in
	// Rollout.argoproj.io.
	Kind string
	// Namespace is empty for objects of the whole cluster.
	Namespace string
	Name      string
}

func (o Object) String() string {
	if o.Namespace == "" {
		return o.Kind + " " + o.Name
	}
	return o.Kind + " " + o.Namespace + "/" + o.Name
}

// SplitKind returns the kind and the group of an object's kind.
func (o Object) SplitKind() (kind, group string) {
	kind, group, _ = strings.Cut(o.Kind, ".")
	return kind, group
}

var objectType = types.NewOpaqueType("kubernaut.Object")

// objectValue is an [Object] in CEL.
type objectValue struct {
	Object

	// inherit means that the object is in the namespace that the labels name.
	inherit bool
	// abstain means that the rule decides that nothing can be known.
	abstain bool
}

func (o objectValue) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("an object cannot be converted to %v", t) //nolint:err113 // nobody decides on it
}

func (o objectValue) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return objectType
	}
	return types.NewErr("an object cannot be converted to %s", t.TypeName())
}

func (o objectValue) Equal(other ref.Val) ref.Val {
	another, ok := other.(objectValue)
	return types.Bool(ok && o == another)
}

func (objectValue) Type() ref.Type { return objectType }

func (o objectValue) Value() any { return o }
