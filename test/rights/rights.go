// Package rights lists every call that the platform answers, and who gets an answer
// in which mode. docs/security.md shows the list, and specs try each row.
package rights

import (
	"fmt"
	"slices"
	"strings"
)

// Role is what a caller may do, by the manifests of the deployment.
type Role string

// The roles. A caller has one of them, and nothing else.
const (
	// Stranger authenticates and has no permission.
	Stranger Role = "stranger"
	// Sender may report signals.
	Sender Role = "sender"
	// Writer may record audit events of its own types.
	Writer Role = "writer"
	// Reader may read the trail; through the API server, with the ClusterRole for people.
	Reader Role = "reader"
	// Acknowledger may acknowledge events through the API server.
	Acknowledger Role = "acknowledger"
	// Holder may place, list and release legal holds; through the API server, with the
	// ClusterRole for people.
	Holder Role = "holder"
	// Eraser may ask for erasures, and follow them.
	Eraser Role = "eraser"
	// Approver decides on remediations, which no call here is about.
	Approver Role = "approver"
	// Pod is a process in the cluster's network without credentials.
	Pod Role = "pod"
)

// Roles are all roles.
func Roles() []Role {
	return []Role{Stranger, Sender, Writer, Reader, Acknowledger, Holder, Eraser, Approver, Pod}
}

// The servers.
const (
	DataStorage = "DataStorage"
	Gateway     = "Gateway"
	APIServer   = "API server"
	Management  = "management port"
	Control     = "control port"
)

// Row is a call, and who gets another answer than 401 and 403.
type Row struct {
	// Server that answers.
	Server string
	// Call is a method and a path.
	Call string
	// Needs is the permission, as kubectl names it.
	Needs string
	// Kubernetes, TokenFile and None are the modes of --auth.
	Kubernetes, TokenFile, None []Role
}

// everyone includes processes without credentials. A port that is on loopback is
// for everyone on the machine, and in the network for nobody.
func open(server, call string) Row {
	return Row{Server: server, Call: call, Needs: "none", Kubernetes: Roles(), TokenFile: Roles(), None: Roles()}
}

func checked(server, call, needs string, kubernetes, tokenFile []Role) Row {
	return Row{Server: server, Call: call, Needs: needs, Kubernetes: kubernetes, TokenFile: tokenFile, None: Roles()}
}

// people are calls through the API server, which checks them in every mode.
func people(call, needs string, roles ...Role) Row {
	return Row{Server: APIServer, Call: call, Needs: needs, Kubernetes: roles, TokenFile: roles, None: roles}
}

const (
	audit      = "/api/v1/audit"
	aggregated = "/apis/audit.kubernaut.ai/v1"
)

