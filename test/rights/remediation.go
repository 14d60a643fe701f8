package rights

import (
	"fmt"
	"slices"
	"strings"
)

// Identity is somebody who has to do with remediation.
type Identity string

// The identities. Service accounts are bound as the manifests bind them; people with a
// RoleBinding in the namespace Team.
const (
	// Service is the account of WorkflowExecution.
	Service Identity = "service"
	// Probe is the account with which the service tries its admission policies.
	Probe Identity = "approval-probe"
	// Restart and the next ones are the accounts of the shipped workflows.
	Restart           Identity = "restart"
	Rollback          Identity = "rollback"
	Scale             Identity = "scale"
	CleanFinishedJobs Identity = "clean-finished-jobs"
	// RemediationApprover is a person with the ClusterRole kubernaut-approver, RemediationReader one with kubernaut-reader.
	RemediationApprover Identity = "approver"
	RemediationReader   Identity = "reader"
	// Somebody authenticates and has no permission.
	Somebody Identity = "stranger"
)

// Identities are all of them.
func Identities() []Identity {
	return []Identity{Service, Probe, Restart, Rollback, Scale, CleanFinishedJobs, RemediationApprover, RemediationReader, Somebody}
}

// Place is a kind of namespace.
type Place string

// The places. Everywhere is each of them, and the whole cluster for objects without a namespace.
const (
	Platform   Place = "platform"
	Workflows  Place = "workflows"
	Team       Place = "team"
	Other      Place = "other"
	Everywhere Place = "everywhere"
)

// Places are the kinds of namespaces.
func Places() []Place { return []Place{Platform, Workflows, Team, Other} }

// Verbs are the verbs that each resource is tried with.
func Verbs() []string {
	return []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "propose", "impersonate"}
}

// Grant is what an identity may do in a place.
type Grant struct {
	Who   Identity
	Where Place
	Verbs []string
}

// Resource is a resource, and who may do what with it. Whatever is not granted is denied.
type Resource struct {
	// Group is empty for the core group. Resource includes the subresource.
	Group, Resource string
	// Name is that of a single object, for rules that name objects.
	Name string
	// Cluster is set if the resource has no namespace.
	Cluster bool
	// Grants are written as "who@where verb verb", separated by semicolons.
	Grants string
}

const (
	kubernaut = "kubernaut.ai"
	look      = "get list watch"
	// byOwner is what the service reads of targets and of what is around them.
	byOwner = "service@everywhere get"
	// readers are the people who may see a resource of the platform.
	readers = "approver@team " + look + "; reader@team " + look
)

// Resources returns the table.
func Resources() []Resource {
	return slices.Concat(platformResources(), workflowResources(), targetResources(), otherResources())
}

func platformResources() []Resource {
	return []Resource{
		{Group: kubernaut, Resource: "remediationworkflows", Grants: "service@workflows " + look},
		{Group: kubernaut, Resource: "remediationworkflows/status", Grants: "service@workflows patch"},
		{Group: kubernaut, Resource: "remediationrequests", Grants: "service@everywhere " + look + "; " + readers},
		{Group: kubernaut, Resource: "remediationrequests/status", Grants: "service@everywhere patch"},
		{Group: kubernaut, Resource: "remediationrequests/finalizers", Grants: "service@everywhere update"},
		{Group: kubernaut, Resource: "signalprocessings", Grants: byOwner},
		{Group: kubernaut, Resource: "signalprocessings/status"},
		{Group: kubernaut, Resource: "workflowexecutions", Grants: "service@everywhere " + look + " create patch propose; " + readers},
		{Group: kubernaut, Resource: "workflowexecutions/status", Grants: "service@everywhere patch"},
		{Group: kubernaut, Resource: "workflowexecutions/finalizers", Grants: "service@everywhere update"},
		{Group: kubernaut, Resource: "remediationapprovals", Grants: "service@everywhere " + look + "; approval-probe@workflows create; " +
			"approver@team " + look + " create; reader@team " + look},
		{Group: kubernaut, Resource: "remediationcommands", Grants: "service@everywhere " + look + "; approver@team " + look + " create; reader@team " + look},
		{Group: kubernaut, Resource: "remediationcommands/status", Grants: "service@everywhere patch"},
		{Group: kubernaut, Resource: "pauseswitches", Cluster: true, Grants: "service@everywhere " + look},
		{Group: "audit.kubernaut.ai", Resource: "events", Name: "workflowexecution", Grants: "service@platform create"},
		{Group: "audit.kubernaut.ai", Resource: "events", Name: "remediation", Grants: "service@platform create"},
		{Group: "audit.kubernaut.ai", Resource: "events", Name: "gateway"},
		{Group: "audit.kubernaut.ai", Resource: "acknowledgements", Grants: "service@platform get"},
	}
}

func workflowResources() []Resource {
	resources := []Resource{
		{Resource: "serviceaccounts", Grants: "service@workflows get"},
		{Group: "batch", Resource: "jobs", Grants: "service@everywhere get; service@workflows " + look + " create delete; clean-finished-jobs@everywhere list delete"},
		{Resource: "pods", Grants: "service@everywhere get; service@workflows get list"},
		{Resource: "pods/log", Grants: "service@workflows get"},
		{Resource: "pods/exec"},
		{Resource: "pods/attach"},
		{Resource: "pods/portforward"},
		{Resource: "pods/ephemeralcontainers"},
	}
	for _, account := range []string{"approval-probe", "workflow-clean-finished-jobs", "workflow-restart", "workflow-rollback", "workflow-scale"} {
		resources = append(resources, Resource{Resource: "serviceaccounts/token", Name: account, Grants: "service@workflows create"})
	}
	return append(resources, Resource{Resource: "serviceaccounts/token", Name: "default"}, Resource{Resource: "serviceaccounts/token"})
}

