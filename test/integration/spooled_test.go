//go:build integration

package integration_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/lifecycle"
	gateway "kubernaut.ai/services/gateway/app"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	"kubernaut.ai/test/testenv"
)

// awayURL is where no DataStorage is.
func awayURL() string {
	GinkgoHelper()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	return server.URL
}

func newSpool() spool.Flags { return spool.Flags{Dir: filepath.Join(GinkgoT().TempDir(), "spool")} }

// soleGateway starts a Gateway for the process's namespace that the spec stops.
func soleGateway(ctx context.Context, change func(*gateway.Options)) (*gateway.App, *lifecycle.Running) {
	GinkgoHelper()
	options := gateway.Options{
		DataStorageURL: env.DataStorage.URL, Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0",
		RESTConfig: env.Config, Namespace: env.Namespace, WatchNamespaces: []string{env.Namespace}, Log: logger(),
	}
	change(&options)
	a, err := gateway.New(options)
	Expect(err).NotTo(HaveOccurred())
	running, err := lifecycle.Start(ctx, "Gateway", a)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = running.Stop() }) // the spec looks at what it says
	return a, running
}

var _ = Describe("a spool", func() {
	It("lets a Gateway stop in peace while DataStorage is away, and the next one store what it had answered", func(ctx SpecContext) {
		kept := newSpool()
		a, running := soleGateway(ctx, func(o *gateway.Options) {
			o.DataStorageURL, o.Spool = awayURL(), kept
		})
		answered := post(ctx, a.APIURL(), alertBody("firing", podAlert()))
		Expect(answered.Code).To(Equal(http.StatusCreated))
		Expect(running.Stop()).To(Succeed())

		next, _ := soleGateway(ctx, func(o *gateway.Options) { o.Spool = kept })
		trail := trailOf(ctx, answered.RemediationRequestName, next.ManagementURL())
		Expect(trail.Of(signalReceived)).To(HaveLen(1))
		Expect(trail.Of(requestCreated)).To(HaveLen(1))
	}, SpecTimeout(specTimeout))

	It("is what a Gateway without one lacks: it says what it has lost", func(ctx SpecContext) {
		a, running := soleGateway(ctx, func(o *gateway.Options) { o.DataStorageURL = awayURL() })
		Expect(post(ctx, a.APIURL(), alertBody("firing", podAlert())).Code).To(Equal(http.StatusCreated))
		Expect(running.Stop()).To(MatchError(ContainSubstring("2 lost, first gateway.signal.received")))
	}, SpecTimeout(specTimeout))

	It("lets a SignalProcessing stop in peace while DataStorage is away, and the next one store what its statuses show", func(ctx SpecContext) {
		kept := newSpool()
		rr := requestElsewhere(ctx)
		p := startProcessor(ctx, rr.Namespace, func(o *signalprocessing.Options) {
			o.DataStorageURL, o.Spool = awayURL(), kept
		})
		Expect(env.Create(ctx, rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationAwaitingApproval))).To(Succeed())
		p.stop(ctx)

		next := startProcessor(ctx, rr.Namespace, func(o *signalprocessing.Options) { o.Spool = kept })
		expectWholeTrail(trailOf(ctx, rr.Name, next.managementURL))
		next.stop(ctx)
	}, SpecTimeout(specTimeout))

	It("belongs to one Gateway at a time", func(ctx SpecContext) {
		kept := newSpool()
		soleGateway(ctx, func(o *gateway.Options) { o.Spool = kept })
		second, err := gateway.New(gateway.Options{
			DataStorageURL: env.DataStorage.URL, Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0",
			RESTConfig: env.Config, Namespace: env.Namespace, WatchNamespaces: []string{env.Namespace}, Spool: kept,
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(second.Run(ctx)).To(MatchError(SatisfyAll(ContainSubstring("--audit-spool"), ContainSubstring(kept.Dir), ContainSubstring("in use"))))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("the end of a Gateway", func() {
	It("takes no more signals first, stores its events then, and answers on the management port to the last", func(ctx SpecContext) {
		late := newLateStorage(ctx)
		a, running := soleGateway(ctx, func(o *gateway.Options) { o.DataStorageURL = late.URL })
		answered := post(ctx, a.APIURL(), alertBody("firing", podAlert()))
		Expect(answered.Code).To(Equal(http.StatusCreated))
		late.expect(a.APIURL()+"/", a.ManagementURL()+"/healthz")
		Expect(running.Stop()).To(Succeed())
		Expect(late.answers()).To(HaveEach(http.StatusOK), "of the management port, when the events were stored")
		Expect(audited(ctx, answered.RemediationRequestName).Of(requestCreated)).To(HaveLen(1))
	}, SpecTimeout(specTimeout))
})

// lateStorage is DataStorage, but away until the Gateway takes no more signals;
// then it asks the management port before it lets events through.
type lateStorage struct {
	*httptest.Server

	mu              sync.Mutex
	api, management string // guarded by mu, as is the next one
	asked           []int
}

func newLateStorage(ctx context.Context) *lateStorage {
	GinkgoHelper()
	to, err := url.Parse(env.DataStorage.URL)
	Expect(err).NotTo(HaveOccurred())
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	l := &lateStorage{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !l.ready(ctx) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	DeferCleanup(l.Close)
	return l
}

func (l *lateStorage) expect(api, management string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.api, l.management = api, management
}

func (l *lateStorage) answers() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.asked
}

func (l *lateStorage) ready(ctx context.Context) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.api == "" || statusOf(ctx, l.api) != 0 {
		return false
	}
	l.asked = append(l.asked, statusOf(ctx, l.management))
	return true
}

// statusOf is the status of an answer, 0 where there is none.
func statusOf(ctx context.Context, address string) int {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0
	}
	r.Close = true // a connection that is kept alive holds up the end of the server
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}
