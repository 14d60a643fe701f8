// Package app is DataStorage as a part of any program: its options, and the
// life of the service from its first connection to its graceful stop. Several
// may run in one process.
//
// With --auth kubernetes its service account needs these permissions in the
// whole cluster, as in ClusterRole system:auth-delegator, and none without:
//
//	authentication.k8s.io  tokenreviews          create
//	authorization.k8s.io   subjectaccessreviews  create
//
// Whoever calls it then needs, in the namespace of --auth-namespace:
//
//	audit.kubernaut.ai     events                create, to store events
//	audit.kubernaut.ai     events                get, to read one event
//	audit.kubernaut.ai     events                list, to find events
package app
