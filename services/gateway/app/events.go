package app

import (
	"context"
	"fmt"
	"os"

	"github.com/google/uuid"
	"k8s.io/client-go/kubernetes"

	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/services/gateway/internal/eventwatch"
	"kubernaut.ai/services/gateway/internal/webhook"
)

// watchEvents starts the watch of Kubernetes events, if it is on.
func (g *gateway) watchEvents(ctx context.Context, api *webhook.Server) error {
	if !g.options.WatchEvents {
		return nil
	}
	client, err := kubernetes.NewForConfig(g.rest)
	if err != nil {
		return fmt.Errorf("kubernetes API server %s: %w", g.cluster.address, err)
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("name this replica: %w", err)
	}
	adapter := webhook.KubernetesEvents()
	watcher, err := eventwatch.New(eventwatch.Options{
		Client:     client,
		Namespace:  g.options.Namespace,
		Namespaces: g.options.WatchNamespaces,
		Selector:   g.options.WatchEventsSelector,
		Identity:   host + "_" + uuid.NewString(),
		Deliver:    func(ctx context.Context, event []byte) error { return api.Deliver(ctx, adapter, event) },
		Clock:      g.options.Clock,
		Log:        g.log.Named("events"),
		Registerer: g.registry,
	})
	if err != nil {
		return fmt.Errorf("watch events: %w", err)
	}
	g.group.Add(ctx, lifecycle.Part{Name: "event watch", Run: lifecycle.Simple(watcher.Run)})
	return nil
}
