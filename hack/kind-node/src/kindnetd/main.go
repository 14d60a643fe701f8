// Command kindnetd is a small stand-in for kind's own, run by the manifest of
// kind's: it writes this node's CNI configuration (ptp, host-local, portmap),
// keeps routes to the pods of other nodes, and masquerades what leaves the pod
// network. It speaks IPv4 only, and leaves NetworkPolicies to kube-router, which
// the node image has beside it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const (
	retry = time.Second
	// look is how often the nodes are read.
	look = 5 * time.Second
	// lookForRules is how often the rules of kube-proxy are looked for.
	lookForRules = 200 * time.Millisecond
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil && ctx.Err() == nil {
		say(err)
		stop()
		os.Exit(1) //nolint:gocritic // what is deferred has been called
	}
}

func say(what any) { _, _ = fmt.Fprintln(os.Stderr, "kindnetd:", what) }

func run(ctx context.Context) error {
	self, pods, service := os.Getenv("HOST_IP"), os.Getenv("POD_SUBNET"), os.Getenv("KUBERNETES_SERVICE_HOST")
	if self == "" || pods == "" || service == "" {
		return errors.New("HOST_IP, POD_SUBNET and KUBERNETES_SERVICE_HOST must be set")
	}
	api, err := newAPI()
	if err != nil {
		return err
	}
	if err := masquerade(ctx, pods); err != nil {
		return err
	}
	if err := awaitServiceRules(ctx, service); err != nil {
		return err
	}
	known := false
	for {
		wait := look
		switch err := sync(ctx, api, self); {
		case err != nil:
			say(err)
			wait = retry
		case !known:
			known = true
			say("CNI configuration written, routes set")
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// awaitServiceRules waits for kube-proxy: before it has written its rules, a
// packet to a Service's address would leave by the default route.
func awaitServiceRules(ctx context.Context, service string) error {
	for {
		rules, err := command(ctx, "", "nft", "list", "ruleset")
		if err == nil && strings.Contains(rules, "daddr "+service+" ") {
			return nil
		}
		if err := pause(ctx, lookForRules); err != nil {
			return err
		}
	}
}

// sync writes this node's configuration and the routes to the others.
func sync(ctx context.Context, api *api, self string) error {
	nodes, err := api.nodes(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		switch {
		case n.podCIDR == "":
		case n.address == self:
			err = writeConfiguration(n.podCIDR)
		default:
			_, err = command(ctx, "", "ip", "route", "replace", n.podCIDR, "via", n.address)
		}
		if err != nil {
			return fmt.Errorf("node %s: %w", n.address, err)
		}
	}
	return nil
}

func pause(ctx context.Context, duration time.Duration) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("stopped: %w", ctx.Err())
	case <-time.After(duration):
		return nil
	}
}
