package alerts_test

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/prometheus/rules"
	"go.uber.org/zap"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/lifecycle"
	"kubernaut.ai/pkg/audit"
	datastorage "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/testenv"
)

// dated is the body of a request that records events whose ids have a time; each change is
// applied to all of them.
func dated(at time.Time, events int, changes ...func(map[string]any)) []byte {
	GinkgoHelper()
	var all []map[string]any
	Expect(json.Unmarshal(batch(events, ""), &all)).To(Succeed())
	for _, one := range all {
		one["event_id"] = audit.DerivedID(at, one["correlation_id"].(string))
		for _, change := range changes {
			change(one)
		}
	}
	body, err := json.Marshal(all)
	Expect(err).NotTo(HaveOccurred())
	return body
}

// maintenance starts what maintains the tables of the site's DataStorage.
func (s *siteState) maintenance(ctx context.Context, change ...func(*datastorage.MaintainOptions)) *service {
	GinkgoHelper()
	s.workload(ctx, maintenanceName)
	options := datastorage.MaintainOptions{DatabaseURL: s.database, ManagementListen: anyPort, Clock: s.clock()}
	for _, c := range change {
		c(&options)
	}
	return s.serve(ctx, maintenanceName, func(log *zap.Logger) lifecycle.App {
		options.Log = log
		m, err := datastorage.NewMaintainer(options)
		Expect(err).NotTo(HaveOccurred())
		return m
	}, func(a lifecycle.App, one *service) { one.management = a.(*datastorage.Maintainer).ManagementURL() })
}

// rarely lets maintenance run once in a while.
func rarely(o *datastorage.MaintainOptions) { o.Every = 2 * time.Hour }

// says waits until the log of a service has what a pattern means. A run that does something logs it at its end.
func says(ctx context.Context, one *service, pattern string) {
	GinkgoHelper()
	Eventually(ctx, func() string { return string(one.log.text()) }).WithTimeout(patience).Should(MatchRegexp(pattern))
}

// erase asks for the erasure of the events of a batch, and returns its id.
func erase(ctx context.Context, store *service, body []byte) string {
	GinkgoHelper()
	var events []struct {
		ID string `json:"event_id"`
	}
	Expect(json.Unmarshal(body, &events)).To(Succeed())
	ids := make([]string, 0, len(events))
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	erasure := audit.DerivedID(time.Now(), testenv.Unique("erasure-*")).String()
	text, err := json.Marshal(map[string]any{"erasure_id": erasure, "event_ids": ids, "reason": "a request"})
	Expect(err).NotTo(HaveOccurred())
	Expect(post(ctx, store, "/api/v1/audit/erasures", "", text)).To(Equal(http.StatusAccepted))
	return erasure
}

