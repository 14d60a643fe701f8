//go:build integration

package integration_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"

	"kubernaut.ai/test/rights"
	"kubernaut.ai/test/testenv"
)

// accountOf are the service accounts of identities; the others are people.
var accountOf = map[rights.Identity]struct{ place, name string }{
	rights.Service:           {deployNamespace, "workflowexecution"},
	rights.Probe:             {workflowsNamespace, "approval-probe"},
	rights.Restart:           {workflowsNamespace, "workflow-restart"},
	rights.Rollback:          {workflowsNamespace, "workflow-rollback"},
	rights.Scale:             {workflowsNamespace, "workflow-scale"},
	rights.CleanFinishedJobs: {workflowsNamespace, "workflow-clean-finished-jobs"},
}

// peopleRoles are the ClusterRoles that people are bound to.
var peopleRoles = map[rights.Identity]string{
	rights.RemediationApprover: "kubernaut-approver", rights.RemediationReader: "kubernaut-reader",
}

// asker asks the API server who may do what.
type asker struct {
	users map[rights.Identity]rest.ImpersonationConfig
	// places are namespaces. That of the whole cluster is one in which nobody has rights of it alone.
	places map[rights.Place]string
}

// newAsker deploys the rights and binds people in one of two namespaces.
func newAsker(ctx context.Context) *asker {
	GinkgoHelper()
	deployRights(ctx, build("production"))
	a := &asker{
		users:  map[rights.Identity]rest.ImpersonationConfig{},
		places: map[rights.Place]string{rights.Platform: deployNamespace, rights.Workflows: workflowsNamespace},
	}
	for _, place := range []rights.Place{rights.Team, rights.Other, wholeCluster} {
		a.places[place] = testenv.Unique("rights" + string(place) + "-*")
		Expect(env.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: a.places[place]}})).To(Succeed())
	}
	for _, who := range rights.Identities() {
		if account, ok := accountOf[who]; ok {
			a.users[who] = rest.ImpersonationConfig{
				UserName: "system:serviceaccount:" + account.place + ":" + account.name,
				Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + account.place, "system:authenticated"},
			}
			continue
		}
		user := testenv.Unique(string(who) + "-*")
		a.users[who] = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
		if role := peopleRoles[who]; role != "" {
			Expect(env.Create(ctx, &rbacv1.RoleBinding{
				ObjectMeta: metav1.ObjectMeta{Namespace: a.places[rights.Team], Name: string(who)},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
				Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
			})).To(Succeed())
		}
	}
	return a
}

// wholeCluster is the place of cluster-scoped resources.
const wholeCluster rights.Place = ""

// question is one cell of the matrix.
type question struct {
	who     rights.Identity
	place   rights.Place
	verb    string
	row     *rights.Resource
	allowed bool
}

func (q *question) String() string {
	return fmt.Sprintf("%s %s %s @%s", q.who, q.verb, q.row, q.place)
}

func questions() []question {
	GinkgoHelper()
	table := rights.Resources()
	all := make([]question, 0, len(table)*len(rights.Identities())*len(rights.Places())*len(rights.Verbs()))
	for i := range table {
		row := &table[i]
		grants, err := row.Granted()
		Expect(err).NotTo(HaveOccurred())
		places := rights.Places()
		if row.Cluster {
			places = []rights.Place{wholeCluster}
		}
		for _, who := range rights.Identities() {
			for _, place := range places {
				for _, verb := range rights.Verbs() {
					allowed := slices.ContainsFunc(grants, func(g rights.Grant) bool {
						return g.Who == who && (g.Where == place || g.Where == rights.Everywhere) && slices.Contains(g.Verbs, verb)
					})
					all = append(all, question{who, place, verb, row, allowed})
				}
			}
		}
	}
	return all
}

// permits reports whether a rule answers a question with yes, as RBAC does.
func (q *question) permits(rule *authorizationv1.ResourceRule) bool {
	has := func(list []string, value string) bool {
		return slices.Contains(list, value) || slices.Contains(list, "*")
	}
	_, subresource, found := strings.Cut(q.row.Resource, "/")
	return has(rule.Verbs, q.verb) && has(rule.APIGroups, q.row.Group) &&
		(has(rule.Resources, q.row.Resource) || found && slices.Contains(rule.Resources, "*/"+subresource)) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, q.row.Name))
}

// rules are what an identity may do in a place, according to the API server. It is asked for all rules of an
// identity together: one question for each cell would be tens of thousands.
func (a *asker) rules(ctx context.Context, who rights.Identity, place rights.Place) []authorizationv1.ResourceRule {
	GinkgoHelper()
	config := rest.CopyConfig(env.Config)
	config.Impersonate = a.users[who]
	client, err := authorizationclient.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	answered, err := client.SelfSubjectRulesReviews().Create(ctx, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: a.places[place]},
	}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	Expect(answered.Status.Incomplete).To(BeFalse(), answered.Status.EvaluationError)
	return answered.Status.ResourceRules
}

