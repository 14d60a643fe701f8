// Package app is DataStorage as a program that can be embedded: its options, its
// command line, and the service from its first connection to its graceful stop.
// Several may run in one process.
//
// With --auth kubernetes its service account needs these permissions in the
// whole cluster, as in ClusterRole system:auth-delegator, and none with other modes:
//
//	authentication.k8s.io  tokenreviews          create
//	authorization.k8s.io   subjectaccessreviews  create
//
// Its callers then need, in the namespace of --auth-namespace:
//
//	audit.kubernaut.ai     events                create, to store events
//	audit.kubernaut.ai     events                get, to read one event
//	audit.kubernaut.ai     events                list, to find events
//	audit.kubernaut.ai     acknowledgements      get, to read those of their own events
//
// With --aggregated-listen it needs the permissions of --auth kubernetes, and
// Role extension-apiserver-authentication-reader of namespace kube-system. People
// need cluster-wide permissions in audit.kubernaut.ai, see package aggregated.
package app