var _ = Describe("DataStorage's trail:", func() {
	// recorder starts a DataStorage that knows who records.
	recorder := func(ctx context.Context, s *siteState) *service {
		GinkgoHelper()
		tokens := file(tokenLine("shop", "of-shop", "rights=read,write", "types=*"))
		return s.store(ctx, func(o *datastorage.Options) { o.Auth = auth.Flags{Mode: auth.ModeTokenFile, File: tokens} })
	}
	database := func(s *siteState) map[string]string { return map[string]string{"$DATABASE_URL": s.database} }

	causes("KubernautClockAhead", func(ctx SpecContext) {
		s := site(ctx)
		store := recorder(ctx, s)
		m := watch(ctx, s, "KubernautClockAhead")
		m.pass(ctx, time.Minute)
		ahead := func(e map[string]any) { e["event_timestamp"] = time.Now().Add(time.Hour) }
		Expect(recordAs(ctx, store, "of-shop", dated(time.Now(), 1, ahead))).To(Equal(http.StatusCreated))
		a := m.fires(ctx, "KubernautClockAhead")
		Expect(a.Annotations.Get("summary")).To(Equal("The clock of shop is more than five minutes ahead"))
		(&reader{site: s, about: store, values: database(s)}).looks(ctx, a, MatchRegexp(`shop *\| .*\| (01:00|00:59)`))
		m.ends(ctx, "KubernautClockAhead")
	})

	causes("KubernautEventsMisdated", func(ctx SpecContext) {
		const requests, events = 3, 9000
		s := site(ctx)
		store := recorder(ctx, s)
		m := watch(ctx, s, "KubernautEventsMisdated")
		m.pass(ctx, time.Minute)
		for range requests {
			Expect(recordAs(ctx, store, "of-shop", dated(time.Now().AddDate(-3, 0, 0), events))).To(Equal(http.StatusCreated))
		}
		a := m.fires(ctx, "KubernautEventsMisdated")
		Expect(a.Annotations.Get("summary")).To(Equal("shop recorded 27k events in six hours whose ids lie far from now"))
		(&reader{site: s, about: store, values: database(s)}).looks(ctx, a, MatchRegexp(`shop *\| .*\| +27000`))
		const reach = 5 * time.Hour // of its range, beyond what ends waits for
		m.every = seldom
		m.pass(ctx, reach)
		m.ends(ctx, "KubernautEventsMisdated")
	})

	causes("KubernautEventIDsTaken", func(ctx SpecContext) {
		s := site(ctx)
		store := recorder(ctx, s)
		m := watch(ctx, s, "KubernautEventIDsTaken")
		m.pass(ctx, time.Minute)
		first := dated(time.Now(), 1)
		var second []map[string]any
		Expect(json.Unmarshal(first, &second)).To(Succeed())
		second[0]["event_action"] = "another"
		other, err := json.Marshal(second)
		Expect(err).NotTo(HaveOccurred())
		for _, body := range [][]byte{first, other} {
			Expect(recordAs(ctx, store, "of-shop", body)).To(Equal(http.StatusCreated))
		}
		a := m.fires(ctx, "KubernautEventIDsTaken")
		(&reader{site: s, about: store, values: database(s)}).looks(ctx, a, ContainSubstring(second[0]["event_id"].(string)))
		m.ends(ctx, "KubernautEventIDsTaken")
	})

	causes("KubernautMaintenanceStalls", func(ctx SpecContext) {
		s := site(ctx)
		s.store(ctx, nil)
		m := watch(ctx, s, "KubernautMaintenanceStalls")
		a := m.fires(ctx, "KubernautMaintenanceStalls")
		Expect(a.Labels.Get("namespace")).To(Equal(s.namespace), "nobody runs it")
		runs := s.maintenance(ctx, rarely)
		m.ends(ctx, "KubernautMaintenanceStalls")

		By("keeping a table locked, for less than three intervals")
		release := lock(ctx, s, "audit_batches")
		m.every = seldom
		m.pass(ctx, 5*time.Hour)
		Expect(m.about("KubernautMaintenanceStalls", rules.StatePending, rules.StateFiring)).To(BeEmpty())

		By("keeping it locked")
		a = m.fires(ctx, "KubernautMaintenanceStalls")
		says(ctx, runs, "maintenance fails")
		(&reader{site: s, about: runs, values: database(s)}).looks(ctx, a, SatisfyAll(
			ContainSubstring("maintenance fails"), ContainSubstring("lock timeout"), ContainSubstring("idle in transaction")))
		release(ctx)
		m.ends(ctx, "KubernautMaintenanceStalls")
		Expect(string(runs.log.text())).To(ContainSubstring("maintenance works again"))
	})

	causes("KubernautErasuresWait", func(ctx SpecContext) {
		s := site(ctx)
		store := s.store(ctx, nil)
		m := watch(ctx, s, "KubernautErasuresWait")
		m.pass(ctx, time.Minute)
		erased := dated(time.Now(), 1)
		Expect(record(ctx, store, erased)).To(Equal(http.StatusCreated))
		erasure := erase(ctx, store, erased)

		By("letting nobody carry it out")
		a := m.fires(ctx, "KubernautErasuresWait")
		Expect(a.Annotations.Get("summary")).To(MatchRegexp(`^An erasure was asked for \S+.* ago, and nobody has carried it out$`))
		runs := s.maintenance(ctx)
		m.ends(ctx, "KubernautErasuresWait")
		says(ctx, runs, "erasure finished.*"+erasure)

		By("letting each run fail")
		again := dated(time.Now(), 1)
		Expect(record(ctx, store, again)).To(Equal(http.StatusCreated))
		release := lock(ctx, s, "audit_erasures")
		erasure = erase(ctx, store, again)
		a = m.fires(ctx, "KubernautErasuresWait")
		says(ctx, runs, "maintenance fails")
		(&reader{site: s, about: runs, values: database(s)}).looks(ctx, a, SatisfyAll(
			ContainSubstring(erasure), ContainSubstring("maintenance fails"), ContainSubstring("lock timeout"), ContainSubstring("idle in transaction")))
		release(ctx)
		m.ends(ctx, "KubernautErasuresWait")
		says(ctx, runs, "maintenance works again")
		says(ctx, runs, "erasure finished.*"+erasure)
	})
})
