//go:build integration

package integration_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
	"kubernaut.ai/pkg/audit/httpsink"
	"kubernaut.ai/test/middlebox"
)

// bodyLimit is what the proxy of these specs takes, in bytes; batches of a store are larger.
const bodyLimit = 64 << 10

// proxied starts a proxy in front of the suite's DataStorage.
func proxied(ctx context.Context, rules middlebox.Rules) *middlebox.Proxy {
	GinkgoHelper()
	proxy, err := middlebox.New(ctx, env.DataStorage.URL)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) { Expect(proxy.Close(ctx)).To(Succeed()) })
	Expect(proxy.Start(ctx, rules)).To(Succeed())
	return proxy
}

// recordingThrough makes a store that writes to DataStorage through a proxy.
func recordingThrough(proxy *middlebox.Proxy, options ...audit.Option) (*audit.Store, *audittest.Hooks, *prometheus.Registry) {
	GinkgoHelper()
	sink, err := httpsink.New(proxy.URL)
	Expect(err).NotTo(HaveOccurred())
	hooks, registry := audittest.NewHooks(), prometheus.NewRegistry()
	store, err := audit.New(sink, append([]audit.Option{audit.WithHook(hooks.Reached), audit.WithRegisterer(registry)}, options...)...)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) { Expect(store.Close(ctx)).To(Succeed()) })
	return store, hooks, registry
}

// filled is an event whose data takes so many bytes, compressed or not.
func filled(correlationID string, size int) *audit.Event {
	random := make([]byte, size)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	e := audittest.NewEvent("gateway.test.received", correlationID)
	e.Data = fmt.Appendf(nil, `{"fill":%q}`, hex.EncodeToString(random))
	return e
}

// gaugeOf is a gauge's value; labels are given by their values.
func gaugeOf(registry *prometheus.Registry, name string, labels ...string) float64 {
	GinkgoHelper()
	families, err := registry.Gather()
	Expect(err).NotTo(HaveOccurred())
	for _, family := range families {
		for _, m := range family.GetMetric() {
			values := make([]string, 0, len(labels))
			for _, label := range m.GetLabel() {
				values = append(values, label.GetValue())
			}
			if family.GetName() == name && fmt.Sprint(values) == fmt.Sprint(labels) {
				return m.GetGauge().GetValue()
			}
		}
	}
	Fail("no metric " + name)
	return 0
}

var _ = Describe("field C1", func() {
	It("field C1: batches above a proxy's limit are halved until they pass, and the limit is remembered", func(ctx SpecContext) {
		proxy := proxied(ctx, middlebox.Rules{Frontend: []string{middlebox.BodyLimit(bodyLimit)}})
		store, hooks, registry := recordingThrough(proxy)
		id := env.CorrelationID()
		const events = 400
		for range events {
			Expect(store.Record(ctx, filled(id, 1<<10))).To(Succeed())
		}
		_, err := store.Flush(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(audited(ctx, id)).To(HaveLen(events))
		limit := gaugeOf(registry, "audit_batch_limit_bytes")
		Expect(limit).To(BeNumerically(">", 0))

		written, stored := hooks.Count(audit.HookWriting), hooks.Count(audit.HookStored)
		for range events {
			Expect(store.Record(ctx, filled(id, 1<<10))).To(Succeed())
		}
		_, err = store.Flush(ctx)
		Expect(err).NotTo(HaveOccurred())
		// A batch that fills the limit may be larger as it is sent than the one that passed.
		Expect(hooks.Count(audit.HookWriting)-written).To(BeNumerically("<=", hooks.Count(audit.HookStored)-stored+1), "batches are not refused again")
		Expect(audited(ctx, id)).To(HaveLen(2 * events))
	}, SpecTimeout(specTimeout))

	It("field C1: an event above the limit stays pending and is named, others go on, and it is stored once the proxy lets it pass", func(ctx SpecContext) {
		proxy := proxied(ctx, middlebox.Rules{Frontend: []string{middlebox.BodyLimit(bodyLimit)}})
		store, hooks, registry := recordingThrough(proxy)
		id, other := env.CorrelationID(), env.CorrelationID()
		large := filled(id, 100<<10)
		large.ID = newEventID()
		stalled := hooks.Next(audit.HookStalled)
		Expect(store.Record(ctx, filled(id, 1))).To(Succeed())
		Expect(store.Record(ctx, large)).To(Succeed())
		Expect(store.Record(ctx, filled(id, 1))).To(Succeed())
		Expect(store.Record(ctx, filled(other, 1))).To(Succeed())
		Expect(stalled(ctx)).To(Succeed())
		_, err := store.FlushFor(ctx, other)
		Expect(err).NotTo(HaveOccurred())

		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, err = store.FlushFor(ended, id)
		var failure *audit.FlushError
		Expect(errors.As(err, &failure)).To(BeTrue(), "%v", err)
		Expect(failure.Rejected).To(BeEmpty())
		Expect(failure.Stalled).To(ConsistOf(SatisfyAll(
			HaveField("ID", large.ID), HaveField("Code", audit.StalledTooLarge), HaveField("Reason", ContainSubstring("413")))))
		Expect(gaugeOf(registry, "audit_stalled_events", audit.StalledTooLarge)).To(Equal(1.0))

		Expect(proxy.Start(ctx, middlebox.Rules{})).To(Succeed())
		_, err = store.Flush(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(audited(ctx, id)).To(HaveLen(3))
		Expect(audited(ctx, other)).To(HaveLen(1))
		Expect(gaugeOf(registry, "audit_stalled_events", audit.StalledTooLarge)).To(BeZero())
	}, SpecTimeout(specTimeout))

	It("field C1: every answer of a proxy in DataStorage's place keeps the events, which are stored once", func(ctx SpecContext) {
		proxy := proxied(ctx, middlebox.Rules{})
		store, hooks, _ := recordingThrough(proxy, audit.WithBackoff(10*time.Millisecond, 100*time.Millisecond))
		id := env.CorrelationID()
		sent := 0
		for _, rules := range []middlebox.Rules{
			{Frontend: []string{middlebox.Answer(200, "")}},
			{Frontend: []string{middlebox.Answer(400, "")}},
			{Frontend: []string{middlebox.Answer(403, "")}},
			{Frontend: []string{middlebox.Answer(404, "")}},
			{Frontend: []string{middlebox.Answer(502, "")}},
			{Frontend: []string{middlebox.Answer(530, "")}},
			{Frontend: []string{"http-request redirect location http://127.0.0.1:9/ code 307"}},
			{Frontend: []string{"http-request reject"}},
			{Backend: []string{"http-response deny deny_status 502"}},
			{Backend: []string{"tcp-response content close"}},
			{Frontend: []string{`http-request return status 201 content-type application/json string "{}"`}},
		} {
			Expect(proxy.Start(ctx, rules)).To(Succeed())
			failed := hooks.Next(audit.HookFailed)
			for range 5 {
				Expect(store.Record(ctx, filled(id, 100))).To(Succeed())
				sent++
			}
			Expect(failed(ctx)).To(Succeed())
		}
		Expect(proxy.Start(ctx, middlebox.Rules{})).To(Succeed())
		_, err := store.Flush(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(audited(ctx, id)).To(HaveLen(sent))
	}, SpecTimeout(specTimeout))
})
