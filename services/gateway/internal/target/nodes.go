package target

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// addressesFor is how long the nodes' addresses are used: addresses of removed
	// nodes are reused.
	addressesFor = 5 * time.Minute
	// addressMissFor is how old the list may be when it lacks an address.
	addressMissFor = 30 * time.Second
	// nodesPage is how many nodes one read lists, and maxNodes bounds them all.
	nodesPage = 500
	maxNodes  = 20_000
)

// addresses are the names of nodes by address. An address of several nodes has an
// empty name.
type addresses map[string]string

// nodeIndex knows the addresses of nodes. It lists the nodes only when a rule
// asks for an address.
type nodeIndex struct {
	nodes snapshot[addresses]
}

func newNodeIndex(reader client.Reader, c clock.PassiveClock) *nodeIndex {
	return &nodeIndex{nodes: snapshot[addresses]{
		what: "list nodes", clock: c,
		load: func(ctx context.Context) (addresses, error) { return listAddresses(ctx, reader) },
	}}
}

// at returns the name of the node that has an address; empty if that is not known.
func (n *nodeIndex) at(ctx context.Context, address string) (string, error) {
	byAddress, age, err := n.nodes.get(ctx, func(byAddress addresses) time.Duration {
		if _, ok := byAddress[address]; ok {
			return addressesFor
		}
		return addressMissFor
	})
	if err != nil || age > 2*addressesFor {
		return "", err
	}
	return byAddress[address], nil
}

// listAddresses lists the nodes. Without the permission there are none.
func listAddresses(ctx context.Context, reader client.Reader) (addresses, error) {
	byAddress := addresses{}
	page := client.ListOptions{Limit: nodesPage}
	for total := 0; total < maxNodes; {
		var nodes corev1.NodeList
		err := reader.List(ctx, &nodes, &page)
		if apierrors.IsForbidden(err) {
			return byAddress, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list nodes: %w", err)
		}
		for i := range nodes.Items {
			byAddress.add(&nodes.Items[i])
		}
		total += len(nodes.Items)
		if page.Continue = nodes.Continue; page.Continue == "" {
			break
		}
	}
	return byAddress, nil
}

func (a addresses) add(node *corev1.Node) {
	for _, address := range node.Status.Addresses {
		name := node.Name
		if other, taken := a[address.Address]; taken && other != name {
			name = ""
		}
		a[address.Address] = name
	}
}
