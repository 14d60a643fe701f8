// Package aggregated is the API that people call through the API server of their
// cluster, as group audit.kubernaut.ai in version v1 of its aggregation layer.
//
// The API server authenticates them, authorizes them by RBAC, and forwards their
// names. The package speaks Kubernetes' conventions, so that kubectl and client-go
// can use it: discovery, objects and lists, tables, Status for errors. It reads
// events and trails and records acknowledgements; it takes no events.
package aggregated
