//go:build integration

package integration_test

import (
	"context"
	"errors"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/httpsink"
	"kubernaut.ai/pkg/audit/spool"
	datastorageapp "kubernaut.ai/services/datastorage/app"
)

var _ = Describe("a store without a permission", func() {
	It("field C12: sends what it may, keeps and names the rest with the missing permission, and sends it once that is granted", func(ctx SpecContext) {
		storage := ownStore(ctx, func(o *datastorageapp.Options) { o.Auth, o.RESTConfig = byCluster(), env.Config })
		shop, auditor := newAccount(ctx, "shop"), newAccount(ctx, "auditor")
		shop.mayWrite(ctx, "shop")
		auditor.may(ctx, auditGroup, "events", "list")
		token, reads := shop.token(ctx), auditor.token(ctx)

		sink, err := httpsink.New(storage.URL, httpsink.WithTokenSource(func(context.Context) (string, error) { return token, nil }))
		Expect(err).NotTo(HaveOccurred())
		disk, err := spool.Open(GinkgoT().TempDir())
		Expect(err).NotTo(HaveOccurred())
		hooks := audittest.NewHooks()
		store, err := audit.New(sink, audit.WithHook(hooks.Reached), audit.WithSpool(disk), audit.WithDurability(audit.Spooled))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { Expect(store.Close(ctx)).To(Succeed()) })
		id, other := env.CorrelationID(), env.CorrelationID()
		for n := range 12 {
			e := audittest.NewEvent("shop.order.placed", id)
			if n%4 == 1 {
				e.Type = "billing.invoice.sent"
			}
			Expect(store.Record(ctx, e)).To(Succeed())
		}
		Expect(store.Record(ctx, audittest.NewEvent("shop.order.placed", other))).To(Succeed())
		_, err = store.FlushFor(ctx, other)
		Expect(err).NotTo(HaveOccurred())

		By("keeping those that it may not write")
		for {
			stalled := hooks.Next(audit.HookStalled)
			if hooks.Events(audit.HookStalled) == 3 {
				break
			}
			Expect(stalled(ctx)).To(Succeed())
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, err = store.FlushFor(ended, id)
		var failure *audit.FlushError
		Expect(errors.As(err, &failure)).To(BeTrue(), "%v", err)
		Expect(failure.Rejected).To(BeEmpty())
		Expect(failure.Stalled).To(HaveLen(3))
		Expect(failure.Stalled).To(HaveEach(SatisfyAll(
			HaveField("Type", "billing.invoice.sent"), HaveField("Code", audit.StalledForbidden), HaveField("Reason", ContainSubstring("events/billing")))))
		Expect(failure.Persisted()).To(BeTrue(), "%v", failure)

		By("sending them once they are granted")
		var role rbacv1.Role
		Expect(env.Get(ctx, client.ObjectKey{Namespace: env.Namespace, Name: shop.Name}, &role)).To(Succeed())
		role.Rules[0].ResourceNames = append(role.Rules[0].ResourceNames, "billing")
		Expect(env.Update(ctx, &role)).To(Succeed())
		shop.awaitPermissionOn(ctx, authorizationv1.ResourceAttributes{
			Namespace: env.Namespace, Group: auditGroup, Resource: "events", Verb: "create", Name: "billing",
		}, true)
		_, err = store.Flush(ctx)
		Expect(err).NotTo(HaveOccurred())
		answer := storeCall(ctx, storage.URL, http.MethodGet, storeEvents+"?order=asc&correlation_id="+id, bearing(reads), nil)
		trail := decoded[datastorage.EventPage](answer, http.StatusOK).Data
		Expect(trail).To(HaveLen(12))
		for n := range trail {
			want := "shop.order.placed"
			if n%4 == 1 {
				want = "billing.invoice.sent"
			}
			Expect(trail[n].EventType).To(Equal(want), "the order of acceptance, event %d", n)
		}
	}, SpecTimeout(specTimeout))
})
