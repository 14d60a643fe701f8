// Package podflush flushes the audit stores of all pods of a workload through
// the API server's proxy: RBAC admits the caller, and no port has to be exposed.
//
// A flush of pods proves something only if it reached every store that may have
// pending events. So [Flusher.FlushPods] first waits, by a watch, until the workload
// is stable: its controller has observed the newest generation, all declared
// replicas are updated and ready, and exactly that many pods match its
// selector, each of them running, ready and not terminating. A pod that has
// finished (evicted, for example) also blocks the flush until it is deleted,
// because it cannot report its pending events. Then every pod receives POST
// /audit/flush on its management port. Finally the pods are read again: a pod
// that is gone, new, replaced or restarted since the first look fails the
// flush, because another process may have responded for it.
//
// # What it covers
//
// The flush covers what the processes of these pods have accepted, and what
// they took over from the spools of earlier processes on the same volumes. It
// does not cover events that an earlier process held in memory alone: they were
// lost with it, and no flush can tell. Programs that must not lose events spool
// them on a volume that the pod's successor mounts. Nor does it cover the
// volumes of replicas that were scaled away. It names them, and fails: scale up,
// flush and scale down again, or adopt what each holds (kubernaut spool adopt),
// and delete its claim.
//
// The management port counts events and names none. When a flush has failed, the
// names and the reasons are read from the pod's control listener by
// port-forward; without the right to that, the error has the counts only.
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
//	  resources: [persistentvolumeclaims] # of stateful sets with volumes
//	  verbs: [list]
//	- apiGroups: [""]
//	  resources: [pods/proxy]
//	  verbs: [create]
//	- apiGroups: [""]
//	  resources: [pods/portforward] # for the names of events
//	  verbs: [get, create]
//
// The rights to pods/proxy and pods/portforward reach every port of every pod of the
// namespace: grant it to people and tests, not to services.
package podflush
