// Package podflush flushes the audit stores of all pods of a workload through
// the API server, so that neither a port nor a network policy has to let the
// caller in: RBAC does.
//
// A flush of pods proves something only if it reached every store that may owe
// an event. So [Flusher.FlushPods] first waits, by a watch, until the workload
// is settled: its controller has observed the newest generation, all declared
// replicas are updated and ready, and exactly that many pods match its
// selector, each of them running, ready and not terminating. A pod that has
// finished (evicted, for instance) holds the flush as well, until somebody
// deletes it: it cannot answer for what it owed. Then every pod is asked by
// POST /audit/flush on its management port, and at last the pods are read
// again: one that is gone, new, replaced or restarted since then fails the
// flush, because somebody else may have answered for it.
//
// What a pod kept in memory alone is lost with its process; no flush can tell.
// Services that must not lose events spool them on a volume that the pod's
// successor mounts.
//
// # Rights
//
// In the namespace of each workload:
//
//	rules:
//	- apiGroups: [apps]
//	  resources: [deployments, statefulsets]
//	  verbs: [list, watch]
//	- apiGroups: [""]
//	  resources: [pods]
//	  verbs: [list, watch]
//	- apiGroups: [""]
//	  resources: [pods/proxy]
//	  verbs: [create]
//
// The right to create pods/proxy reaches every port of every pod of the
// namespace: grant it to people and tests, not to services.
package podflush
