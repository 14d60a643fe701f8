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

func newSpool() spool.Flags { return spool.Flags{Dir: filepath.Join(GinkgoT().TempDir(), "spool")} }

// soleGateway starts another Gateway for the process's namespace, which the spec stops.
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
	DeferCleanup(func() { _ = running.Stop() }) // the spec checks its error
	return a, running
}

var _ = Describe("a spool", func() {
	It("lets a Gateway stop cleanly while DataStorage is down, and its successor store the events of its answers", func(ctx SpecContext) {
		disk := newSpool()
		a, running := soleGateway(ctx, func(o *gateway.Options) {
			o.DataStorageURL, o.Spool = "http://"+closedPort(), disk
		})
		answered := post(ctx, a.APIURL(), alertBody("firing", podAlert()))
		Expect(answered.Code).To(Equal(http.StatusCreated))
		Expect(running.Stop()).To(Succeed())

		next, _ := soleGateway(ctx, func(o *gateway.Options) { o.Spool = disk })
		trail := trailOf(ctx, answered.RemediationRequestName, next.ManagementURL())
		Expect(trail.Of(signalReceived)).To(HaveLen(1))
		Expect(trail.Of(requestCreated)).To(HaveLen(1))
	}, SpecTimeout(specTimeout))

	It("is what a Gateway needs to lose nothing: without one it reports its losses", func(ctx SpecContext) {
		a, running := soleGateway(ctx, func(o *gateway.Options) { o.DataStorageURL = "http://" + closedPort() })
		Expect(post(ctx, a.APIURL(), alertBody("firing", podAlert())).Code).To(Equal(http.StatusCreated))
		Expect(running.Stop()).To(MatchError(ContainSubstring("2 lost, first gateway.signal.received")))
	}, SpecTimeout(specTimeout))

	It("lets SignalProcessing stop cleanly while DataStorage is down, and its successor store what the statuses show", func(ctx SpecContext) {
		disk := newSpool()
		rr := requestElsewhere(ctx)
		p := startProcessor(ctx, rr.Namespace, func(o *signalprocessing.Options) {
			o.DataStorageURL, o.Spool = "http://"+closedPort(), disk
		})
		Expect(env.Create(ctx, rr)).To(Succeed())
		Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
		p.stop(ctx)

		next := startProcessor(ctx, rr.Namespace, func(o *signalprocessing.Options) { o.Spool = disk })
		expectWholeTrail(trailOf(ctx, rr.Name, next.managementURL))
		next.stop(ctx)
	}, SpecTimeout(specTimeout))

	It("belongs to one Gateway at a time", func(ctx SpecContext) {
		disk := newSpool()
		soleGateway(ctx, func(o *gateway.Options) { o.Spool = disk })
		second, err := gateway.New(gateway.Options{
			DataStorageURL: env.DataStorage.URL, Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0",
			RESTConfig: env.Config, Namespace: env.Namespace, WatchNamespaces: []string{env.Namespace}, Spool: disk,
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(second.Run(ctx)).To(MatchError(SatisfyAll(ContainSubstring("--audit-spool"), ContainSubstring(disk.Dir), ContainSubstring("in use"))))
	}, SpecTimeout(specTimeout))
})

var _ = Describe("the shutdown of a Gateway", func() {
	It("closes the API first, then stores its events, and serves the management port until the end", func(ctx SpecContext) {
		late := newLateStorage(ctx)
		a, running := soleGateway(ctx, func(o *gateway.Options) { o.DataStorageURL = late.URL })
		answered := post(ctx, a.APIURL(), alertBody("firing", podAlert()))
		Expect(answered.Code).To(Equal(http.StatusCreated))
		late.expect(a.APIURL()+"/", a.ManagementURL()+"/healthz")
		Expect(running.Stop()).To(Succeed())
		Expect(late.answers()).To(HaveEach(http.StatusOK), "the management port answers while the events are stored")
		Expect(audited(ctx, answered.RemediationRequestName).Of(requestCreated)).To(HaveLen(1))
	}, SpecTimeout(specTimeout))
})

// lateStorage is a DataStorage that answers 503 until the Gateway has closed its
// API; then it probes the management port before it forwards events.
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

// statusOf is the status code of a response, 0 if there is none.
func statusOf(ctx context.Context, address string) int {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0
	}
	r.Close = true // an idle connection would delay the shutdown of the server
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}
