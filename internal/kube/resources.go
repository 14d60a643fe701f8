package kube

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
)

// AwaitResources waits until the API server of a config answers, and checks that it serves
// our resources.
func AwaitResources(ctx context.Context, config *rest.Config, timeout time.Duration, log *zap.Logger) error {
	c := rest.CopyConfig(config)
	c.GroupVersion = &schema.GroupVersion{}
	c.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	raw, err := rest.UnversionedRESTClientFor(c)
	if err != nil {
		return cli.Usagef("--kubeconfig: %w", err)
	}
	path := "/apis/" + v1alpha1.GroupVersion.String()
	return Wait{
		Host: config.Host, Timeout: timeout, Log: log,
		Check: func(ctx context.Context) error {
			if err := raw.Get().AbsPath(path).MaxRetries(0).Do(ctx).Error(); err != nil {
				return fmt.Errorf("read %s: %w", path, err)
			}
			return nil
		},
		NotFound: fmt.Sprintf("%s is not served: install the CustomResourceDefinitions first", v1alpha1.GroupVersion),
	}.Until(ctx)
}
