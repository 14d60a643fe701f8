// Package deploy carries the parts of the deployment that kubernaut up installs on one machine.
package deploy

import "embed"

// Workflows is the directory of the kustomization of the workflows in FS. ClusterRoles is the file
// with the roles of those who approve remediations or look on.
const (
	Workflows    = "kustomize/workflows"
	ClusterRoles = "kustomize/cluster/workflowexecution.yaml"
)

// FS has Workflows and ClusterRoles.
//
//go:embed kustomize/workflows kustomize/cluster/workflowexecution.yaml
var FS embed.FS
