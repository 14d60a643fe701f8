package alerts_test

import (
	"context"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/auth"
	datastorage "kubernaut.ai/services/datastorage/app"
	gateway "kubernaut.ai/services/gateway/app"
	signalprocessing "kubernaut.ai/services/signalprocessing/app"
	workflowexecution "kubernaut.ai/services/workflowexecution/app"
	"kubernaut.ai/test/testenv"
)

// everything starts a platform with all that has metrics: TLS, tokens, heartbeats, rules of
// targets, and the calls of people.
func (s *siteState) everything(ctx context.Context) {
	GinkgoHelper()
	s.token = "of-monitoring"
	certificates := certificate(365 * 24 * time.Hour)
	flags := auth.Flags{Mode: auth.ModeTokenFile, File: file(
		tokenLine("platform", "of-platform", "rights=read,write", "types=*") + tokenLine("monitoring", s.token, "namespaces=*"))}
	own := file("of-platform")
	store := s.store(ctx, func(o *datastorage.Options) {
		o.TLS, o.Auth, o.AggregatedListen, o.RESTConfig = certificates, flags, anyPort, env.Config
	})
	store.client = trusting(certificates)
	s.gateway(ctx, func(o *gateway.Options) {
		o.DataStorageURL, o.DataStorageCAFile, o.DataStorageTokenFile = store.url, certificates.Cert, own
		o.Auth, o.Spool, o.TargetRulesConfigMap, o.Heartbeats = flags, newSpool(), "gateway-target-rules", []string{"Watchdog,within=24h"}
	})
	s.processing(ctx, func(o *signalprocessing.Options) {
		o.DataStorageURL, o.DataStorageCAFile, o.DataStorageTokenFile = store.url, certificates.Cert, own
		o.Spool, o.LeaderElect, o.LeaderElectionNamespace = newSpool(), true, s.namespace
	})
	s.executing(ctx, func(o *workflowexecution.Options) {
		o.DataStorageURL, o.DataStorageCAFile, o.DataStorageTokenFile = store.url, certificates.Cert, own
		o.Spool, o.LeaderElect, o.LeaderElectionNamespace = newSpool(), true, s.namespace
	})
	s.allow(ctx, "worker")
	wf := s.restart("worker")
	Expect(env.Create(ctx, wf)).To(Succeed())
	s.awaitValid(ctx, wf, metav1.ConditionTrue)
	s.maintenance(ctx)
	s.clusterState(ctx)
	s.apiServer()
}

// processes takes a signal through all services, so that each has counted something.
func (s *siteState) processes(ctx context.Context) {
	GinkgoHelper()
	s.signal(ctx)
	Expect(testenv.WaitForAll(ctx, env, &v1alpha1.RemediationRequestList{}, func(all map[client.ObjectKey]*v1alpha1.RemediationRequest) bool {
		for _, rr := range all {
			if rr.Status.Phase == v1alpha1.RemediationClassified {
				return true
			}
		}
		return false
	}, client.InNamespace(s.namespace))).To(Succeed())
	ahead := func(e map[string]any) { e["event_timestamp"] = time.Now().Add(time.Hour) }
	store := s.services[0]
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, store.url+storeEvents+"?correlation_id="+testenv.Unique("none-*"), http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Authorization", "Bearer of-platform")
	found, err := store.client.Do(request)
	Expect(err).NotTo(HaveOccurred())
	Expect(found.Body.Close()).To(Succeed())
	Expect(found.StatusCode).To(Equal(http.StatusOK))
	Expect(recordAs(ctx, store, "of-platform", dated(time.Now().AddDate(-3, 0, 0), 1, ahead))).To(Equal(http.StatusCreated))
	s.flush(ctx)
}

// clusterState starts kube-state-metrics for the site's namespace.
func (s *siteState) clusterState(ctx context.Context) {
	GinkgoHelper()
	address := "http://127.0.0.1:" + freePort(ctx)
	program := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(projectDir, "bin", "kube-state-metrics"),
		"--kubeconfig", env.Kubeconfig, "--namespaces", s.namespace, "--resources", "deployments,statefulsets",
		"--host", "127.0.0.1", "--port", portOf(address), "--telemetry-host", "127.0.0.1", "--telemetry-port", freePort(ctx))
	program.Stdout, program.Stderr = GinkgoWriter, GinkgoWriter
	Expect(program.Start()).To(Succeed(), "make test-alerts builds it")
	DeferCleanup(func() {
		_ = program.Process.Kill()
		_ = program.Wait() // it was killed
	})
	state := &target{url: address + "/metrics", client: http.DefaultClient, labels: map[string]string{"job": "kube-state-metrics"}}
	Eventually(ctx, func() (string, error) {
		text, _, err := state.read(ctx)
		return string(text), err
	}).WithTimeout(time.Minute).Should(ContainSubstring("kube_statefulset_replicas{"))
	s.others = append(s.others, state)
}

// apiServer adds the API server, whose metrics say whether it reaches aggregated APIs.
func (s *siteState) apiServer() {
	GinkgoHelper()
	config := rest.CopyConfig(env.Config)
	client, err := rest.HTTPClientFor(config)
	Expect(err).NotTo(HaveOccurred())
	s.others = append(s.others, &target{url: config.Host + "/metrics", client: client, labels: map[string]string{"job": "apiserver"}})
}
