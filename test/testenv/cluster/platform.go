package cluster

import (
	"cmp"
	"os"
	"path/filepath"

	"kubernaut.ai/pkg/audittrail/podflush"
)

// System is the namespace of the platform: NAMESPACE, by default kubernaut-system.
var System = cmp.Or(os.Getenv("NAMESPACE"), "kubernaut-system")

// Workflows is the namespace of workflows, their service accounts and their Jobs:
// WORKFLOWS_NAMESPACE, by default kubernaut-workflows.
var Workflows = cmp.Or(os.Getenv("WORKFLOWS_NAMESPACE"), "kubernaut-workflows")

// The workloads of the platform.
var (
	DataStorage       = podflush.Workload{Kind: podflush.Deployment, Namespace: System, Name: "datastorage"}
	Gateway           = podflush.Workload{Kind: podflush.StatefulSet, Namespace: System, Name: "gateway"}
	SignalProcessing  = podflush.Workload{Kind: podflush.StatefulSet, Namespace: System, Name: "signalprocessing"}
	WorkflowExecution = podflush.Workload{Kind: podflush.StatefulSet, Namespace: System, Name: "workflowexecution"}
	PostgreSQL        = podflush.Workload{Kind: podflush.StatefulSet, Namespace: System, Name: "postgres"}
)

// Workloads are all of them.
var Workloads = []podflush.Workload{DataStorage, Gateway, SignalProcessing, WorkflowExecution, PostgreSQL}

// recording are those that record audit events, and so may have pending ones.
var recording = []podflush.Workload{Gateway, SignalProcessing, WorkflowExecution}

// Audience is the audience of tokens for DataStorage.
const Audience = "kubernaut-datastorage"

// gatewayAudience is the audience of tokens for the Gateway.
const gatewayAudience = "kubernaut-gateway"

// Addresses locate the cluster and the platform in it.
type Addresses struct {
	Kubeconfig     string `json:"kubeconfig"`
	GatewayURL     string `json:"gateway_url"`
	DataStorageURL string `json:"datastorage_url"`
	// CAFile has the authority of the certificates behind these URLs.
	CAFile string `json:"ca_file"`
}

// FromEnvironment reads E2E_KUBECONFIG, E2E_GATEWAY_URL, E2E_DATASTORAGE_URL and
// E2E_CA_FILE. The defaults are those of this repository's Kind
// cluster, relative to a suite's directory.
func FromEnvironment() Addresses {
	kind := filepath.Join("..", "..", "out", "kind")
	return Addresses{
		Kubeconfig:     cmp.Or(os.Getenv("E2E_KUBECONFIG"), filepath.Join(kind, "kubeconfig")),
		GatewayURL:     cmp.Or(os.Getenv("E2E_GATEWAY_URL"), "https://127.0.0.1:30081"),
		DataStorageURL: cmp.Or(os.Getenv("E2E_DATASTORAGE_URL"), "https://127.0.0.1:30080"),
		CAFile:         cmp.Or(os.Getenv("E2E_CA_FILE"), filepath.Join(kind, "tls", "ca.crt")),
	}
}
