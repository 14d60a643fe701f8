//go:build integration

package integration_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/pkg/audittrail/trailtest"
	gateway "kubernaut.ai/services/gateway/app"
)

// wire is a TCP proxy to the API server that a spec can cut.
type wire struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	isCut bool
	ends  map[net.Conn]struct{} // both ends of what is open
}

// newWire starts a wire to the API server, and stops it at the end of the spec.
func newWire(ctx context.Context) *wire {
	GinkgoHelper()
	address, err := url.Parse(env.Config.Host)
	Expect(err).NotTo(HaveOccurred())
	w := &wire{target: address.Host, ends: map[net.Conn]struct{}{}}
	w.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		w.cut()
		Expect(w.listener.Close()).To(Succeed())
	})
	go w.accept(context.WithoutCancel(ctx))
	return w
}

// config reaches the API server through the wire.
func (w *wire) config() *rest.Config {
	config := rest.CopyConfig(env.Config)
	config.Host = "https://" + w.listener.Addr().String()
	return config
}

func (w *wire) accept(ctx context.Context) {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := new(net.Dialer).DialContext(ctx, "tcp", w.target)
		if err != nil || !w.add(near, far) {
			_ = near.Close()
			if far != nil {
				_ = far.Close()
			}
			continue
		}
		go w.carry(near, far)
		go w.carry(far, near)
	}
}

func (w *wire) add(ends ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isCut {
		return false
	}
	for _, end := range ends {
		w.ends[end] = struct{}{}
	}
	return true
}

func (w *wire) carry(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ends, to)
	delete(w.ends, from)
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
	for end := range w.ends {
		_ = end.Close()
	}
}

func (w *wire) restore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = false
}

var _ = Describe("gateway: without the API server", func() {
	It("asks for a retry, which creates exactly one request", func(ctx SpecContext) {
		w := newWire(ctx)
		gatewayURL, managementURL := replica(ctx, func(o *gateway.Options) { o.RESTConfig = w.config() })
		known, unknown := podAlert(), podAlert()
		first := post(ctx, gatewayURL, alertBody("firing", known))
		Expect(first.Code).To(Equal(http.StatusCreated))

		w.cut()
		body := alertBody("firing", known, unknown)
		refused := post(ctx, gatewayURL, body)
		Expect(refused.Code).To(Equal(http.StatusServiceUnavailable))
		Expect(refused.Header.Get("Retry-After")).To(MatchRegexp(`^[1-9]\d*$`))
		Expect(refused.Detail).NotTo(ContainSubstring("connection"), "internal errors are in the log only")
		Expect(post(ctx, gatewayURL, alertBody("resolved", known)).Code).To(Equal(http.StatusServiceUnavailable))
		Expect(trailOf(ctx, refused.CorrelationID, managementURL)).To(trailtest.HaveAudited(requestFailed))

		w.restore()
		retried := post(ctx, gatewayURL, body)
		Expect(retried.Code).To(Equal(http.StatusMultiStatus))
		Expect(retried.Results[0].Status).To(Equal("duplicate"))
		Expect(retried.Results[0].RemediationRequestName).To(Equal(first.RemediationRequestName))
		Expect(retried.Results[1].Status).To(Equal("created"))

		var requests v1alpha1.RemediationRequestList
		Expect(env.List(ctx, &requests, client.InNamespace(env.Namespace),
			client.MatchingFields{"spec.signalFingerprint": retried.Results[1].Fingerprint})).To(Succeed())
		Expect(requests.Items).To(HaveLen(1))
		events := trailOf(ctx, retried.Results[1].RemediationRequestName, managementURL)
		Expect(events.Of(requestCreated)).To(HaveLen(1))
	}, SpecTimeout(specTimeout))

	It("is not ready", func(ctx SpecContext) {
		w := newWire(ctx)
		_, managementURL := replica(ctx, func(o *gateway.Options) { o.RESTConfig = w.config() })
		probe := func() int {
			GinkgoHelper()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, managementURL+"/readyz", nil)
			Expect(err).NotTo(HaveOccurred())
			response, err := http.DefaultClient.Do(r)
			Expect(err).NotTo(HaveOccurred())
			Expect(response.Body.Close()).To(Succeed())
			return response.StatusCode
		}
		Expect(probe()).To(Equal(http.StatusOK))
		w.cut()
		Expect(probe()).To(Equal(http.StatusServiceUnavailable))
		w.restore()
		Expect(probe()).To(Equal(http.StatusOK))
	}, SpecTimeout(specTimeout))
})
