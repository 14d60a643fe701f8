// Package kube connects services to the Kubernetes API server.
package kube

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/cli"
)

// Config finds the cluster: the configuration that an embedding program gives,
// else the kubeconfig file of --kubeconfig, else the pod's service account. It
// returns a copy without a client-side rate limit, unless given has one: the
// API server's priority and fairness limits clients better than they can.
// An unusable configuration is a cli.UsageError that names the flag.
func Config(given *rest.Config, kubeconfig, userAgent string) (*rest.Config, error) {
	c := given
	var err error
	switch {
	case given != nil:
	case kubeconfig != "":
		if c, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
			return nil, cli.Usagef("--kubeconfig %s: %w", kubeconfig, err)
		}
	default:
		if c, err = rest.InClusterConfig(); err != nil {
			return nil, cli.Usagef("--kubeconfig is required outside of a pod: %w", err)
		}
	}
	c = rest.CopyConfig(c)
	c.UserAgent = userAgent
	if c.QPS == 0 {
		c.QPS = -1
	}
	c.WarningHandlerWithContext = rest.NoWarnings{}
	return c, nil
}

// Scheme returns a scheme with Kubernetes' own types and ours.
func Scheme() (*runtime.Scheme, error) {
	types := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(types), v1alpha1.AddToScheme(types)); err != nil {
		return nil, fmt.Errorf("register resource types: %w", err)
	}
	return types, nil
}
