// Package app is the Gateway as a program that can be embedded. Several may run
// in one process.
//
// Permissions that its service account needs:
//
//	kubernaut.ai         remediationrequests          get, list, watch, create, delete
//	kubernaut.ai         remediationrequests/status   patch
//	coordination.k8s.io  leases (own namespace)       get, list, create, update, delete
//	(core), events.k8s.io  events                     create, patch
//	(core)               namespaces                   get
//	(core)               nodes                        get, list
//	(core)               configmaps (own namespace)   get, list, watch: the one of --target-rules-configmap
//
// and get for the objects that signals are about, and for their owners: pods,
// services, workloads and so on (see deploy/kustomize/cluster/gateway.yaml).
//
// With --watch-events, in the watched namespaces:
//
//	(core)               events                       list, watch
//
// Delete is for one case: a request that was created late, after another replica
// had opened it under another name, is deleted again. ClusterRoles with the label
// rbac.kubernaut.ai/aggregate-to-gateway: "true" add the kinds of operators: the
// Gateway then finds them and their owners.
//
// With --auth kubernetes it also needs, in the whole cluster, as in ClusterRole
// system:auth-delegator:
//
//	authentication.k8s.io tokenreviews                create
//	authorization.k8s.io  subjectaccessreviews        create
//
// Senders of signals then need, in the namespace of each target that they report
// on, or in all namespaces:
//
//	gateway.kubernaut.ai signals                      create
package app

import (
	"context"
	"slices"

	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"kubernaut.ai/internal/auditclient/sink"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/buildinfo"
	"kubernaut.ai/internal/httpserver/tlsfiles"
	"kubernaut.ai/internal/kube"
	"kubernaut.ai/internal/telemetry"
	"kubernaut.ai/pkg/audit/httpsink"
	"kubernaut.ai/services/gateway/internal/target/rules"
)

const program = "kubernaut-gateway"

// App is a Gateway. Make it with New and run it once.
type App struct {
	options Options
	log     *zap.Logger
	auth    *auth.Gate
	tls     *tlsfiles.Server // nil for plain HTTP
	sink    *httpsink.Sink
	tracing *telemetry.Tracing
	rest    *rest.Config
	rules   *rules.Set // those of the file, and the built-in ones

	ready         chan struct{}
	apiURL        string // written before ready is closed
	managementURL string // written before ready is closed
	controlURL    string // written before ready is closed; empty if closed
}

// New checks the options. It reads the files that they name and does not use
// the network. An unusable option is a *cli.UsageError that names the flag.
func New(o Options) (*App, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if len(o.WatchNamespaces) > 0 && !slices.Contains(o.WatchNamespaces, o.Namespace) {
		o.WatchNamespaces = append(slices.Clone(o.WatchNamespaces), o.Namespace)
	}
	a := &App{options: o, log: o.Log, ready: make(chan struct{})}
	var err error
	if a.sink, err = sink.New(sink.Options{
		URL: o.DataStorageURL, TokenFile: o.DataStorageTokenFile, CAFile: o.DataStorageCAFile,
		UserAgent: buildinfo.UserAgent(program), Log: o.Log,
	}); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	if a.tracing, err = o.Tracing.New(context.Background(), program, o.Log); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	if a.rest, err = kube.Config(o.RESTConfig, o.Kubeconfig, buildinfo.UserAgent(program)); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	a.rest = a.tracing.Cluster(a.rest)
	if a.auth, err = o.Auth.NewGate(auth.Server{
		Flag: "listen", Address: o.Listen, Audience: Audience, Namespaced: true, Clock: o.Clock, Log: o.Log,
		Config: func() (*rest.Config, error) { return a.rest, nil },
	}); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	if a.tls, err = o.TLS.NewServer("api", o.Clock, o.Log); err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	if a.rules, err = readRules("target-rules", o.TargetRules); err != nil {
		return nil, err
	}
	return a, nil
}

// Ready is closed once the Gateway takes signals.
func (a *App) Ready() <-chan struct{} { return a.ready }

// APIURL is the address of the API, as in http://127.0.0.1:8081 (https with
// TLS); call it after Ready.
func (a *App) APIURL() string { return a.apiURL }

// ManagementURL is the address of probes, metrics and flush; call it after Ready.
func (a *App) ManagementURL() string { return a.managementURL }

// ControlURL is the address of the control listener, empty if it is closed; call
// it after Ready.
func (a *App) ControlURL() string { return a.controlURL }
