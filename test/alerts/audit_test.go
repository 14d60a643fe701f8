package alerts_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	flags "kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/spool"
	datastorage "kubernaut.ai/services/datastorage/app"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/testenv"
)

const (
	// smallSpool is the least that a spool may have.
	smallSpool = 32 << 20
	// largeEvent is the size of the data of an event that fills a spool.
	largeEvent = 900 << 10
	// flushed is the path of a flush that has time for a full spool, also with the race detector beside eleven other specs.
	flushed = "/audit/flush?timeout=2m"
)

var _ = Describe("the audit store:", func() {
	// away makes a site whose Gateway cannot reach its DataStorage, with a spool.
	away := func(ctx SpecContext, disk flags.Flags) (s *siteState, store, g *service) {
		GinkgoHelper()
		s = site(ctx)
		store = s.store(ctx, nil)
		store.stop()
		g = s.gateway(ctx, func(o *gateway.Options) { o.DataStorageURL, o.Spool, o.Clock = store.url, disk, s.clock() })
		return s, store, g
	}

	for alert, value := range map[string]string{
		"KubernautAuditSinkDown":      "cannot write audit events to DataStorage",
		"KubernautAuditEventsPending": "has an audit event pending for 20m",
	} {
		causes(alert, func(ctx SpecContext) {
			s, store, g := away(ctx, newSpool())
			Expect(send(ctx, g, "", alertmanager.Firing, s.problem()).Code).To(Equal(http.StatusCreated))
			m := watch(ctx, s, alert)
			a := m.fires(ctx, alert)
			Expect(a.Annotations.Get("summary")).To(ContainSubstring(value))
			(&reader{site: s, about: g}).looks(ctx, a, SatisfyAll(ContainSubstring("audit sink"), ContainSubstring("refused"), ContainSubstring(store.pod)))
			store.again(ctx)
			Expect(ask(ctx, http.MethodPost, g.management+flushed, "")).To(Equal(http.StatusOK))
			m.ends(ctx, alert)
		})
	}

	causes("KubernautAuditEventsStalled", func(ctx SpecContext) {
		s := site(ctx)
		tokens := file(tokenLine("gateway", "of-gateway", "rights=read,write", "types=shop"))
		now := s.clock()
		store := s.store(ctx, func(o *datastorage.Options) {
			o.Auth, o.Clock = auth.Flags{Mode: auth.ModeTokenFile, File: tokens}, now
		})
		own := file("of-gateway")
		g := s.gateway(ctx, func(o *gateway.Options) {
			o.DataStorageURL, o.DataStorageTokenFile, o.Spool = store.url, own, newSpool()
		})
		Expect(send(ctx, g, "", alertmanager.Firing, s.problem()).Code).To(Equal(http.StatusCreated))
		m := watch(ctx, s, "KubernautAuditEventsStalled")
		a := m.fires(ctx, "KubernautAuditEventsStalled")
		Expect(a.Annotations.Get("summary")).To(HaveSuffix("audit events that cannot be stored now (forbidden), others are"))
		(&reader{site: s, about: g}).looks(ctx, a, SatisfyAll(ContainSubstring("audit event is stalled"), ContainSubstring("gateway.signal.received")))
		rewrite(tokens, tokenLine("gateway", "of-gateway", "rights=read,write", "types=gateway"))
		now.Step(time.Minute)
		Expect(ask(ctx, http.MethodPost, g.management+flushed, "")).To(Equal(http.StatusOK))
		m.ends(ctx, "KubernautAuditEventsStalled")
	})

	causes("KubernautAuditSpoolFilling", func(ctx SpecContext) {
		s, store, g := away(ctx, filled(0.9))
		m := watch(ctx, s, "KubernautAuditSpoolFilling")
		a := m.fires(ctx, "KubernautAuditSpoolFilling")
		(&reader{site: s, about: g}).looks(ctx, a, SatisfyAll(ContainSubstring(g.pod), ContainSubstring("audit sink down")))
		store.again(ctx)
		Expect(ask(ctx, http.MethodPost, g.management+flushed, "")).To(Equal(http.StatusOK))
		m.ends(ctx, "KubernautAuditSpoolFilling")
	})

	for alert, shows := range map[string]string{
		"KubernautAuditSpoolFails":       "audit spool is full",
		"KubernautAuditRecordsRefused":   "audit spool is full",
		"KubernautGatewayRefusesSignals": "audit spool is full",
	} {
		causes(alert, func(ctx SpecContext) {
			s, store, g := away(ctx, filled(1))
			m := watch(ctx, s, alert)
			m.pass(ctx, time.Minute)
			a := m.fires(ctx, alert, func() {
				Expect(send(ctx, g, "", alertmanager.Firing, s.problem()).Code).To(Equal(http.StatusServiceUnavailable))
			})
			(&reader{site: s, about: g}).looks(ctx, a, ContainSubstring(shows))
			store.again(ctx)
			Expect(ask(ctx, http.MethodPost, g.management+flushed, "")).To(Equal(http.StatusOK))
			m.ends(ctx, alert, func() { s.signal(ctx) })
		})
	}

	causes("KubernautAuditEventsRejected", func(ctx SpecContext) {
		event := anEvent(map[string]string{"account": "secret"})
		event.Outcome = "unheard-of"
		s, g := recording(ctx, spooled(event))
		m := watch(ctx, s, "KubernautAuditEventsRejected")
		a := m.fires(ctx, "KubernautAuditEventsRejected")
		r := reader{site: s, about: g, values: map[string]string{"$EVENT_ID": event.ID.String()}}
		r.looks(ctx, a, SatisfyAll(ContainSubstring(event.ID.String()), ContainSubstring("event_outcome")))
		Expect(r.repairs(ctx, a, "quarantine show")).To(ContainSubstring(event.ID.String()))
		Expect(r.repairs(ctx, a, "stores acknowledge")).To(ContainSubstring("1 event settled"))
		m.ends(ctx, "KubernautAuditEventsRejected")
	})

	causes("KubernautAuditEventsLost", func(ctx SpecContext) {
		disk := spooled(anEvent("first"), anEvent("second"), anEvent("third"))
		damage(disk.Dir)
		s, g := recording(ctx, disk)
		m := watch(ctx, s, "KubernautAuditEventsLost")
		a := m.fires(ctx, "KubernautAuditEventsLost")
		r := reader{site: s, about: g}
		var id string
		r.looks(ctx, a, WithTransform(func(seen string) string {
			id = damagedID(seen)
			return seen
		}, ContainSubstring("audit.spool.damaged")))
		r.values = map[string]string{"$EVENT_ID": id}
		Expect(r.repairs(ctx, a, "stores acknowledge")).To(ContainSubstring("1 event settled"))
		m.ends(ctx, "KubernautAuditEventsLost")
	})
})

