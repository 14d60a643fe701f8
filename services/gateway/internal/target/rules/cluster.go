package rules

import (
	"context"
	"fmt"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// State is what is known about an object in the cluster.
type State int

// The states of an object.
const (
	// Unreadable means that nobody can tell: the permission is missing, the kind
	// is not served, or there is no cluster to ask.
	Unreadable State = iota
	Exists
	Missing
)

func (s State) String() string {
	switch s {
	case Exists:
		return "exists"
	case Missing:
		return "missing"
	case Unreadable:
	}
	return "unreadable"
}

// Cluster answers the questions of rules. Implementations are safe for
// concurrent use. An error means that the API server did not answer, and that
// trying again may help.
type Cluster interface {
	// State says whether an object exists.
	State(ctx context.Context, o Object) (State, error)
	// CustomKind returns the kind of the custom resource with this singular
	// name, as in Rollout.argoproj.io; empty if there is none, or several.
	CustomKind(ctx context.Context, singular string) (string, error)
	// NodeOfPod returns the name of the node that a pod runs on; empty if that is not known.
	NodeOfPod(ctx context.Context, namespace, name string) (string, error)
	// NodeAt returns the name of the node that has an address; empty if none is known.
	NodeAt(ctx context.Context, address string) (string, error)
}

// Nowhere is the cluster of signals whose cluster cannot be asked: it knows nothing.
type Nowhere struct{}

// State implements Cluster.
func (Nowhere) State(context.Context, Object) (State, error) { return Unreadable, nil }

// CustomKind implements Cluster.
func (Nowhere) CustomKind(context.Context, string) (string, error) { return "", nil }

// NodeOfPod implements Cluster.
func (Nowhere) NodeOfPod(context.Context, string, string) (string, error) { return "", nil }

// NodeAt implements Cluster.
func (Nowhere) NodeAt(context.Context, string) (string, error) { return "", nil }

var clusterType = types.NewOpaqueType("kubernaut.Cluster")

// clusterValue is a [Cluster] in CEL, for one evaluation. It keeps the first
// error, because CEL's && and || swallow errors, and one of the API server must
// not decide what a signal is about.
type clusterValue struct {
	Cluster

	ctx       context.Context //nolint:containedctx // CEL calls functions without a context; the value lives for one evaluation
	namespace string
	err       error
}

func (c *clusterValue) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("the cluster cannot be converted to %v", t) //nolint:err113 // nobody decides on it
}

func (c *clusterValue) ConvertToType(t ref.Type) ref.Val {
	if t == types.TypeType {
		return clusterType
	}
	return types.NewErr("the cluster cannot be converted to %s", t.TypeName())
}

func (c *clusterValue) Equal(other ref.Val) ref.Val { return types.Bool(ref.Val(c) == other) }

func (c *clusterValue) Type() ref.Type { return clusterType }

func (c *clusterValue) Value() any { return c }

// failed notes an error of the cluster and returns it as a value.
func (c *clusterValue) failed(err error) ref.Val {
	if c.err == nil {
		c.err = err
	}
	return types.WrapErr(err)
}

func (c *clusterValue) is(o objectValue, want State) ref.Val {
	if o.abstain {
		return types.False
	}
	object, ok := o.within(c.namespace)
	if !ok {
		return types.False
	}
	state, err := c.State(c.ctx, object)
	if err != nil {
		return c.failed(err)
	}
	return types.Bool(state == want)
}

// text turns the answer of the cluster into a value.
func (c *clusterValue) text(answer string, err error) ref.Val {
	if err != nil {
		return c.failed(err)
	}
	return types.String(answer)
}
