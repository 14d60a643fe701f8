//go:build integration

package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/test/testenv"
)

// Specs about people, who call through the API server.

const aggregatedRoot = "/apis/audit.kubernaut.ai/v1"

var (
	peopleEvents           = schema.GroupVersionResource{Group: auditGroup, Version: "v1", Resource: "events"}
	peopleTrails           = schema.GroupVersionResource{Group: auditGroup, Version: "v1", Resource: "trails"}
	peopleAcknowledgements = schema.GroupVersionResource{Group: auditGroup, Version: "v1", Resource: "acknowledgements"}
)

// person is a user of the API server, as it knows them.
type person struct {
	dynamic.Interface

	config *rest.Config
	name   string
	uid    string
	groups []string
}

func newPerson(config *rest.Config, name, uid string, groups ...string) *person {
	GinkgoHelper()
	client, err := dynamic.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	return &person{Interface: client, config: config, name: name, uid: uid, groups: groups}
}

// everyone is a user of each kind that a cluster has: one with a client certificate,
// one of the --token-auth-file, and a service account.
func everyone(ctx context.Context) map[string]*person {
	GinkgoHelper()
	ada := testenv.Unique("ada-*") + "@example.org"
	group := testenv.Unique("oncall-*")
	certificate, err := env.People.WithCertificate(env.Config, ada, group)
	Expect(err).NotTo(HaveOccurred())
	grace := env.People.Grace
	machine := newAccount(ctx, "console")
	return map[string]*person{
		"a client certificate":      newPerson(certificate, ada, "", group),
		"a token of the API server": newPerson(testenv.WithToken(env.Config, grace.Token), grace.Name, grace.UID, grace.Groups...),
		"a service account": newPerson(testenv.WithToken(env.Config, machine.apiServerToken(ctx)), machine.user(), string(machine.UID),
			"system:serviceaccounts", "system:serviceaccounts:"+machine.Namespace),
	}
}

// may grants the person permissions in the whole cluster.
func (p *person) may(ctx context.Context, resource string, verbs ...string) {
	GinkgoHelper()
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: testenv.Unique("people-*")},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{auditGroup}, Resources: []string{resource}, Verbs: verbs}},
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: p.name}},
	}
	for _, object := range []client.Object{role, binding} {
		Expect(env.Create(ctx, object)).To(Succeed())
		DeferCleanup(removed, object)
	}
	for _, verb := range verbs {
		awaitDecision(ctx, true, func(ctx context.Context) (bool, error) {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: p.name, ResourceAttributes: &authorizationv1.ResourceAttributes{Group: auditGroup, Resource: resource, Verb: verb},
			}}
			err := env.Create(ctx, review)
			return review.Status.Allowed, err
		})
	}
}

// expectUser expects that the data of an event names a person as the API server vouches.
func expectUser(data []byte, who *person) {
	GinkgoHelper()
	var got struct {
		User struct {
			Name   string   `json:"name"`
			UID    string   `json:"uid"`
			Groups []string `json:"groups"`
		} `json:"user"`
	}
	Expect(json.Unmarshal(data, &got)).To(Succeed())
	Expect(got.User.Name).To(Equal(who.name))
	Expect(got.User.UID).To(Equal(who.uid))
	Expect(got.User.Groups).To(ConsistOf(append([]string{"system:authenticated"}, who.groups...)))
}

// acknowledgement is the body of a request.
func acknowledgement(recorder, reason string, ids ...string) *unstructured.Unstructured {
	list := make([]any, len(ids))
	for i, id := range ids {
		list[i] = id
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "audit.kubernaut.ai/v1", "kind": "Acknowledgement",
		"spec": map[string]any{"recorder": recorder, "eventIDs": list, "reason": reason},
	}}
}

// storedEvent reads an event of the shared DataStorage.
func storedEvent(ctx context.Context, id string) datastorage.StoredEvent {
	GinkgoHelper()
	return decoded[datastorage.StoredEvent](storeCall(ctx, env.DataStorage.URL, http.MethodGet, storeEvents+"/"+id, nil, nil), http.StatusOK)
}

