//go:build integration

package integration_test

import (
	"context"
	"net/http"

	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubernaut.ai/api/datastorage"
)

// Specs about people who ask for erasures.

var (
	peopleErasures = schema.GroupVersionResource{Group: auditGroup, Version: "v1", Resource: "erasures"}
	peoplePreviews = schema.GroupVersionResource{Group: auditGroup, Version: "v1", Resource: "erasurepreviews"}
)

// auditObject is the body of a request.
func auditObject(kind string, spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": auditGroup + "/v1", "kind": kind, "spec": spec}}
}

// stored stores events of a trail, and returns their ids.
func stored(ctx context.Context, correlationID string, events int) []any {
	GinkgoHelper()
	ids := make([]any, events)
	for i := range ids {
		e := anEvent(correlationID, fields{"actor_id": "mallory"})
		decoded[datastorage.EventCreated](storeJSON(ctx, env.DataStorage.URL, storeEvents, e), http.StatusCreated)
		ids[i] = e["event_id"]
	}
	return ids
}

var _ = Describe("people and erasures", func() {
	It("are recorded under the name that the API server vouches for", func(ctx SpecContext) {
		for what, who := range everyone(ctx) {
			By(what)
			trail := env.CorrelationID()
			ids := stored(ctx, trail, 3)
			preview := auditObject("ErasurePreview", map[string]any{"filter": map[string]any{"correlation_id": trail}, "limit": int64(2)})
			_, err := who.Resource(peoplePreviews).Create(ctx, preview, metav1.CreateOptions{})
			Expect(apierrors.IsForbidden(err)).To(BeTrue(), "without a permission: %v", err)
			sent := auditObject("Erasure", map[string]any{"eventIDs": ids, "reason": "request 7 of a customer"})
			_, err = who.Resource(peopleErasures).Create(ctx, sent, metav1.CreateOptions{})
			Expect(apierrors.IsForbidden(err)).To(BeTrue(), "without a permission: %v", err)
			who.may(ctx, "erasurepreviews", "create")
			who.may(ctx, "erasures", "create", "get", "list")

			By(what + ": looking for the events")
			var found []any
			for next := ""; ; {
				Expect(unstructured.SetNestedField(preview.Object, next, "spec", "continue")).To(Succeed())
				page, err := who.Resource(peoplePreviews).Create(ctx, preview, metav1.CreateOptions{})
				Expect(err).NotTo(HaveOccurred())
				some, _, err := unstructured.NestedSlice(page.Object, "status", "eventIDs")
				Expect(err).NotTo(HaveOccurred())
				Expect(len(some)).To(BeNumerically("<=", 2))
				found = append(found, some...)
				if next, _, err = unstructured.NestedString(page.Object, "status", "continue"); next == "" {
					Expect(err).NotTo(HaveOccurred())
					break
				}
			}
			Expect(found).To(ConsistOf(ids...))

			By(what + ": asking for their erasure")
			made, err := who.Resource(peopleErasures).Create(ctx, sent, metav1.CreateOptions{})
			Expect(err).NotTo(HaveOccurred())
			id := made.GetName()
			env.Track(id)
			Expect(made.Object["status"]).To(SatisfyAll(HaveKeyWithValue("requestedBy", who.name), HaveKeyWithValue("phase", "requested"), HaveKeyWithValue("events", int64(3))))
			again := sent.DeepCopy()
			again.SetName(id)
			repeated, err := who.Resource(peopleErasures).Create(ctx, again, metav1.CreateOptions{})
			Expect(err).NotTo(HaveOccurred(), "a repeated request asks for nothing new")
			Expect(repeated.Object).To(Equal(made.Object))
			read, err := who.Resource(peopleErasures).Get(ctx, id, metav1.GetOptions{})
			Expect(err).NotTo(HaveOccurred())
			Expect(read.Object).To(Equal(made.Object))
			list, err := who.Resource(peopleErasures).List(ctx, metav1.ListOptions{})
			Expect(err).NotTo(HaveOccurred())
			Expect(list.Items).To(ContainElement(HaveField("Object", HaveKeyWithValue("metadata", made.Object["metadata"]))))

			events := aboutHold(ctx, id)
			Expect(events).To(HaveLen(1))
			Expect(events[0].EventType).To(Equal("datastorage.erasure.requested"))
			Expect(events[0].RecordedBy).To(HaveValue(Equal("kubernaut:datastorage")))
			Expect(events[0].ActorId).To(HaveValue(Equal(who.name)))
			expectUser(events[0].EventData, who)
		}
	}, SpecTimeout(specTimeout))

	It("name what is wrong with an erasure", func(ctx SpecContext) {
		admin := newPerson(env.Config, "kubernaut-admin", "")
		trail := env.CorrelationID()
		ids := stored(ctx, trail, 1)
		named := auditObject("Erasure", map[string]any{"eventIDs": ids, "reason": "why"})
		named.SetName("mine")
		for want, sent := range map[string]*unstructured.Unstructured{
			"spec.reason":   auditObject("Erasure", map[string]any{"eventIDs": ids, "reason": " "}),
			"spec.eventIDs": auditObject("Erasure", map[string]any{"eventIDs": []any{}, "reason": "why"}),
			"invalid UUID":  auditObject("Erasure", map[string]any{"eventIDs": []any{"one"}, "reason": "why"}),
			"metadata.name": named,
		} {
			_, err := admin.Resource(peopleErasures).Create(ctx, sent, metav1.CreateOptions{})
			Expect(apierrors.IsBadRequest(err)).To(BeTrue(), "%s: %v", want, err)
			Expect(err).To(MatchError(ContainSubstring(want)))
		}
		for want, spec := range map[string]map[string]any{
			"spec.filter":       {},
			"spec.filter.actor": {"filter": map[string]any{"actor": "ada"}},
			"event_outcome":     {"filter": map[string]any{"event_outcome": "maybe"}},
		} {
			_, err := admin.Resource(peoplePreviews).Create(ctx, auditObject("ErasurePreview", spec), metav1.CreateOptions{})
			Expect(apierrors.IsBadRequest(err)).To(BeTrue(), "%s: %v", want, err)
			Expect(err).To(MatchError(ContainSubstring(want)))
		}

		By("events that are kept, or not there")
		placed, err := admin.Resource(peopleHolds).Create(ctx, legalHold(map[string]any{"correlationID": trail, "reason": "case 121"}), metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		env.Track(placed.GetName())
		nobodys := uuid.Must(uuid.NewV7()).String()
		_, err = admin.Resource(peopleErasures).Create(ctx, auditObject("Erasure", map[string]any{"eventIDs": append(ids, nobodys), "reason": "why"}), metav1.CreateOptions{})
		Expect(apierrors.IsConflict(err)).To(BeTrue(), "%v", err)
		var causes []string
		for _, cause := range refusalOf(err).Details.Causes {
			causes = append(causes, cause.Field+" "+cause.Message)
		}
		Expect(causes).To(ConsistOf(
			SatisfyAll(HavePrefix(ids[0].(string)), ContainSubstring(placed.GetName())),
			nobodys+" is not stored",
		))
		page, err := admin.Resource(peoplePreviews).Create(ctx, auditObject("ErasurePreview", map[string]any{"filter": map[string]any{"correlation_id": trail}}), metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(page.Object["status"]).To(HaveKeyWithValue("held", ConsistOf(HaveKeyWithValue("holdID", placed.GetName()))))

		for _, nobody := range []string{uuid.NewString(), uuid.Nil.String()} {
			_, err = admin.Resource(peopleErasures).Get(ctx, nobody, metav1.GetOptions{})
			Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%v", err)
		}
	}, SpecTimeout(specTimeout))
})

// refusalOf is the status that the API server answered.
func refusalOf(err error) metav1.Status {
	GinkgoHelper()
	var answered *apierrors.StatusError
	Expect(err).To(BeAssignableToTypeOf(answered))
	answered = err.(*apierrors.StatusError) //nolint:errorlint,forcetypeassert // one line above
	return answered.ErrStatus
}