// recording makes a Gateway with a spool that records as a service account in the
// DataStorage of people, where acknowledgements are.
func recording(ctx context.Context, disk flags.Flags) (*siteState, *service) {
	GinkgoHelper()
	s := site(ctx)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "gateway"}}
	Expect(env.Create(ctx, account)).To(Succeed())
	s.account = account.Name
	user := "system:serviceaccount:" + account.Namespace + ":" + account.Name
	grantIn(ctx, env.People.Namespace, user, rule("audit.kubernaut.ai", []string{"*"}, "create", "get"))
	bundle, err := env.People.Authorities.ServerBundle()
	Expect(err).NotTo(HaveOccurred())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{datastorage.Audience}}}
	Expect(env.SubResource("token").Create(ctx, account, request)).To(Succeed())
	authority, token := file(string(bundle)), file(request.Status.Token)
	g := s.gateway(ctx, func(o *gateway.Options) {
		o.DataStorageURL, o.DataStorageCAFile, o.DataStorageTokenFile, o.Spool = env.People.URL, authority, token, disk
	})
	ask(ctx, http.MethodPost, g.management+flushed, "") // it reports what is rejected
	return s, g
}

// anEvent is an event that a Gateway may have recorded.
func anEvent(data any) audit.Event {
	GinkgoHelper()
	text, err := json.Marshal(data)
	Expect(err).NotTo(HaveOccurred())
	id := testenv.Unique("alerts-*")
	return audit.Event{
		ID: audit.DerivedID(time.Now(), id), Version: audit.SchemaVersion, Type: "gateway.signal.received", Category: "gateway",
		Action: "receive", Outcome: audit.OutcomeSuccess, CorrelationID: id, Data: text, Timestamp: time.Now(),
		Producer: audit.Producer{ID: id, Epoch: 1, Sequence: 1},
	}
}

// spooled is a spool that an earlier process has left.
func spooled(events ...audit.Event) flags.Flags {
	GinkgoHelper()
	disk := newSpool()
	opened, err := spool.Open(disk.Dir)
	Expect(err).NotTo(HaveOccurred())
	for i := range events {
		_, err = opened.Append(events[i:i+1], 0)
		Expect(err).NotTo(HaveOccurred())
	}
	Expect(opened.Close()).To(Succeed())
	return disk
}

// filled is a small spool that is filled to a part of its bound, at least.
func filled(part float64) flags.Flags {
	GinkgoHelper()
	var events []audit.Event
	for size := 0.0; size < part*smallSpool; size += largeEvent {
		random := make([]byte, largeEvent/2)
		_, _ = rand.Read(random) // never fails
		events = append(events, anEvent(map[string]string{"text": hex.EncodeToString(random)}))
	}
	disk := spooled(events...)
	disk.MaxBytes = smallSpool
	return disk
}

// damage changes a byte in the first record of a spool.
func damage(dir string) {
	GinkgoHelper()
	damaged := false
	Expect(filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || damaged {
			return err
		}
		text, err := os.ReadFile(path)
		if len(text) < largeHeader {
			return err
		}
		text[largeHeader] ^= 0xff
		damaged = true
		return errors.Join(err, os.WriteFile(path, text, 0o600))
	})).To(Succeed())
	Expect(damaged).To(BeTrue())
}

// largeHeader is within the first record, after the header of a spool's file.
const largeHeader = 200

var identifier = regexp.MustCompile(`[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// damagedID is the id of the entry about damage in the list of a quarantine.
func damagedID(list string) string {
	for line := range strings.Lines(list) {
		if strings.Contains(line, "audit.spool.damaged") {
			return identifier.FindString(line)
		}
	}
	return ""
}
