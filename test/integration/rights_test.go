//go:build integration

package integration_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/internal/auth"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/rights"
	"kubernaut.ai/test/testenv"
)

// roleOf maps a role to the manifest that grants it: a Role of the platform, or a
// ClusterRole. A role without one has no permission.
var manifestsOf = map[rights.Role][]string{
	rights.Sender:       {"ClusterRole/kubernaut-signal-sender"},
	rights.Writer:       {"Role/audit-writer-gateway"},
	rights.Reader:       {"Role/audit-reader", "ClusterRole/kubernaut-audit-reader"},
	rights.Acknowledger: {"ClusterRole/kubernaut-audit-acknowledger"},
	rights.Holder:       {"Role/audit-legal-holder", "ClusterRole/kubernaut-audit-legal-holder"},
	rights.Eraser:       {"Role/audit-eraser", "ClusterRole/kubernaut-audit-eraser"},
	rights.Approver:     {"ClusterRole/kubernaut-approver"},
}

// modeRights is a platform with one mode of --auth, and its callers.
type modeRights struct {
	mode        string
	storage     *testenv.DataStorage
	pipeline    *testenv.Pipeline
	credentials map[rights.Role]string // tokens of our services
	atAPIServer map[rights.Role]string
	column      func(*rights.Row) []rights.Role
}

var _ = Describe("rights", func() {
	It("are those of the table in docs/security.md, with --auth kubernetes", func(ctx SpecContext) {
		m := &modeRights{mode: auth.ModeKubernetes, column: func(r *rights.Row) []rights.Role { return r.Kubernetes }}
		m.accounts(ctx)
		m.storage = ownStore(ctx, func(o *datastorageapp.Options) { o.Auth, o.RESTConfig = byCluster(), env.Config })
		m.start(ctx, sendersByCluster())
		m.try(ctx)
	}, SpecTimeout(specTimeout))

	It("are those of the table in docs/security.md, with --auth token-file", func(ctx SpecContext) {
		m := &modeRights{mode: auth.ModeTokenFile, column: func(r *rights.Row) []rights.Role { return r.TokenFile }}
		m.accounts(ctx)
		file := m.tokenFile()
		m.storage = ownStore(ctx, func(o *datastorageapp.Options) { o.Auth = auth.Flags{Mode: auth.ModeTokenFile, File: file} })
		m.start(ctx, auth.Flags{Mode: auth.ModeTokenFile, File: file})
		m.try(ctx)
	}, SpecTimeout(specTimeout))

	It("are those of the table in docs/security.md, with --auth none", func(ctx SpecContext) {
		m := &modeRights{mode: auth.ModeNone, column: func(r *rights.Row) []rights.Role { return r.None }}
		m.accounts(ctx)
		m.storage, m.pipeline = env.DataStorage, env.Pipeline
		m.try(ctx)
	}, SpecTimeout(specTimeout))

	It("of the control port end at the machine: it accepts loopback addresses only", func() {
		_, err := gateway.New(gateway.Options{RESTConfig: env.Config, DataStorageURL: env.DataStorage.URL, ControlListen: ":0"})
		Expect(err).To(MatchError(ContainSubstring("loopback")))
	})
})

// accounts makes a service account for each role, with what the manifests grant.
func (m *modeRights) accounts(ctx context.Context) {
	GinkgoHelper()
	granted := map[string][]rbacv1.PolicyRule{}
	manifests := build("production")
	for _, role := range typed[rbacv1.Role](manifests, "Role") {
		granted["Role/"+role.Name] = role.Rules
	}
	for _, role := range typed[rbacv1.ClusterRole](manifests, "ClusterRole") {
		granted["ClusterRole/"+role.Name] = role.Rules
	}
	m.credentials, m.atAPIServer = map[rights.Role]string{}, map[rights.Role]string{}
	for _, role := range rights.Roles() {
		if role == rights.Pod {
			continue // shows nothing
		}
		who := newAccount(ctx, string(role))
		for _, manifest := range manifestsOf[role] {
			Expect(granted).To(HaveKey(manifest))
			who.hold(ctx, strings.HasPrefix(manifest, "ClusterRole/"), granted[manifest])
		}
		m.credentials[role], m.atAPIServer[role] = who.token(ctx), who.apiServerToken(ctx)
	}
}

// hold grants rules, in the account's namespace or in the whole cluster.
func (a account) hold(ctx context.Context, everywhere bool, rules []rbacv1.PolicyRule) {
	GinkgoHelper()
	subjects := []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: a.Namespace, Name: a.Name}}
	meta := metav1.ObjectMeta{Name: testenv.Unique(a.Name + "-*")}
	namespace := a.Namespace
	if everywhere {
		namespace = ""
		role := &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules}
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: meta.Name}, Subjects: subjects,
		}
		for _, object := range []client.Object{role, binding} {
			Expect(env.Create(ctx, object)).To(Succeed())
			DeferCleanup(removed, object)
		}
	} else {
		meta.Namespace = namespace
		Expect(env.Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: rules})).To(Succeed())
		Expect(env.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name}, Subjects: subjects,
		})).To(Succeed())
	}
	for _, rule := range rules {
		name := ""
		if len(rule.ResourceNames) > 0 {
			name = rule.ResourceNames[0]
		}
		for _, resource := range rule.Resources {
			a.awaitPermissionOn(ctx, authorizationv1.ResourceAttributes{
				Namespace: namespace, Group: rule.APIGroups[0], Resource: resource, Verb: rule.Verbs[0], Name: name,
			}, true)
		}
	}
}

