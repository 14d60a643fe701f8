package app

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/discovery"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/services/gateway/internal/target"
	"kubernaut.ai/services/gateway/internal/target/rules"
	"kubernaut.ai/services/gateway/internal/target/source"
)

// readRules returns the built-in target rules, after those of a file if there is
// one. The error is a *cli.UsageError that names the flag, with line and column.
func readRules(flag, file string) (*rules.Set, error) {
	builtIn, err := rules.BuiltIn()
	if err != nil {
		return nil, fmt.Errorf("built-in target rules: %w", err)
	}
	if file == "" {
		return builtIn, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, cli.Usagef("--%s: %w", flag, err)
	}
	set, err := rules.Parse("file", content, builtIn)
	if err != nil {
		return nil, cli.Usagef("--%s: %s: %w", flag, file, err)
	}
	return set, nil
}

// startTargets makes the resolver and, if there is a ConfigMap of rules, waits
// until its rules are in force.
func (g *gateway) startTargets(ctx context.Context) error {
	kinds, err := discovery.NewDiscoveryClientForConfig(g.rest)
	if err != nil {
		return fmt.Errorf("kubernetes API server %s: %w", g.cluster.address, err)
	}
	g.targets, err = target.NewResolver(target.Options{
		Reader: g.cluster.client, Discovery: kinds, Rules: g.rules, Clock: g.options.Clock,
		Log: g.log.Named("targets"), Registerer: g.registry,
	})
	if err != nil {
		return fmt.Errorf("targets: %w", err)
	}
	if g.options.TargetRulesConfigMap == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, g.options.StartupTimeout)
	defer cancel()
	return g.watchRules(ctx)
}

// watchRules starts the watch of the ConfigMap of rules and waits for its first answer.
func (g *gateway) watchRules(ctx context.Context) error {
	name := client.ObjectKey{Namespace: g.options.Namespace, Name: g.options.TargetRulesConfigMap}
	rulesSource, err := source.New(source.Options{
		Base: g.rules, Use: g.targets.Use, Writer: g.cluster.client, Clock: g.options.Clock,
		Log: g.log.Named("targets"), Registerer: g.registry,
	})
	if err != nil {
		return fmt.Errorf("target rules: %w", err)
	}
	failed := make(chan error, 1)
	configMaps, err := cache.New(g.rest, cache.Options{
		Scheme: g.cluster.client.Scheme(),
		Mapper: g.cluster.client.RESTMapper(),
		ByObject: map[client.Object]cache.ByObject{&corev1.ConfigMap{}: {
			Namespaces: map[string]cache.Config{name.Namespace: {FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, name.Name)}},
		}},
		DefaultWatchErrorHandler: func(_ context.Context, _ *toolscache.Reflector, err error) {
			select {
			case failed <- err:
			default:
			}
			g.log.Debug("watch of target rules interrupted", zap.Error(err))
		},
	})
	if err != nil {
		return fmt.Errorf("cache of target rules: %w", err)
	}
	seen, err := handle(ctx, configMaps, rulesSource)
	if err != nil {
		return fmt.Errorf("watch ConfigMap %s: %w", name, err)
	}
	g.group.Add(ctx, lifecycle.Part{Name: "target rules", Run: lifecycle.Simple(configMaps.Start)})
	if toolscache.WaitForCacheSync(ctx.Done(), seen) {
		return nil
	}
	select {
	case err = <-failed:
	default:
		err = ctx.Err()
	}
	return fmt.Errorf("read ConfigMap %s of --target-rules-configmap: gave up after --startup-timeout %s: %w",
		name, g.options.StartupTimeout, errors.Join(err, ctx.Err()))
}

// handle gives the versions of the ConfigMap to the source. The function tells
// whether the first was given.
func handle(ctx context.Context, c cache.Cache, s *source.Source) (toolscache.InformerSynced, error) {
	background := context.WithoutCancel(ctx) // the handler outlives the start: it ends with the cache
	informer, err := c.GetInformer(ctx, &corev1.ConfigMap{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the object
	}
	changed := func(object any) {
		if configMap, ok := object.(*corev1.ConfigMap); ok {
			s.Changed(background, configMap)
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, object any) { changed(object) },
		DeleteFunc: func(any) { s.Removed() },
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller names the object
	}
	return registration.HasSynced, nil
}