func targetResources() []Resource {
	resources := []Resource{ //nolint:prealloc // a literal and a few more
		{Group: "apps", Resource: "deployments", Grants: "service@everywhere get; restart@everywhere get patch; rollback@everywhere get patch; scale@everywhere get patch"},
		{Group: "apps", Resource: "statefulsets", Grants: "service@everywhere get; restart@everywhere get patch; scale@everywhere get patch"},
		{Group: "apps", Resource: "daemonsets", Grants: "service@everywhere get; restart@everywhere get patch"},
		{Group: "apps", Resource: "replicasets", Grants: "service@everywhere get; rollback@everywhere get list"},
		{Group: "apps", Resource: "deployments/scale"},
		{Group: "apps", Resource: "statefulsets/scale"},
		{Group: "batch", Resource: "cronjobs", Grants: byOwner},
		{Group: "autoscaling", Resource: "horizontalpodautoscalers", Grants: "service@everywhere get list"},
		{Group: "policy", Resource: "poddisruptionbudgets", Grants: byOwner},
		{Resource: "namespaces", Cluster: true, Grants: "service@everywhere get list watch"},
		{Resource: "nodes", Cluster: true, Grants: byOwner},
		{Resource: "persistentvolumes", Cluster: true, Grants: byOwner},
	}
	for _, name := range []string{"persistentvolumeclaims", "services", "replicationcontrollers", "resourcequotas", "limitranges"} {
		resources = append(resources, Resource{Resource: name, Grants: byOwner})
	}
	for _, name := range []string{"ingresses", "networkpolicies"} {
		resources = append(resources, Resource{Group: "networking.k8s.io", Resource: name, Grants: byOwner})
	}
	return resources
}

func otherResources() []Resource {
	return []Resource{
		{Group: "coordination.k8s.io", Resource: "leases", Grants: "service@platform get list create update delete"},
		{Resource: "events", Grants: "service@platform create patch"},
		{Group: "events.k8s.io", Resource: "events", Grants: "service@everywhere create patch"},
		{Group: "authorization.k8s.io", Resource: "subjectaccessreviews", Cluster: true, Grants: "service@everywhere create"},
		{Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicies", Cluster: true, Grants: byOwner},
		{Group: "admissionregistration.k8s.io", Resource: "validatingadmissionpolicybindings", Cluster: true, Grants: byOwner},
		{Resource: "secrets"},
		{Resource: "configmaps"},
		{Resource: "configmaps", Name: "workflowexecution-pauses", Grants: "service@platform get update"},
		{Resource: "users", Cluster: true},
		{Resource: "groups", Cluster: true},
		{Group: "rbac.authorization.k8s.io", Resource: "roles"},
		{Group: "rbac.authorization.k8s.io", Resource: "rolebindings"},
		{Group: "rbac.authorization.k8s.io", Resource: "clusterroles", Cluster: true},
		{Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings", Cluster: true},
	}
}

// String names the resource as the table does.
func (r *Resource) String() string {
	name := r.Resource
	if r.Group != "" {
		resource, sub, found := strings.Cut(r.Resource, "/")
		name = resource + "." + r.Group
		if found {
			name += "/" + sub
		}
	}
	if r.Name != "" {
		name += " " + r.Name
	}
	return name
}

// Granted parses the grants. A malformed one is an error, which names it.
func (r *Resource) Granted() ([]Grant, error) {
	var grants []Grant
	for one := range strings.SplitSeq(r.Grants, ";") {
		words := strings.Fields(one)
		if len(words) == 0 {
			continue
		}
		who, where, found := strings.Cut(words[0], "@")
		g := Grant{Identity(who), Place(where), words[1:]}
		if !found || !slices.Contains(Identities(), g.Who) || (g.Where != Everywhere && !slices.Contains(Places(), g.Where)) || len(g.Verbs) == 0 {
			return nil, fmt.Errorf("%s: grant %q: want who@where verb…", r, one)
		}
		for _, verb := range g.Verbs {
			if !slices.Contains(Verbs(), verb) {
				return nil, fmt.Errorf("%s: grant %q: verb %s is not tried", r, one, verb)
			}
		}
		grants = append(grants, g)
	}
	return grants, nil
}

// RemediationTable is the table in Markdown. Resources with which nobody may do anything
// share its last line.
func RemediationTable() (string, error) {
	var text strings.Builder
	var nobody []string
	text.WriteString("| resource | who may do what |\n|---|---|\n")
	for _, r := range Resources() {
		grants, err := r.Granted()
		if err != nil {
			return "", err
		}
		if len(grants) == 0 {
			nobody = append(nobody, "`"+r.String()+"`")
			continue
		}
		cells := make([]string, len(grants))
		for i, g := range grants {
			where := " in the namespace " + string(g.Where)
			switch {
			case g.Where == Everywhere && r.Cluster:
				where = ""
			case g.Where == Everywhere:
				where = " everywhere"
			}
			cells[i] = fmt.Sprintf("%s: %s%s", g.Who, strings.Join(g.Verbs, ", "), where)
		}
		fmt.Fprintf(&text, "| `%s` | %s |\n", r.String(), strings.Join(cells, "; "))
	}
	fmt.Fprintf(&text, "| %s | nobody |\n", strings.Join(nobody, ", "))
	return text.String(), nil
}
