// Package app is the Gateway as a whole: a program that can also be embedded.
// Several may run in one process.
//
// Permissions that its service account needs:
//
//	kubernaut.ai         remediationrequests          get, list, watch, create, delete
//	kubernaut.ai         remediationrequests/status   patch
//	coordination.k8s.io  leases (own namespace)       get, list, create, update, delete
//	(core)               namespaces                   get
//	(core)               pods, persistentvolumeclaims get
//	apps                 deployments, replicasets, statefulsets, daemonsets  get
//	batch                jobs, cronjobs               get
//	autoscaling          horizontalpodautoscalers     get
//
// Delete is for one case: a request that was created under a name which
// turned out to be used before is taken back. Kinds above the listed ones (the
// owners that an operator brings) fold more signals if they may be read too.
package app

import (
	"slices"

	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/service/auth"
	"kubernaut.ai/pkg/service/kube"
	"kubernaut.ai/pkg/service/sink"
)

const userAgent = "kubernaut-gateway"

// App is a Gateway. Make it with New and run it once.
type App struct {
	options Options
	log     *zap.Logger
	auth    auth.Authenticator
	sink    *audit.HTTPSink
	rest    *rest.Config

	ready         chan struct{}
	apiURL        string // written before ready is closed
	managementURL string // written before ready is closed
}

// New validates the options. It reads the files that they name and opens no
// connection. Unusable options are a *service.UsageError that names the flag.
func New(o Options) (*App, error) {
	o.complete()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if len(o.WatchNamespaces) > 0 && !slices.Contains(o.WatchNamespaces, o.Namespace) {
		o.WatchNamespaces = append(slices.Clone(o.WatchNamespaces), o.Namespace)
	}
	a := &App{options: o, log: o.Log, ready: make(chan struct{})}
	var err error
	if a.auth, err = o.Auth.New("listen", o.Listen, o.Clock); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	if a.sink, err = sink.New(o.DataStorageURL, o.DataStorageTokenFile, userAgent); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	if a.rest, err = kube.Config(o.RESTConfig, o.Kubeconfig, userAgent); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	a.rest.QPS, a.rest.Burst = o.KubeQPS, o.KubeBurst
	return a, nil
}

// Ready is closed once the Gateway takes signals.
func (a *App) Ready() <-chan struct{} { return a.ready }

// APIURL is the address of the API, as in http://127.0.0.1:8081; call it after Ready.
func (a *App) APIURL() string { return a.apiURL }

// ManagementURL is the address of probes, metrics and flush; call it after Ready.
func (a *App) ManagementURL() string { return a.managementURL }
