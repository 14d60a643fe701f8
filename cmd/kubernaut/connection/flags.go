// Package connection connects the commands to a cluster as kubectl connects, with the
// rights of whoever runs them.
package connection

import (
	"cmp"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/cli"
)

// Flags select a cluster and a namespace. They have the names of kubectl's.
type Flags struct {
	Kubeconfig, Context, Namespace string
}

// Declare declares the flags; whose says whose namespace it is.
func (o *Flags) Declare(f *cli.Flags, whose string) {
	o.DeclareCluster(f)
	f.String(&o.Namespace, "namespace", "", "namespace of the "+whose+"; none: the context's", cli.Shorthand("n"))
}

// DeclareCluster declares the flags of what has no namespace.
func (o *Flags) DeclareCluster(f *cli.Flags) {
	f.String(&o.Kubeconfig, "kubeconfig", "", "kubeconfig file; none: as kubectl finds it")
	f.String(&o.Context, "context", "", "context of the kubeconfig; none: the current one")
}

// Config reads the kubeconfig. It returns the configuration of clients and the
// namespace: that of --namespace, else the context's.
func (o *Flags) Config() (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: o.Context})
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, "", cli.Usagef("--kubeconfig: %w", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil && o.Namespace == "" {
		return nil, "", cli.Usagef("--namespace: %w", err)
	}
	config.UserAgent = buildinfo.UserAgent("kubernaut")
	config.WarningHandlerWithContext = rest.NoWarnings{}
	return config, cmp.Or(o.Namespace, namespace), nil
}
