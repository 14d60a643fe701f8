// Package controlplane runs a Kubernetes API server and its etcd on a machine
// that has neither.
//
// [Start] takes the programs from KUBEBUILDER_ASSETS, else from what
// setup-envtest has stored or can download, else it compiles them from their Go
// modules, whose versions and checksums are pinned in the folder build, into
// a cache.
//
// What runs is an API server without controllers, scheduler or nodes: deleted
// namespaces stay Terminating, and workloads get no pods. It listens on the
// loopback interface, authorizes with RBAC and has Kubernaut's resources
// installed. etcd is reached over a unix socket. Both end with this process,
// see package supervise.
//
// A program that has processes stand for pods gives them made-up addresses and
// connects the API server to them, see DialPods of [Options].
//
// The library sigs.k8s.io/controller-runtime/pkg/envtest installs the
// resources; it does not run the programs, because its children outlive a
// process that is killed, and its data cannot be persistent.
package controlplane