// Rows returns the list.
func Rows() []Row {
	writer, reader, sender, holder, eraser := []Role{Writer}, []Role{Reader}, []Role{Sender}, []Role{Holder}, []Role{Eraser}
	return []Row{
		checked(DataStorage, "POST "+audit+"/events", "create events.audit.kubernaut.ai/TYPE", writer, writer),
		checked(DataStorage, "POST "+audit+"/events/batch", "create events.audit.kubernaut.ai/TYPE", writer, writer),
		checked(DataStorage, "GET "+audit+"/events", "list events.audit.kubernaut.ai", reader, reader),
		checked(DataStorage, "GET "+audit+"/events/stats", "list events.audit.kubernaut.ai", reader, reader),
		checked(DataStorage, "GET "+audit+"/events/{event_id}", "get events.audit.kubernaut.ai", reader, reader),
		checked(DataStorage, "GET "+audit+"/acknowledgements/{acknowledgement_id}", "get acknowledgements.audit.kubernaut.ai; others than the recorder get 404",
			[]Role{Writer, Reader, Acknowledger}, []Role{Writer, Reader}),
		checked(DataStorage, "GET "+audit+"/event-schemas", "list events.audit.kubernaut.ai", reader, reader),
		checked(DataStorage, "GET "+audit+"/event-schemas/{event_type}", "list events.audit.kubernaut.ai", reader, reader),
		checked(DataStorage, "POST "+audit+"/remediation-requests/{correlation_id}/reconstruct", "list events.audit.kubernaut.ai", reader, reader),
		checked(DataStorage, "POST "+audit+"/legal-hold", "create legalholds.audit.kubernaut.ai", holder, holder),
		checked(DataStorage, "GET "+audit+"/legal-hold", "list legalholds.audit.kubernaut.ai", holder, holder),
		checked(DataStorage, "GET "+audit+"/legal-hold/{correlation_id}", "list legalholds.audit.kubernaut.ai", holder, holder),
		checked(DataStorage, "DELETE "+audit+"/legal-hold/{correlation_id}", "delete legalholds.audit.kubernaut.ai", holder, holder),
		checked(DataStorage, "POST "+audit+"/erasures", "create erasures.audit.kubernaut.ai", eraser, eraser),
		checked(DataStorage, "POST "+audit+"/erasures/preview", "create erasures.audit.kubernaut.ai", eraser, eraser),
		checked(DataStorage, "GET "+audit+"/erasures", "list erasures.audit.kubernaut.ai", eraser, eraser),
		checked(DataStorage, "GET "+audit+"/erasures/{erasure_id}", "get erasures.audit.kubernaut.ai", eraser, eraser),
		open(DataStorage, "GET /openapi.json"),
		open(DataStorage, "GET /health"),
		open(DataStorage, "GET /health/live"),
		open(DataStorage, "GET /health/ready"),
		people("GET "+aggregated+"/events", "list events.audit.kubernaut.ai", Reader),
		people("GET "+aggregated+"/events/{name}", "get events.audit.kubernaut.ai", Reader),
		people("GET "+aggregated+"/trails/{name}", "get trails.audit.kubernaut.ai", Reader),
		people("POST "+aggregated+"/acknowledgements", "create acknowledgements.audit.kubernaut.ai", Acknowledger),
		people("GET "+aggregated+"/acknowledgements/{name}", "get acknowledgements.audit.kubernaut.ai", Reader, Acknowledger),
		people("POST "+aggregated+"/legalholds", "create legalholds.audit.kubernaut.ai", Holder),
		people("GET "+aggregated+"/legalholds", "list legalholds.audit.kubernaut.ai", Holder),
		people("GET "+aggregated+"/legalholds/{name}", "get legalholds.audit.kubernaut.ai", Holder),
		people("DELETE "+aggregated+"/legalholds/{name}", "delete legalholds.audit.kubernaut.ai", Holder),
		people("POST "+aggregated+"/erasures", "create erasures.audit.kubernaut.ai", Eraser),
		people("GET "+aggregated+"/erasures", "list erasures.audit.kubernaut.ai", Eraser),
		people("GET "+aggregated+"/erasures/{name}", "get erasures.audit.kubernaut.ai", Eraser),
		people("POST "+aggregated+"/erasurepreviews", "create erasurepreviews.audit.kubernaut.ai", Eraser),
		checked(Gateway, "POST /api/v1/signals/prometheus", "create signals.gateway.kubernaut.ai in the target's namespace", sender, sender),
		checked(Gateway, "POST /api/v1/signals/prometheus/api/v2/alerts", "create signals.gateway.kubernaut.ai in the target's namespace", sender, sender),
		checked(Gateway, "POST /api/v1/signals/kubernetes-event", "create signals.gateway.kubernaut.ai in the target's namespace", sender, sender),
		open(Management, "GET /healthz"),
		open(Management, "GET /readyz"),
		open(Management, "GET /metrics"),
		open(Management, "POST /audit/flush"),
		control("GET /audit/state"),
		control("GET /audit/rejections"),
		control("GET /audit/quarantine"),
		control("GET /audit/quarantine/{id}"),
		control("POST /audit/quarantine/retry"),
		control("POST /audit/acknowledgements"),
	}
}

// control is on loopback in every mode: nobody reaches it over the network.
func control(call string) Row {
	return Row{Server: Control, Call: call, Needs: "create pods/portforward in the platform's namespace"}
}

// Find returns the row of a call.
func Find(server, call string) (Row, bool) {
	rows := Rows()
	i := slices.IndexFunc(rows, func(r Row) bool { return r.Server == server && r.Call == call })
	if i < 0 {
		return Row{}, false
	}
	return rows[i], true
}

// Calls returns the calls of a server.
func Calls(server string) []string {
	var calls []string
	for _, r := range Rows() {
		if r.Server == server {
			calls = append(calls, r.Call)
		}
	}
	return calls
}

// Table is the list in Markdown.
func Table() string {
	var text strings.Builder
	text.WriteString("| server | call | permission | `kubernetes` | `token-file` | `none` |\n|---|---|---|---|---|---|\n")
	for _, r := range Rows() {
		fmt.Fprintf(&text, "| %s | `%s` | %s | %s | %s | %s |\n", r.Server, r.Call, r.Needs, cell(r.Kubernetes), cell(r.TokenFile), cell(r.None))
	}
	return text.String()
}

func cell(roles []Role) string {
	switch {
	case len(roles) == 0:
		return "nobody"
	case len(roles) == len(Roles()):
		return "everyone"
	}
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, ", ")
}