// differences are the questions whose answer is not that of the table.
func (a *asker) differences(ctx context.Context, all []question) []string {
	GinkgoHelper()
	type asked struct {
		who   rights.Identity
		place rights.Place
	}
	known := map[asked][]authorizationv1.ResourceRule{}
	var found []string
	for i := range all {
		q := &all[i]
		key := asked{q.who, q.place}
		if _, ok := known[key]; !ok {
			known[key] = a.rules(ctx, q.who, q.place)
		}
		allowed := false
		for n := range known[key] {
			allowed = allowed || q.permits(&known[key][n])
		}
		if allowed != q.allowed {
			found = append(found, fmt.Sprintf("%s: allowed %v, the table says %v", q, allowed, q.allowed))
		}
	}
	return found
}

// rulesOf are the rules that the manifests bind to the identities.
func rulesOf(d deployment) []rbacv1.PolicyRule {
	GinkgoHelper()
	wanted := map[string]bool{}
	for _, role := range peopleRoles {
		wanted["ClusterRole/"+role] = true
	}
	for _, binding := range typed[rbacv1.RoleBinding](d, "RoleBinding", "ClusterRoleBinding") {
		for _, subject := range binding.Subjects {
			for _, account := range accountOf {
				if subject.Name == account.name {
					wanted[binding.RoleRef.Kind+"/"+binding.RoleRef.Name] = true
				}
			}
		}
	}
	var rules []rbacv1.PolicyRule
	for _, kind := range []string{"Role", "ClusterRole"} {
		for _, role := range typed[rbacv1.ClusterRole](d, kind) {
			if wanted[kind+"/"+role.Name] {
				rules = append(rules, role.Rules...)
			}
		}
	}
	return rules
}

var _ = Describe("the rights of remediation", func() {
	It("are those of the table in docs/security.md, for every identity, resource, namespace and verb", func(ctx SpecContext) {
		a, all := newAsker(ctx), questions()
		Expect(a.differences(ctx, all)).To(BeEmpty())
		AddReportEntry("asked", len(all), ReportEntryVisibilityFailureOrVerbose)
	}, SpecTimeout(specTimeout))

	It("let the service request tokens of the workflows' accounts, and of no account elsewhere", func(ctx SpecContext) {
		a := newAsker(ctx)
		config := rest.AnonymousClientConfig(env.Config)
		config.BearerToken = token(ctx, "workflowexecution")
		asService, err := corev1client.NewForConfig(config)
		Expect(err).NotTo(HaveOccurred())
		for _, place := range []rights.Place{rights.Team, rights.Workflows} {
			account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: a.places[place], Name: testenv.Unique("own-*")}}
			Expect(env.Create(ctx, account)).To(Succeed())
			_, err = asService.ServiceAccounts(account.Namespace).CreateToken(ctx, account.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
			Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%s: %v", place, err)
		}
		sameName := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: a.places[rights.Team], Name: "workflow-restart"}}
		Expect(env.Create(ctx, sameName)).To(Succeed())
		for namespace, allowed := range map[string]bool{workflowsNamespace: true, sameName.Namespace: false, deployNamespace: false} {
			_, err = asService.ServiceAccounts(namespace).CreateToken(ctx, sameName.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
			Expect(err == nil).To(Equal(allowed), "%s: %v", namespace, err)
			Expect(err == nil || apierrors.IsForbidden(err)).To(BeTrue(), "%s: %v", namespace, err)
		}
	}, SpecTimeout(specTimeout))

	It("have a row for everything that a manifest grants, and for every resource of the platform", func() {
		d := slices.Concat(build("production"), kustomize(filepath.Join(kustomizations, "workflows")), kustomize(filepath.Join(kustomizations, "workflows-access")))
		rows := map[string]bool{}
		for _, row := range rights.Resources() {
			rows[row.String()] = true
		}
		rules := rulesOf(d)
		Expect(rules).NotTo(BeEmpty())
		for _, rule := range rules {
			for _, verb := range rule.Verbs {
				Expect(rights.Verbs()).To(ContainElement(verb), "%v", rule)
			}
			names := rule.ResourceNames
			if len(names) == 0 {
				names = []string{""}
			}
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, name := range names {
						row := rights.Resource{Group: group, Resource: resource, Name: name}
						Expect(rows).To(HaveKey(row.String()))
					}
				}
			}
		}
		for _, crd := range typed[apiextensionsv1.CustomResourceDefinition](d, "CustomResourceDefinition") {
			row := rights.Resource{Group: crd.Spec.Group, Resource: crd.Spec.Names.Plural}
			Expect(rows).To(HaveKey(row.String()))
			if row.Resource += "/status"; crd.Spec.Versions[0].Subresources != nil && crd.Spec.Versions[0].Subresources.Status != nil {
				Expect(rows).To(HaveKey(row.String()))
			}
		}
	})
})
