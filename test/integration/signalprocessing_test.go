//go:build integration

package integration_test

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	"kubernaut.ai/test/testenv"
)

// Shared by the SignalProcessing specs.

const (
	enrichmentCompleted    = "signalprocessing.enrichment.completed"
	classificationDecision = "signalprocessing.classification.decision"
	businessClassified     = "signalprocessing.business.classified"
	errorOccurred          = "signalprocessing.error.occurred"
	processed              = "signalprocessing.signal.processed"
)

// namespaceNamed makes a namespace with a given name.
func namespaceNamed(ctx context.Context, name string, labels, annotations map[string]string) string {
	GinkgoHelper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: testenv.Unique(name), Labels: labels, Annotations: annotations}}
	Expect(env.Create(ctx, namespace)).To(Succeed())
	return namespace.Name
}

// classified creates the request, waits until it shows its classification and
// returns its SignalProcessing.
func classified(ctx context.Context, rr *v1alpha1.RemediationRequest) *v1alpha1.SignalProcessing {
	GinkgoHelper()
	Expect(env.Create(ctx, rr)).To(Succeed())
	Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
	return processingOf(ctx, rr)
}

// processingOf reads a request's SignalProcessing.
func processingOf(ctx context.Context, rr *v1alpha1.RemediationRequest) *v1alpha1.SignalProcessing {
	GinkgoHelper()
	sp := &v1alpha1.SignalProcessing{}
	Expect(env.Get(ctx, client.ObjectKeyFromObject(rr), sp)).To(Succeed())
	return sp
}

// auditTrail flushes and queries once.
func auditTrail(ctx context.Context, rr *v1alpha1.RemediationRequest) testenv.Trail {
	GinkgoHelper()
	trail, err := env.AuditTrail(ctx, rr.Name)
	Expect(err).NotTo(HaveOccurred())
	return trail
}

// expectWholeTrail expects exactly the events of a signal that was processed without
// failures, each of them once.
func expectWholeTrail(trail testenv.Trail) {
	GinkgoHelper()
	Expect(trail).To(testenv.BeProcessed())
}

// processor is a SignalProcessing that a spec started.
type processor struct {
	managementURL string
	cancel        context.CancelFunc
	ended         chan error
}

// startProcessor runs a SignalProcessing for a namespace until stop or the end of
// the spec.
func startProcessor(ctx context.Context, namespace string, change func(*signalprocessing.Options)) *processor {
	GinkgoHelper()
	options := signalprocessing.Options{
		DataStorageURL: env.DataStorage.URL, ManagementListen: "127.0.0.1:0",
		RESTConfig: env.Config, WatchNamespaces: []string{namespace}, GatewayNamespace: namespace, Log: logger(),
	}
	if change != nil {
		change(&options)
	}
	a, err := signalprocessing.New(options)
	Expect(err).NotTo(HaveOccurred())
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &processor{cancel: cancel, ended: make(chan error, 1)}
	go func() { p.ended <- a.Run(run) }()
	DeferCleanup(cancel)
	select {
	case <-a.Ready():
	case err := <-p.ended:
		Fail(fmt.Sprintf("the service ended before it was ready: %v", err))
	case <-ctx.Done():
		Fail("the service is not ready")
	}
	p.managementURL = a.ManagementURL()
	return p
}

// stop stops the service, which stores its pending events.
func (p *processor) stop(ctx context.Context) {
	GinkgoHelper()
	p.cancel()
	select {
	case err := <-p.ended:
		Expect(err).NotTo(HaveOccurred())
	case <-ctx.Done():
		Fail("the service does not stop")
	}
}