var _ = Describe("people", func() {
	It("field C16: people read through the API server, each with the credentials that the cluster knows", func(ctx SpecContext) {
		id := env.CorrelationID()
		first, second := anEvent(id, nil), anEvent(id, nil)
		decoded[datastorage.BatchCreated](storeJSON(ctx, env.DataStorage.URL, storeBatch, []fields{first, second}), http.StatusCreated)
		want := decoded[datastorage.EventPage](storeCall(ctx, env.DataStorage.URL, http.MethodGet, storeEvents+"?order=asc&correlation_id="+id, nil, nil), http.StatusOK)
		Expect(want.Data).To(HaveLen(2))
		of := metav1.ListOptions{FieldSelector: "order=asc,correlation_id=" + id}
		for what, who := range everyone(ctx) {
			By(what)
			_, err := who.Resource(peopleEvents).List(ctx, of)
			Expect(apierrors.IsForbidden(err)).To(BeTrue(), "without a permission: %v", err)
			who.may(ctx, "events", "get", "list")
			who.may(ctx, "trails", "get")

			list, err := who.Resource(peopleEvents).List(ctx, of)
			Expect(err).NotTo(HaveOccurred())
			var found []datastorage.StoredEvent
			for _, item := range list.Items {
				found = append(found, eventOf(item.Object["event"]))
			}
			Expect(found).To(Equal(want.Data))

			one, err := who.Resource(peopleEvents).Get(ctx, list.Items[1].GetName(), metav1.GetOptions{})
			Expect(err).NotTo(HaveOccurred())
			Expect(eventOf(one.Object["event"])).To(Equal(want.Data[1]))

			trail, err := who.Resource(peopleTrails).Get(ctx, id, metav1.GetOptions{})
			Expect(err).NotTo(HaveOccurred())
			Expect(eventOf(trail.Object["events"].([]any)[0])).To(Equal(want.Data[0]))

			By(what + ": page by page")
			of := of
			of.Limit = 1
			page, err := who.Resource(peopleEvents).List(ctx, of)
			Expect(err).NotTo(HaveOccurred())
			Expect(page.Items).To(HaveLen(1))
			of.Continue = page.GetContinue()
			page, err = who.Resource(peopleEvents).List(ctx, of)
			Expect(err).NotTo(HaveOccurred())
			Expect(page.Items).To(HaveLen(1))
			Expect(page.Items[0].GetName()).To(Equal(list.Items[1].GetName()))
			Expect(page.GetContinue()).To(BeEmpty())

			By(what + ": a filter that does not exist")
			_, err = who.Resource(peopleEvents).List(ctx, metav1.ListOptions{FieldSelector: "correlation=" + id})
			Expect(apierrors.IsBadRequest(err)).To(BeTrue(), "%v", err)
			Expect(err).To(MatchError(ContainSubstring("correlation")))
		}
	}, SpecTimeout(specTimeout))

	It("field C16: what people acknowledge is recorded under the name that the API server vouches for", func(ctx SpecContext) {
		recorder := newAccount(ctx, "recorder")
		for what, who := range everyone(ctx) {
			By(what)
			sent := acknowledgement(recorder.user(), "the schema was wrong", uuid.NewString(), uuid.NewString())
			_, err := who.Resource(peopleAcknowledgements).Create(ctx, sent, metav1.CreateOptions{})
			Expect(apierrors.IsForbidden(err)).To(BeTrue(), "without a permission: %v", err)
			who.may(ctx, "acknowledgements", "create", "get")

			made, err := who.Resource(peopleAcknowledgements).Create(ctx, sent, metav1.CreateOptions{})
			Expect(err).NotTo(HaveOccurred())
			id := made.GetName()
			Expect(uuid.Validate(id)).To(Succeed())
			env.Track(id)
			read, err := who.Resource(peopleAcknowledgements).Get(ctx, id, metav1.GetOptions{})
			Expect(err).NotTo(HaveOccurred())
			Expect(read.Object["spec"]).To(Equal(sent.Object["spec"]))

			stored := storedEvent(ctx, id)
			Expect(stored.EventType).To(Equal("datastorage.acknowledgement.created"))
			Expect(stored.RecordedBy).To(HaveValue(Equal("kubernaut:datastorage")))
			Expect(stored.ActorId).To(HaveValue(Equal(who.name)))
			expectUser(stored.EventData, who)
		}
	}, SpecTimeout(specTimeout))

	It("field C16: an acknowledgement exists for the recorder of its events alone", func(ctx SpecContext) {
		recorder, other := newAccount(ctx, "recorder"), newAccount(ctx, "other")
		for _, a := range []account{recorder, other} {
			a.mayIn(ctx, env.People.Namespace, auditGroup, "acknowledgements", nil, "get")
		}
		admin := newPerson(env.Config, "kubernaut-admin", "")
		event := uuid.NewString()
		made, err := admin.Resource(peopleAcknowledgements).Create(ctx, acknowledgement(recorder.user(), "gone for good", event), metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		env.Track(made.GetName())
		path := "/api/v1/audit/acknowledgements/" + made.GetName()
		machines := peopleHTTP()
		code, body := fetch(ctx, machines, env.People.URL+path, bearing(recorder.token(ctx)))
		Expect(code).To(Equal(http.StatusOK), body)
		var record datastorage.Acknowledgement
		Expect(json.Unmarshal([]byte(body), &record)).To(Succeed())
		Expect(record.Id.String()).To(Equal(made.GetName()))
		Expect(record.Recorder).To(Equal(recorder.user()))
		Expect(record.EventIds).To(Equal([]uuid.UUID{uuid.MustParse(event)}))
		Expect(record.Reason).To(Equal("gone for good"))
		Expect(record.AcknowledgedBy).To(Equal("kubernaut-admin"))

		code, body = fetch(ctx, machines, env.People.URL+path, bearing(other.token(ctx)))
		Expect(code).To(Equal(http.StatusNotFound), body)
	}, SpecTimeout(specTimeout))

	It("field C16: unusable acknowledgements are rejected with the fields to change", func(ctx SpecContext) {
		admin := newPerson(env.Config, "kubernaut-admin", "")
		id := uuid.NewString()
		many := make([]string, 1001)
		for i := range many {
			many[i] = uuid.NewString()
		}
		for field, sent := range map[string]*unstructured.Unstructured{
			"spec.recorder":    acknowledgement("", "reason", id),
			"spec.reason":      acknowledgement("recorder", "  ", id),
			"spec.eventIDs":    acknowledgement("recorder", "reason", many...),
			"spec.eventIDs[1]": acknowledgement("recorder", "reason", id, id),
		} {
			_, err := admin.Resource(peopleAcknowledgements).Create(ctx, sent, metav1.CreateOptions{})
			Expect(apierrors.IsBadRequest(err)).To(BeTrue(), "%s: %v", field, err)
			Expect(err).To(MatchError(ContainSubstring(field)))
		}
		named := acknowledgement("recorder", "reason", id)
		named.SetName("mine")
		_, err := admin.Resource(peopleAcknowledgements).Create(ctx, named, metav1.CreateOptions{})
		Expect(apierrors.IsBadRequest(err)).To(BeTrue(), "%v", err)
		_, err = admin.Resource(peopleAcknowledgements).Create(ctx, acknowledgement("recorder", "reason", id), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		Expect(apierrors.IsBadRequest(err)).To(BeTrue(), "nothing is stored for a dry run, and nothing is pretended: %v", err)
	}, SpecTimeout(specTimeout))

	It("field C16: no event can be written through the API server, and nothing of the machines' API is there", func(ctx SpecContext) {
		admin, err := rest.HTTPClientFor(env.Config)
		Expect(err).NotTo(HaveOccurred())
		event := encode(anEvent(env.CorrelationID(), nil))
		for _, call := range []struct{ method, path string }{
			{http.MethodPost, "/events"},
			{http.MethodPost, "/events/batch"},
			{http.MethodPut, "/events/" + uuid.NewString()},
			{http.MethodDelete, "/events/" + uuid.NewString()},
			{http.MethodPost, "/trails"},
			{http.MethodDelete, "/acknowledgements/" + uuid.NewString()},
		} {
			r, err := http.NewRequestWithContext(ctx, call.method, env.Config.Host+aggregatedRoot+call.path, strings.NewReader(string(event)))
			Expect(err).NotTo(HaveOccurred())
			r.Header.Set("Content-Type", "application/json")
			code, body := do(admin, r)
			Expect(code).To(BeElementOf(http.StatusNotFound, http.StatusMethodNotAllowed), "%s %s: %s", call.method, call.path, body)
		}
		proxy := peopleHTTP(frontProxy(controlplane.FrontProxyName))
		for _, path := range []string{storeEvents, storeEvents + "/" + uuid.NewString(), "/openapi.json", "/metrics", "/audit/flush"} {
			code, body := fetch(ctx, proxy, env.People.AggregatedURL+path, remote("kubernaut-admin", "system:masters"))
			Expect(code).To(Equal(http.StatusNotFound), "%s: %s", path, body)
		}
	}, SpecTimeout(specTimeout))

	It("field C16: DataStorage believes the front proxy alone, and authorizes again", func(ctx SpecContext) {
		list := env.People.AggregatedURL + aggregatedRoot + "/events?correlation_id=" + env.CorrelationID()
		masters := remote("kubernaut-admin", "system:masters")
		proxy := peopleHTTP(frontProxy(controlplane.FrontProxyName))
		code, body := fetch(ctx, proxy, list, masters)
		Expect(code).To(Equal(http.StatusOK), body)

		By("asking as a user without a permission")
		code, body = fetch(ctx, proxy, list, remote(testenv.Unique("stranger-*")))
		Expect(code).To(Equal(http.StatusForbidden), body)
		Expect(body).To(ContainSubstring("kubernaut-audit-reader"))

		By("asking as nobody")
		code, body = fetch(ctx, proxy, list, nil)
		Expect(code).To(Equal(http.StatusUnauthorized), body)

		By("showing a certificate of the right authority with another name")
		code, body = fetch(ctx, peopleHTTP(frontProxy("somebody")), list, masters)
		Expect(code).To(Equal(http.StatusUnauthorized), body)

		By("showing a person's certificate, or none")
		person, err := env.People.Authorities.Client("ada", "system:masters")
		Expect(err).NotTo(HaveOccurred())
		for _, shown := range [][]controlplane.Certificate{{person}, nil} {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, list, http.NoBody)
			Expect(err).NotTo(HaveOccurred())
			r.Header = masters
			response, err := peopleHTTP(shown...).Do(r)
			if err == nil {
				_ = response.Body.Close()
			}
			Expect(err).To(HaveOccurred(), "the handshake")
		}

		By("sending the headers to the API of machines")
		code, body = fetch(ctx, proxy, env.People.URL+storeEvents, masters)
		Expect(code).To(Equal(http.StatusUnauthorized), body)
	}, SpecTimeout(specTimeout))
})

func eventOf(value any) datastorage.StoredEvent {
	GinkgoHelper()
	text, err := json.Marshal(value)
	Expect(err).NotTo(HaveOccurred())
	var event datastorage.StoredEvent
	Expect(json.Unmarshal(text, &event)).To(Succeed())
	// The shared DataStorage asks nobody who calls: to one that does, its recorder is foreign.
	Expect(event.Foreign).To(BeTrue())
	event.Foreign = false
	return event
}

// remote is what the front proxy says about a user.
func remote(user string, groups ...string) http.Header {
	return http.Header{"X-Remote-User": {user}, "X-Remote-Group": groups}
}

func frontProxy(name string) controlplane.Certificate {
	GinkgoHelper()
	made, err := env.People.Authorities.FrontProxy(name)
	Expect(err).NotTo(HaveOccurred())
	return made
}

func peopleHTTP(shown ...controlplane.Certificate) *http.Client {
	GinkgoHelper()
	made, err := env.People.HTTP(shown...)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(made.CloseIdleConnections)
	return made
}

func fetch(ctx context.Context, client *http.Client, address string, header http.Header) (code int, body string) {
	GinkgoHelper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	r.Header = header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	return do(client, r)
}

func do(client *http.Client, r *http.Request) (code int, body string) {
	GinkgoHelper()
	response, err := client.Do(r)
	Expect(err).NotTo(HaveOccurred())
	text, err := io.ReadAll(response.Body)
	Expect(errors.Join(err, response.Body.Close())).To(Succeed())
	return response.StatusCode, string(text)
}
