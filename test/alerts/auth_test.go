package alerts_test

import (
	"net/http"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/tlsfiles"
	datastorage "kubernaut.ai/services/datastorage/app"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/alertmanager"
)

const storeEvents = "/api/v1/audit/events"

var _ = Describe("callers and certificates:", func() {
	causes("KubernautCallersRefused", func(ctx SpecContext) {
		s := site(ctx)
		flags := auth.Flags{Mode: auth.ModeTokenFile, File: file(tokenLine("auditor", "of-auditor", "rights=read"))}
		store := s.store(ctx, func(o *datastorage.Options) { o.Auth, o.Clock = flags, s.clock() })
		m := watch(ctx, s, "KubernautCallersRefused")
		m.pass(ctx, time.Minute)
		a := m.fires(ctx, "KubernautCallersRefused", func() {
			Expect(ask(ctx, http.MethodGet, store.url+storeEvents, "expired")).To(Equal(http.StatusUnauthorized))
		})
		r := reader{site: s, about: store}
		r.looks(ctx, a, SatisfyAll(ContainSubstring("caller refused"), ContainSubstring(`"status":401`), ContainSubstring("remedy")))
		m.ends(ctx, "KubernautCallersRefused", func() {
			Expect(ask(ctx, http.MethodGet, store.url+storeEvents, "of-auditor")).To(Equal(http.StatusOK))
		})
	})

	causes("KubernautTokenFileUnusable", func(ctx SpecContext) {
		s := site(ctx)
		good := tokenLine("monitoring", "of-monitoring", "namespaces=*")
		path := file(good)
		g := s.gateway(ctx, func(o *gateway.Options) {
			o.Auth, o.Clock = auth.Flags{Mode: auth.ModeTokenFile, File: path}, s.clock()
		})
		m := watch(ctx, s, "KubernautTokenFileUnusable")
		m.pass(ctx, time.Minute)
		rewrite(path, good+"garbage line\n")
		a := m.fires(ctx, "KubernautTokenFileUnusable")
		r := reader{site: s, about: g}
		r.looks(ctx, a, SatisfyAll(ContainSubstring("token file unusable"), ContainSubstring("line 2")))
		Expect(send(ctx, g, "of-monitoring", alertmanager.Firing, s.problem()).Code).To(BeElementOf(http.StatusCreated, http.StatusServiceUnavailable))
		rewrite(path, good)
		m.ends(ctx, "KubernautTokenFileUnusable")
		Expect(string(g.log.text())).To(ContainSubstring("token file usable again"))
	})

	causes("KubernautEventSchemasUnusable", func(ctx SpecContext) {
		s := site(ctx)
		dir := GinkgoT().TempDir()
		path := filepath.Join(dir, "shop.order.placed.json")
		Expect(os.WriteFile(path, []byte(`{"type":"object"}`), 0o600)).To(Succeed())
		store := s.store(ctx, func(o *datastorage.Options) { o.EventSchemas = dir })
		m := watch(ctx, s, "KubernautEventSchemasUnusable")
		m.pass(ctx, time.Minute)
		rewrite(path, `{"type":`)
		a := m.fires(ctx, "KubernautEventSchemasUnusable")
		(&reader{site: s, about: store}).looks(ctx, a, SatisfyAll(ContainSubstring("event schemas cannot be used"), ContainSubstring("shop.order.placed.json")))
		rewrite(path, `{"type":"object"}`)
		m.ends(ctx, "KubernautEventSchemasUnusable")
		Expect(string(store.log.text())).To(ContainSubstring("event schemas are in force"))
	})

	causes("KubernautSignalsForbidden", func(ctx SpecContext) {
		s := site(ctx)
		flags := auth.Flags{Mode: auth.ModeTokenFile, File: file(tokenLine("stranger", "of-stranger", "namespaces=elsewhere"))}
		g := s.gateway(ctx, func(o *gateway.Options) { o.Auth = flags })
		m := watch(ctx, s, "KubernautSignalsForbidden")
		m.pass(ctx, time.Minute)
		a := m.fires(ctx, "KubernautSignalsForbidden", func() {
			Expect(send(ctx, g, "of-stranger", alertmanager.Firing, s.problem()).Code).To(Equal(http.StatusForbidden))
		})
		(&reader{site: s, about: g}).looks(ctx, a, SatisfyAll(ContainSubstring("gateway_signals_forbidden_total"), ContainSubstring("gateway.signal.rejected")))
		m.ends(ctx, "KubernautSignalsForbidden")
	})

	causes("KubernautCertificateExpires", func(ctx SpecContext) {
		s := site(ctx)
		files := certificate(13 * 24 * time.Hour)
		store := s.store(ctx, func(o *datastorage.Options) { o.TLS, o.Clock = files, s.clock() })
		m := watch(ctx, s, "KubernautCertificateExpires")
		a := m.fires(ctx, "KubernautCertificateExpires")
		Expect(a.Annotations.Get("summary")).To(MatchRegexp(`^The server certificate of datastorage-0 for api expires in 12d`))
		s.secret(ctx, files)
		(&reader{site: s, about: store}).looks(ctx, a, SatisfyAll(ContainSubstring("datastorage-tls"), ContainSubstring("notAfter=")))
		renew(files, certificate(90*24*time.Hour))
		m.ends(ctx, "KubernautCertificateExpires")
	})

	causes("KubernautCertificateReloadFails", func(ctx SpecContext) {
		s := site(ctx)
		files := certificate(90 * 24 * time.Hour)
		store := s.store(ctx, func(o *datastorage.Options) { o.TLS, o.Clock = files, s.clock() })
		m := watch(ctx, s, "KubernautCertificateReloadFails")
		m.pass(ctx, time.Minute)
		s.secret(ctx, files)
		good, err := os.ReadFile(files.Cert)
		Expect(err).NotTo(HaveOccurred())
		rewrite(files.Cert, string(good[:len(good)/2]))
		a := m.fires(ctx, "KubernautCertificateReloadFails")
		(&reader{site: s, about: store}).looks(ctx, a, ContainSubstring("TLS files cannot be reloaded"))
		renew(files, certificate(90*24*time.Hour))
		m.ends(ctx, "KubernautCertificateReloadFails")
		Expect(string(store.log.text())).To(ContainSubstring("TLS files can be reloaded again"))
	})
})

// renew replaces the files of a certificate.
func renew(old, renewed tlsfiles.Flags) {
	GinkgoHelper()
	for from, to := range map[string]string{renewed.Key: old.Key, renewed.Cert: old.Cert} {
		text, err := os.ReadFile(from)
		Expect(err).NotTo(HaveOccurred())
		rewrite(to, string(text))
	}
}
