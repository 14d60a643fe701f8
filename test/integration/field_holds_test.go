//go:build integration

package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/holds"
	"kubernaut.ai/cmd/kubernaut/requests"
	"kubernaut.ai/internal/cli"
)

// Specs about people who place and release legal holds.

var peopleHolds = schema.GroupVersionResource{Group: auditGroup, Version: "v1", Resource: "legalholds"}

// legalHold is the body of a request.
func legalHold(spec map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "audit.kubernaut.ai/v1", "kind": "LegalHold", "spec": spec}}
}

// releasing releases a hold as a person, who may give a reason.
func (p *person) releasing(ctx context.Context, id, query string) (code int, body string) {
	GinkgoHelper()
	client, err := rest.HTTPClientFor(p.config)
	Expect(err).NotTo(HaveOccurred())
	r, err := http.NewRequestWithContext(ctx, http.MethodDelete, p.config.Host+aggregatedRoot+"/legalholds/"+id+query, http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	return do(client, r)
}

// eventsAbout are the events about a hold or an erasure, oldest first.
func eventsAbout(ctx context.Context, id string) []datastorage.StoredEvent {
	GinkgoHelper()
	answer := storeCall(ctx, env.DataStorage.URL, http.MethodGet, storeEvents+"?order=asc&correlation_id="+id, nil, nil)
	return decoded[datastorage.EventPage](answer, http.StatusOK).Data
}

// holdCommand runs kubernaut hold.
func holdCommand(ctx context.Context, args ...string) (int, string) {
	root := cli.Group(&cobra.Command{Use: "kubernaut"})
	root.AddCommand(holds.Command("KUBERNAUT", requests.CompleteRequests))
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	code := cli.Execute(ctx, root, args, &out)
	GinkgoWriter.Printf("kubernaut %q: %d\n%s\n", args, code, &out)
	return code, out.String()
}

var _ = Describe("people and legal holds", func() {
	It("are recorded under the name that the API server vouches for", func(ctx SpecContext) {
		for what, who := range everyone(ctx) {
			By(what)
			held := env.CorrelationID()
			sent := legalHold(map[string]any{"correlationID": held, "reason": "case 114"})
			_, err := who.Resource(peopleHolds).Create(ctx, sent, metav1.CreateOptions{})
			Expect(apierrors.IsForbidden(err)).To(BeTrue(), "without a permission: %v", err)
			who.may(ctx, "legalholds", "create", "get", "list", "delete")

			made, err := who.Resource(peopleHolds).Create(ctx, sent, metav1.CreateOptions{})
			Expect(err).NotTo(HaveOccurred())
			id := made.GetName()
			env.Track(id)
			again := sent.DeepCopy()
			again.SetName(id)
			repeated, err := who.Resource(peopleHolds).Create(ctx, again, metav1.CreateOptions{})
			Expect(err).NotTo(HaveOccurred(), "a repeated request places nothing")
			Expect(repeated.Object).To(Equal(made.Object))
			read, err := who.Resource(peopleHolds).Get(ctx, id, metav1.GetOptions{})
			Expect(err).NotTo(HaveOccurred())
			Expect(read.Object).To(Equal(made.Object))
			list, err := who.Resource(peopleHolds).List(ctx, metav1.ListOptions{FieldSelector: "correlation_id=" + held})
			Expect(err).NotTo(HaveOccurred())
			Expect(list.Items).To(HaveExactElements(HaveField("Object", made.Object)))

			By(what + ": releasing it")
			code, body := who.releasing(ctx, id, "")
			Expect(code).To(Equal(http.StatusBadRequest), body)
			Expect(body).To(ContainSubstring("reason"))
			code, body = who.releasing(ctx, id, "?reason=settled&dryRun=All")
			Expect(code).To(Equal(http.StatusBadRequest), body)
			code, body = who.releasing(ctx, id, "?reason=settled")
			Expect(code).To(Equal(http.StatusOK), body)
			code, body = who.releasing(ctx, id, "?reason=settled")
			Expect(code).To(Equal(http.StatusNotFound), body)
			list, err = who.Resource(peopleHolds).List(ctx, metav1.ListOptions{FieldSelector: "correlation_id=" + held})
			Expect(err).NotTo(HaveOccurred())
			Expect(list.Items).To(BeEmpty())
			read, err = who.Resource(peopleHolds).Get(ctx, id, metav1.GetOptions{})
			Expect(err).NotTo(HaveOccurred(), "the record stays")
			Expect(read.Object["status"]).To(SatisfyAll(HaveKeyWithValue("placedBy", who.name), HaveKeyWithValue("releasedBy", who.name),
				HaveKeyWithValue("releaseReason", "settled")))

			events := eventsAbout(ctx, id)
			Expect(events).To(HaveLen(2))
			for i, eventType := range []string{"datastorage.legalhold.placed", "datastorage.legalhold.released"} {
				Expect(events[i].EventType).To(Equal(eventType))
				Expect(events[i].RecordedBy).To(HaveValue(Equal("kubernaut:datastorage")))
				Expect(events[i].ActorId).To(HaveValue(Equal(who.name)))
				expectUser(events[i].EventData, who)
			}
		}
	}, SpecTimeout(specTimeout))

	It("name what is wrong with a hold", func(ctx SpecContext) {
		admin := newPerson(env.Config, "kubernaut-admin", "")
		id := env.CorrelationID()
		named := legalHold(map[string]any{"correlationID": id, "reason": "why"})
		named.SetName("mine")
		for want, sent := range map[string]*unstructured.Unstructured{
			"spec.reason":        legalHold(map[string]any{"correlationID": id, "reason": " "}),
			"spec.correlationID": legalHold(map[string]any{"reason": "why"}),
			"spec.filter.actor":  legalHold(map[string]any{"filter": map[string]any{"actor": "ada"}, "reason": "why"}),
			"metadata.name":      named,
		} {
			_, err := admin.Resource(peopleHolds).Create(ctx, sent, metav1.CreateOptions{})
			Expect(apierrors.IsBadRequest(err)).To(BeTrue(), "%s: %v", want, err)
			Expect(err).To(MatchError(ContainSubstring(want)))
		}
		_, err := admin.Resource(peopleHolds).List(ctx, metav1.ListOptions{FieldSelector: "correlation=" + id})
		Expect(apierrors.IsBadRequest(err)).To(BeTrue(), "%v", err)
		placed, err := admin.Resource(peopleHolds).Create(ctx, legalHold(map[string]any{"correlationID": id, "reason": "case 118"}), metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		env.Track(placed.GetName())
		for _, nobody := range []string{uuid.NewString(), uuid.Nil.String()} {
			_, err = admin.Resource(peopleHolds).Get(ctx, nobody, metav1.GetOptions{})
			Expect(apierrors.IsNotFound(err)).To(BeTrue(), "%v", err)
			code, body := admin.releasing(ctx, nobody, "?reason=settled")
			Expect(code).To(Equal(http.StatusNotFound), body)
		}
		kept, err := admin.Resource(peopleHolds).Get(ctx, placed.GetName(), metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(kept.Object).To(Equal(placed.Object), "no name of another hold releases this one")
	}, SpecTimeout(specTimeout))

	It("place, list and release holds with kubernaut hold", func(ctx SpecContext) {
		user := newCommandUser(ctx)
		run := func(args ...string) (int, string) {
			return holdCommand(ctx, append(append([]string{"hold"}, args...), "--kubeconfig", user.kubeconfig)...)
		}
		held := env.CorrelationID()
		code, out := run("place", held, "--reason", "case 114")
		Expect(code).To(Equal(cli.ExitFailed), out)
		Expect(out).To(SatisfyAll(ContainSubstring(user.name), ContainSubstring(`cannot create resource "legalholds"`),
			ContainSubstring("can grant create on legalholds.audit.kubernaut.ai")))
		code, out = run("list")
		Expect(code).To(Equal(cli.ExitFailed), out)
		Expect(out).To(SatisfyAll(ContainSubstring(`cannot list resource "legalholds"`), ContainSubstring("can grant list on legalholds.audit.kubernaut.ai")))
		user.may(ctx, "legalholds", "create", "get", "list", "delete")
		code, out = run("place", "--filter", "event_outcome=maybe", "--reason", "case 114")
		Expect(code).To(Equal(cli.ExitFailed), out)
		Expect(out).To(ContainSubstring("must be success, failure or pending"))

		id, other := uuid.NewString(), uuid.NewString()
		env.Track(id)
		env.Track(other)
		for range 2 { // a command that is repeated places one hold
			code, out = run("place", held, "--reason", "case 114", "--id", id)
			Expect(code).To(Equal(cli.ExitOK), out)
			Expect(out).To(Equal("hold " + id + " placed on " + held + " by " + user.name + "\n"))
		}
		code, out = run("place", "--filter", "correlation_id="+held, "--filter", "actor_id=a, b", "--reason", "case 115", "--id", other)
		Expect(code).To(Equal(cli.ExitOK), out)

		code, out = run("list", held)
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(out).To(SatisfyAll(HavePrefix("ID"), ContainSubstring(id), ContainSubstring(user.name), ContainSubstring("case 114"), Not(ContainSubstring(other))))
		code, out = run("list", other, "-o", "json")
		Expect(code).To(Equal(cli.ExitOK), out)
		var listed datastorage.LegalHoldList
		Expect(json.Unmarshal([]byte(out), &listed)).To(Succeed())
		Expect(listed.LegalHolds).To(HaveLen(1))
		Expect(listed.LegalHolds[0].Filter).To(Equal(datastorage.EventFilter{"correlation_id": held, "actor_id": "a, b"}))
		Expect(listed.LegalHolds[0].PlacedBy).To(Equal(user.name))

		code, out = holdCommand(ctx, cobra.ShellCompRequestCmd, "hold", "release", "--kubeconfig", user.kubeconfig, held[:len(held)-1])
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(strings.Split(out, "\n")).To(ContainElement(held))

		code, out = run("release", held)
		Expect(code).To(Equal(cli.ExitUsage), out)
		Expect(out).To(ContainSubstring("--reason is required"))
		code, out = run("release", held, "--reason", "settled")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(out).To(Equal("hold " + id + " on " + held + " released by " + user.name + "\n"))
		code, out = run("release", held, "--reason", "settled")
		Expect(code).To(Equal(cli.ExitFailed), out)
		Expect(out).To(ContainSubstring("kubernaut hold list"))
		code, out = run("release", other, "--reason", "settled")
		Expect(code).To(Equal(cli.ExitOK), out)

		code, out = run("list", id, "--released", "-o", "yaml")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(yaml.Unmarshal([]byte(out), &listed)).To(Succeed())
		Expect(listed.LegalHolds).To(HaveExactElements(HaveField("ReleaseReason", "settled")))
		Expect(eventsAbout(ctx, id)).To(HaveEach(HaveField("ActorId", HaveValue(Equal(user.name)))))
	}, SpecTimeout(specTimeout))

	It("read lists of holds in pages", func(ctx SpecContext) {
		user := newCommandUser(ctx)
		user.may(ctx, "legalholds", "create", "get", "list", "delete")
		held := env.CorrelationID()
		run := func(args ...string) (int, string) {
			return holdCommand(ctx, append(append([]string{"hold"}, args...), "--kubeconfig", user.kubeconfig)...)
		}
		var placed []string
		for range 5 {
			id := uuid.NewString()
			env.Track(id)
			placed = append([]string{id}, placed...) // lists have the newest first
			code, out := run("place", held, "--reason", "case 119", "--id", id)
			Expect(code).To(Equal(cli.ExitOK), out)
		}
		admin := newPerson(env.Config, "kubernaut-admin", "")
		var read []string
		options := metav1.ListOptions{FieldSelector: "correlation_id=" + held, Limit: 2}
		for pages := 1; ; pages++ {
			page, err := admin.Resource(peopleHolds).List(ctx, options)
			Expect(err).NotTo(HaveOccurred())
			for _, item := range page.Items {
				read = append(read, item.GetName())
			}
			if options.Continue = page.GetContinue(); options.Continue == "" {
				Expect(pages).To(Equal(3))
				break
			}
		}
		Expect(read).To(Equal(placed))
		options.FieldSelector, options.Continue = "correlation_id="+held+"x", "abc"
		_, err := admin.Resource(peopleHolds).List(ctx, options)
		Expect(apierrors.IsBadRequest(err)).To(BeTrue(), "%v", err)

		code, out := run("list", held, "--chunk-size", "2", "-o", "json")
		Expect(code).To(Equal(cli.ExitOK), out)
		var listed datastorage.LegalHoldList
		Expect(json.Unmarshal([]byte(out), &listed)).To(Succeed())
		Expect(listed.LegalHolds).To(HaveLen(5))
		code, out = run("release", held, "--reason", "settled")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(strings.Count(out, "released by "+user.name)).To(Equal(5))
	}, SpecTimeout(specTimeout))

	It("need no API server with a token", func(ctx SpecContext) {
		machine := newAccount(ctx, "holder")
		machine.mayIn(ctx, env.People.Namespace, auditGroup, "legalholds", nil, "create", "list", "delete")
		bundle, err := env.People.Authorities.ServerBundle()
		Expect(err).NotTo(HaveOccurred())
		authority := filepath.Join(GinkgoT().TempDir(), "ca.crt")
		Expect(os.WriteFile(authority, bundle, 0o600)).To(Succeed())
		run := func(args ...string) (int, string) {
			return holdCommand(ctx, append(append([]string{"hold"}, args...), "--datastorage-url", env.People.URL,
				"--datastorage-ca-file", authority, "--datastorage-token-file", machine.tokenFile(ctx))...)
		}
		held := env.CorrelationID()
		code, out := run("place", held, "--reason", "case 116")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(out).To(HaveSuffix(" placed on " + held + " by " + machine.user() + "\n"))
		id := strings.Fields(out)[1]
		env.Track(id)
		code, out = run("list", held, "-o", "yaml")
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(out).To(ContainSubstring(id))
		code, out = run("release", id, "--reason", "settled")
		Expect(code).To(Equal(cli.ExitOK), out)
		code, out = run("list", held)
		Expect(code).To(Equal(cli.ExitOK), out)
		Expect(out).To(Equal("no holds\n"))
		code, out = run("release", id, "--reason", "settled")
		Expect(code).To(Equal(cli.ExitFailed), out)
	}, SpecTimeout(specTimeout))
})
