package target

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"

	"kubernaut.ai/services/gateway/internal/target/rules"
)

const (
	// kindsFor is how long the list of kinds is used without asking again.
	kindsFor = 10 * time.Minute
	// kindsMissFor is how old the list may be when it lacks a kind: a new custom
	// resource definition is known after that.
	kindsMissFor = time.Minute
	// maxKinds bounds the list.
	maxKinds = 20_000
)

// Discovery lists what the API server serves. *discovery.DiscoveryClient
// implements it.
type Discovery interface {
	ServerPreferredResourcesWithContext(ctx context.Context) ([]*metav1.APIResourceList, error)
}

// kindIndex knows the kinds of custom resources. It asks the API server only
// about kinds that Kubernetes itself does not have.
type kindIndex struct {
	served snapshot[kinds]
}

// kinds are the kinds of custom resources.
type kinds struct {
	byKind     map[string][]rules.KnownKind // without the group
	bySingular map[string][]rules.KnownKind
}

func newKindIndex(d Discovery, c clock.PassiveClock) *kindIndex {
	return &kindIndex{served: snapshot[kinds]{
		what: "discover kinds", clock: c,
		load: func(ctx context.Context) (kinds, error) { return discover(ctx, d) },
	}}
}

// find returns a kind, with or without its group. It is false for kinds that are
// not served, and for a kind without group that several groups have.
func (k *kindIndex) find(ctx context.Context, kind string) (rules.KnownKind, bool, error) {
	if known, ok := rules.BuiltInKind(kind); ok {
		return known, true, nil
	}
	plain, group := rules.Object{Kind: kind}.SplitKind()
	return k.only(ctx, func(served kinds) []rules.KnownKind {
		if group == "" {
			return served.byKind[plain]
		}
		return slices.DeleteFunc(slices.Clone(served.byKind[plain]), func(k rules.KnownKind) bool { return k.Group != group })
	})
}

// singular returns the custom resource whose name in the singular this is.
func (k *kindIndex) singular(ctx context.Context, name string) (rules.KnownKind, bool, error) {
	return k.only(ctx, func(served kinds) []rules.KnownKind { return served.bySingular[name] })
}

// only returns the one kind that look finds.
func (k *kindIndex) only(ctx context.Context, look func(kinds) []rules.KnownKind) (rules.KnownKind, bool, error) {
	served, _, err := k.served.get(ctx, func(served kinds) time.Duration {
		if len(look(served)) == 0 {
			return kindsMissFor
		}
		return kindsFor
	})
	if err != nil {
		return rules.KnownKind{}, false, err
	}
	if found := look(served); len(found) == 1 {
		return found[0], true, nil
	}
	return rules.KnownKind{}, false, nil
}

// discover lists the custom resources. Groups whose server does not answer are left
// out. Without the permission there are none.
func discover(ctx context.Context, d Discovery) (kinds, error) {
	served := kinds{byKind: map[string][]rules.KnownKind{}, bySingular: map[string][]rules.KnownKind{}}
	lists, err := d.ServerPreferredResourcesWithContext(ctx)
	if apierrors.IsForbidden(err) {
		return served, nil
	}
	if err != nil && (len(lists) == 0 || !partial(err)) {
		return served, fmt.Errorf("discover the kinds that the API server serves: %w", err)
	}
	total := 0
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil || scheme.Scheme.IsGroupRegistered(version.Group) {
			continue
		}
		for i := range list.APIResources {
			if total++; total > maxKinds {
				return served, nil
			}
			served.add(version, &list.APIResources[i])
		}
	}
	return served, nil
}

// add adds a kind, unless it is a subresource or cannot be read.
func (k kinds) add(version schema.GroupVersion, resource *metav1.APIResource) {
	if strings.Contains(resource.Name, "/") || !slices.Contains(resource.Verbs, "get") {
		return
	}
	known := rules.KnownKind{GroupVersionKind: version.WithKind(resource.Kind), Namespaced: resource.Namespaced}
	singular := resource.SingularName
	if singular == "" {
		singular = strings.ToLower(resource.Kind)
	}
	k.byKind[resource.Kind] = append(k.byKind[resource.Kind], known)
	k.bySingular[singular] = append(k.bySingular[singular], known)
}

// partial reports whether some groups answered.
func partial(err error) bool {
	_, ok := errors.AsType[*discovery.ErrGroupDiscoveryFailed](err)
	return ok
}
