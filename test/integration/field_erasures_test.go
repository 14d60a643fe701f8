//go:build integration

package integration_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"

	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/erasures"
	"kubernaut.ai/internal/cli"
	datastorageapp "kubernaut.ai/services/datastorage/app"
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
			var names []string
			for page := (metav1.ListOptions{Limit: 1}); ; {
				list, err := who.Resource(peopleErasures).List(ctx, page)
				Expect(err).NotTo(HaveOccurred())
				Expect(len(list.Items)).To(BeNumerically("<=", 1))
				for _, item := range list.Items {
					names = append(names, item.GetName())
				}
				if page.Continue = list.GetContinue(); page.Continue == "" {
					break
				}
			}
			Expect(names).To(ContainElement(id))

			events := eventsAbout(ctx, id)
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
		answered := refusalOf(err).Details.Causes
		causes := make([]string, 0, len(answered))
		for _, cause := range answered {
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
	answered = err.(*apierrors.StatusError) //nolint:errorlint // one line above
	return answered.ErrStatus
}

// erasureCommand runs kubernaut erasure with standard input.
func erasureCommand(ctx context.Context, in string, args ...string) (code int, out, notes string) {
	root := cli.Group(&cobra.Command{Use: "kubernaut"})
	root.AddCommand(erasures.Command("KUBERNAUT"))
	var stdout, stderr bytes.Buffer
	root.SetIn(strings.NewReader(in))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	code = cli.Execute(ctx, root, append([]string{"erasure"}, args...), &stderr)
	GinkgoWriter.Printf("kubernaut erasure %q: %d\n%s%s\n", args, code, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

var _ = Describe("kubernaut erasure", func() {
	It("finds events, asks for their erasure, and tells what became of it", func(ctx SpecContext) {
		own := ownStore(ctx, nil)
		maintainer, err := datastorageapp.NewMaintainer(datastorageapp.MaintainOptions{DatabaseURL: own.DatabaseURL()})
		Expect(err).NotTo(HaveOccurred())
		run := func(in string, args ...string) (int, string, string) {
			return erasureCommand(ctx, in, append(args, "--datastorage-url", own.URL)...)
		}
		trail := env.CorrelationID()
		first := anEvent(trail, fields{"actor_id": "alice"})
		second := anEvent(trail, fields{"actor_id": "bob"})
		for _, e := range []fields{first, second} {
			decoded[datastorage.EventCreated](storeJSON(ctx, own.URL, storeEvents, e), http.StatusCreated)
		}
		code, ids, notes := run("", "preview", "--filter", "correlation_id="+trail)
		Expect(code).To(Equal(cli.ExitOK), notes)
		Expect(strings.Fields(ids)).To(ConsistOf(wireIDs(first, second)))
		Expect(notes).To(Equal("2 events can be erased, 0 are held\n"))

		By("a hold that was placed between the two steps")
		placed := decoded[datastorage.LegalHold](storeJSON(ctx, own.URL, "/api/v1/audit/legal-hold", fields{"filter": fields{"correlation_id": trail, "actor_id": "alice"}, "reason": "case 122"}), http.StatusCreated)
		code, _, notes = run(ids, "request", "-", "--reason", "request 9 of a customer")
		Expect(code).To(Equal(cli.ExitFailed))
		Expect(notes).To(ContainSubstring("legal hold " + placed.HoldId.String() + " keeps event " + wireIDs(first)[0]))
		code, ids, notes = run("", "preview", "--filter", "correlation_id="+trail)
		Expect(code).To(Equal(cli.ExitOK), notes)
		Expect(strings.Fields(ids)).To(Equal(wireIDs(second)))
		Expect(notes).To(ContainSubstring("is kept by legal hold " + placed.HoldId.String()))

		By("asking for the other")
		id := uuid.NewString()
		for range 2 { // a command that is repeated asks once
			code, out, notes := run(ids+ids, "request", "-", "--reason", "request 9 of a customer", "--id", id, "--wait", "1s")
			Expect(code).To(Equal(cli.ExitOK), notes)
			Expect(out).To(Equal("erasure " + id + ": 1 events, requested, wait for datastorage maintain\n"))
		}
		_, err = maintainer.Once(ctx)
		Expect(err).NotTo(HaveOccurred())
		code, out, notes := run("", "show", id)
		Expect(code).To(Equal(cli.ExitOK), notes)
		Expect(out).To(Equal("erasure " + id + ": 1 of 1 events erased, requested\n"))
		code, out, notes = run("", "list", "-o", "yaml")
		Expect(code).To(Equal(cli.ExitOK), notes)
		Expect(out).To(SatisfyAll(ContainSubstring(id), ContainSubstring("status: erased")))
		code, ids, notes = run("", "preview", "--filter", "correlation_id="+trail)
		Expect(code).To(Equal(cli.ExitOK), notes)
		Expect(ids).To(BeEmpty(), "one is held, the other erased")
	}, SpecTimeout(specTimeout))

	It("acts through the API server under the name of the person", func(ctx SpecContext) {
		user := newCommandUser(ctx)
		run := func(args ...string) (int, string, string) {
			return erasureCommand(ctx, "", append(args, "--kubeconfig", user.kubeconfig)...)
		}
		trail := env.CorrelationID()
		ids := stored(ctx, trail, 1)
		code, _, notes := run("preview", "--filter", "correlation_id="+trail)
		Expect(code).To(Equal(cli.ExitFailed))
		Expect(notes).To(ContainSubstring("can grant create on erasurepreviews.audit.kubernaut.ai"))
		user.may(ctx, "erasurepreviews", "create")
		user.may(ctx, "erasures", "create", "get", "list")
		code, out, notes := run("preview", "--filter", "correlation_id="+trail)
		Expect(code).To(Equal(cli.ExitOK), notes)
		Expect(out).To(Equal(ids[0].(string) + "\n"))
		code, out, notes = run("request", ids[0].(string), "--reason", "request 10 of a customer", "--wait", "1s")
		Expect(code).To(Equal(cli.ExitOK), notes)
		Expect(out).To(SatisfyAll(HavePrefix("erasure "), ContainSubstring("1 events, requested by "+user.name)))
		id := strings.TrimSuffix(strings.Fields(out)[1], ":")
		env.Track(id)
		code, out, notes = run("list")
		Expect(code).To(Equal(cli.ExitOK), notes)
		Expect(out).To(SatisfyAll(HavePrefix("ID"), ContainSubstring(id), ContainSubstring(user.name)))
		code, out, notes = run("show", id, "-o", "json")
		Expect(code).To(Equal(cli.ExitOK), notes)
		Expect(out).To(SatisfyAll(ContainSubstring(ids[0].(string)), ContainSubstring("request 10 of a customer")))
	}, SpecTimeout(specTimeout))

	It("says what is wrong", func(ctx SpecContext) {
		nobody := []string{"--datastorage-url", "http://127.0.0.1:1"}
		for want, args := range map[string][]string{
			"--filter is required":            {"preview"},
			"NAME=VALUE":                      {"preview", "--filter", "actor=alice"},
			"is given twice":                  {"preview", "--filter", "actor_id=a", "--filter", "actor_id=b"},
			"--reason is required":            {"request", uuid.NewString()},
			"needs ids of events":             {"request", "-", "--reason", "why"},
			`"one" is not the id`:             {"request", "one", "--reason", "why"},
			"takes one id of an erasure":      {"show", "one"},
			"want an id, a UUID":              {"request", uuid.NewString(), "--reason", "why", "--id", "mine"},
			`takes no arguments, got ["one"]`: {"list", "one"},
		} {
			code, _, notes := erasureCommand(ctx, "", append(args, nobody...)...)
			Expect(code).To(Equal(cli.ExitUsage), "%q: %s", args, notes)
			Expect(notes).To(ContainSubstring(want))
		}
	}, SpecTimeout(specTimeout))
})