// tokenFile has a line for each role; that of a stranger permits nothing.
func (m *modeRights) tokenFile() string {
	GinkgoHelper()
	columns := map[rights.Role]string{
		rights.Sender: "namespaces=*", rights.Writer: "rights=write types=gateway", rights.Reader: "rights=read", rights.Holder: "rights=hold", rights.Eraser: "rights=erase",
	}
	var text strings.Builder
	for role, token := range m.credentials {
		if columns[role] == "" {
			continue // a stranger's token is not in the file: a line permits something
		}
		hash := sha256.Sum256([]byte(token))
		_, _ = fmt.Fprintf(&text, "%s %s %s\n", role, hex.EncodeToString(hash[:]), columns[role])
	}
	path := filepath.Join(GinkgoT().TempDir(), "tokens")
	Expect(os.WriteFile(path, []byte(text.String()), 0o600)).To(Succeed())
	return path
}

// start starts a pipeline whose Gateway has these flags. Its events go to the shared
// DataStorage, which asks nobody.
func (m *modeRights) start(ctx context.Context, senders auth.Flags) {
	GinkgoHelper()
	var err error
	m.pipeline, err = env.NewPipeline(ctx, testenv.PipelineOptions{Gateway: func(o *gateway.Options) { o.Auth = senders }})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(m.pipeline.Stop()).To(Succeed()) })
}

// try sends every call as every role, and compares who was let in with the table.
func (m *modeRights) try(ctx context.Context) {
	GinkgoHelper()
	for _, row := range rights.Rows() {
		if row.Server == rights.Control {
			continue // whoever reaches it is let in; nobody does over the network
		}
		var let []rights.Role
		answers := map[rights.Role]string{}
		for _, role := range rights.Roles() {
			code, body := m.send(ctx, &row, role)
			answers[role] = fmt.Sprint(code, " ", body)
			if code != http.StatusUnauthorized && code != http.StatusForbidden {
				let = append(let, role)
			}
		}
		want := slices.Clone(m.column(&row))
		Expect(let).To(ConsistOf(want), "%s: %s: %s: %v", m.mode, row.Server, row.Call, answers)
	}
}

func (m *modeRights) send(ctx context.Context, row *rights.Row, role rights.Role) (code int, body string) {
	GinkgoHelper()
	method, path, _ := strings.Cut(row.Call, " ")
	for _, parameter := range []string{"{event_id}", "{acknowledgement_id}", "{correlation_id}", "{name}"} {
		path = strings.ReplaceAll(path, parameter, uuid.NewString())
	}
	base, token, caller := m.storage.URL, m.credentials[role], http.DefaultClient
	var content []byte
	event := anEvent(env.CorrelationID(), fields{"event_type": "gateway.rights.tried"})
	switch row.Server {
	case rights.DataStorage:
		switch {
		case strings.HasSuffix(path, "/batch"):
			content = encode([]fields{event})
		case method == http.MethodPost && strings.HasSuffix(path, "/events"):
			content = encode(event)
		case strings.HasSuffix(path, "/events"):
			path += "?correlation_id=" + env.CorrelationID()
		}
	case rights.APIServer:
		base, token = env.Config.Host, m.atAPIServer[role]
		var err error
		caller, err = rest.HTTPClientFor(rest.AnonymousClientConfig(env.Config))
		Expect(err).NotTo(HaveOccurred())
		if method == http.MethodPost && strings.HasSuffix(path, "/acknowledgements") {
			content = encode(acknowledgement("nobody", "tried by a test", uuid.NewString()).Object)
		}
	case rights.Gateway:
		base = m.pipeline.GatewayURL
		content = signalBody(path, m.pipeline.Namespace)
	case rights.Management:
		base, token = m.storage.ManagementURL, ""
	}
	r, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(string(content)))
	Expect(err).NotTo(HaveOccurred())
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return do(caller, r)
}

// signalBody is a signal about a pod of a namespace, in the form of a path.
func signalBody(path, namespace string) []byte {
	GinkgoHelper()
	alert := podAlert()
	alert["namespace"] = namespace
	switch {
	case strings.HasSuffix(path, "/kubernetes-event"):
		return encode(fields{
			"apiVersion": "v1", "kind": "Event", "metadata": fields{"name": testenv.Unique("event-*"), "namespace": namespace, "uid": uuid.NewString()},
			"type": "Warning", "reason": "BackOff", "message": "tried by a test",
			"involvedObject": fields{"apiVersion": "v1", "kind": "Pod", "name": testenv.Unique("pod-*"), "namespace": namespace},
			"firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:04:05Z", "count": 1,
		})
	case strings.HasSuffix(path, "/api/v2/alerts"):
		return encode([]fields{{"labels": alert, "startsAt": "2026-01-02T03:04:05Z"}})
	default:
		return alertBody(alertmanager.Firing, alert)
	}
}
