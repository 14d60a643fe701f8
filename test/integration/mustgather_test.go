//go:build integration

package integration_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/devstack/controlplane"
	"kubernaut.ai/internal/mustgather"
	"kubernaut.ai/pkg/audittrail/podflush"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/testenv"
)

// timeOf is the timestamp at the start of a timeline's line.
var timeOf = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z +`)

var _ = Describe("must-gather", func() {
	It("collects diagnostics, and a timeline of each request that was named or has failed", func(ctx SpecContext) {
		services, err := env.NewWorkload(ctx, podflush.StatefulSet, env.ManagementURLs...)
		Expect(err).NotTo(HaveOccurred())
		store, err := env.NewWorkload(ctx, podflush.Deployment, env.DataStorage.ManagementURL)
		Expect(err).NotTo(HaveOccurred())

		rr, trail := processedRequest(ctx)
		failed := failedRequest(ctx)
		create(ctx, eventAbout(rr.Name, "the target was looked at"))
		logs := logOf("gateway-0/gateway.log", trail[0].EventTimestamp.Format(time.RFC3339Nano)+"\tINFO\tgateway\ttook a signal of "+rr.Name,
			"a line about "+rr.Name+" without a time", trail[0].EventTimestamp.Format(time.RFC3339Nano)+"\tINFO\tof "+rr.Name+"0")

		began := time.Now()
		g := gatherWith(ctx, func(o *mustgather.Options) {
			o.Namespaces, o.CorrelationIDs, o.ExtraLogs = []string{env.Namespace}, []string{rr.Name}, logs
		})
		AddReportEntry("took", time.Since(began))

		By("following the conventions of must-gather archives")
		version := strings.Split(g.file("version"), "\n")
		Expect(version[0]).To(Equal("kubernaut/must-gather"))
		Expect(version[1]).To(MatchRegexp(`^\d+\.\d+\.\d+$`))
		Expect(g.file("timestamp")).To(MatchRegexp(`^start \d{4}-.*Z\nend \d{4}-.*Z\n$`))
		Expect(g.file("must-gather.log")).To(ContainSubstring("pods in " + env.Namespace))
		inNamespace := "namespaces/" + env.Namespace + "/"
		for _, name := range []string{
			inNamespace + env.Namespace + ".yaml", inNamespace + "apps/statefulsets.yaml", inNamespace + "apps/deployments.yaml",
			inNamespace + "core/events.yaml", inNamespace + "events.txt", inNamespace + "pods.txt",
			inNamespace + "kubernaut.ai/remediationrequests/" + rr.Name + ".yaml", inNamespace + "kubernaut.ai/signalprocessings/" + rr.Name + ".yaml",
			"cluster-scoped-resources/apiextensions.k8s.io/customresourcedefinitions/remediationrequests.kubernaut.ai.yaml",
			"cluster-scoped-resources/version.yaml", "cluster-scoped-resources/apiserver-readyz.txt", "kubernaut.ai/remediationrequests.txt",
		} {
			Expect(g.file(name)).NotTo(BeEmpty())
		}

		By("reading the pending events of every pod of the platform")
		for _, pod := range []string{services.PodName(0), services.PodName(1), store.PodName(0)} {
			inPod := inNamespace + "pods/" + pod + "/"
			Expect(g.file(inPod + pod + ".yaml")).To(ContainSubstring("\nkind: Pod\n"))
			Expect(g.file(inPod + "management/readyz.json")).To(ContainSubstring(`"status":"ready"`))
			Expect(g.file(inPod + "management/healthz.json")).To(ContainSubstring(`"status":"ok"`))
			Expect(g.file(inPod + "management/metrics.txt")).To(ContainSubstring("go_goroutines"))
		}
		Expect(g.file(inNamespace + "pods/" + services.PodName(0) + "/audit-state.txt")).
			To(MatchRegexp(`(?m)^ +\d+  audit_pending_events  \(Events accepted, neither stored nor rejected yet\.\)$`))
		header := strings.Fields(lineWith(g.file("audit-state.txt"), "pending_events"))
		row := strings.Fields(lineWith(g.file("audit-state.txt"), services.PodName(0)))
		Expect(row).To(HaveLen(len(header)))
		Expect(row).NotTo(ContainElement("-"), "every column is a metric of the store: %v", header)
		Expect(row[slices.Index(header, "sink_up")]).To(Equal("1"))
		Expect(strings.Fields(lineWith(g.file("audit-state.txt"), store.PodName(0)))).To(HaveLen(len(header)), "DataStorage has a store, too")
		Expect(g.file("datastorage-state.txt")).To(And(ContainSubstring("datastorage_database_connections_max"),
			ContainSubstring("datastorage_ingest_queue_events"), ContainSubstring("datastorage_ingest_commit_seconds, of")))

		By("merging the sources of a request in order of time")
		timeline := g.file("timelines/" + rr.Name + ".txt")
		Expect(timeline).To(HavePrefix(fmt.Sprintf("Correlation id %s; %d audit events.", rr.Name, len(trail))))
		Expect(auditTypes(timeline)).To(Equal(trail.Types()))
		Expect(lineWith(timeline, "signalprocessing.classification.decision")).To(ContainSubstring("severity.value=critical"))
		Expect(lineWith(timeline, "the target was looked at")).To(MatchRegexp(`Z +event +Warning Testing`))
		Expect(lineWith(timeline, "took a signal")).To(ContainSubstring("log extra/gateway-0/gateway.log"))
		Expect(timeline).NotTo(ContainSubstring(rr.Name + "0"))
		Expect(timeline).To(MatchRegexp(`Z +remediationrequest +created\n`))
		var times []string
		for line := range strings.Lines(timeline) {
			if timeOf.MatchString(line) {
				times = append(times, line[:len("2006-01-02T15:04:05")])
			}
		}
		Expect(slices.IsSorted(times)).To(BeTrue(), timeline)
		Expect(g.file("timelines/" + failed.Name + ".txt")).To(ContainSubstring("remediationrequest " + env.Namespace + "/" + failed.Name + ": ManualReview: no use\n"))

		By("naming what is missing")
		Expect(g.notCollected("usage in " + env.Namespace)).To(ContainSubstring("Metrics API not available"))
		Expect(g.file("summary.txt")).To(And(ContainSubstring("remediationrequest ManualReview"), ContainSubstring(services.PodName(0))))
	}, SpecTimeout(specTimeout))

	It("omits secrets and payloads, and includes payloads with --show-sensitive", func(ctx SpecContext) {
		c := placeCanaries(ctx)
		about := func(o *mustgather.Options) {
			o.Namespaces, o.CorrelationIDs, o.ExtraLogs = []string{env.Namespace}, []string{c.id}, c.logs
		}

		g := gatherWith(ctx, about)
		for location, secret := range c.secrets {
			Expect(g.with(secret)).To(BeEmpty(), location)
		}
		for location, payload := range c.payloads {
			Expect(g.with(payload)).To(BeEmpty(), location)
		}
		for location, text := range c.public {
			Expect(g.with(text)).NotTo(BeEmpty(), "%s would be missed", location)
		}
		Expect(g.file("namespaces/" + env.Namespace + "/core/secrets.yaml")).To(ContainSubstring("- name: " + c.id + "\n  type: Opaque\n  keys:\n  - url\n"))

		g = gatherWith(ctx, func(o *mustgather.Options) {
			about(o)
			o.ShowSensitive = true
		})
		for location, secret := range c.secrets {
			Expect(g.with(secret)).To(BeEmpty(), location)
		}
		for location, payload := range c.payloads {
			Expect(g.with(payload)).NotTo(BeEmpty(), location)
		}
	}, SpecTimeout(2*specTimeout)) // it collects twice

	It("continues when DataStorage is down and a pod refuses connections, hangs or is not ready", func(ctx SpecContext) {
		hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		DeferCleanup(hanging.Close)
		unready := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"database":"failed","status":"not ready"}` + "\n"))
		}))
		DeferCleanup(unready.Close)
		workload, err := env.NewWorkload(ctx, podflush.StatefulSet, env.ManagementURLs[0], hanging.URL, unready.URL, "http://"+closedPort())
		Expect(err).NotTo(HaveOccurred())
		id := env.CorrelationID()

		g := gatherWith(ctx, func(o *mustgather.Options) {
			o.DataStorageURL, o.Namespaces, o.CorrelationIDs, o.TimeLimit = "http://"+closedPort(), []string{env.Namespace}, []string{id}, 15*time.Second
		})
		Expect(g.notCollected("audit events")).To(ContainSubstring("connection refused"))
		Expect(g.file("timelines/" + id + ".txt")).To(And(ContainSubstring("its audit events could not be read"), ContainSubstring("No collected data mentions it")))
		Expect(g.notCollected("state of " + workload.PodName(1) + " in " + env.Namespace)).To(ContainSubstring("timed out after"))
		Expect(g.notCollected("state of " + workload.PodName(3) + " in " + env.Namespace)).To(ContainSubstring("error trying to reach service"))

		pods := "namespaces/" + env.Namespace + "/pods/"
		Expect(g.file(pods + workload.PodName(0) + "/management/metrics.txt")).To(ContainSubstring("audit_pending_events"))
		Expect(g.file(pods + workload.PodName(2) + "/management/readyz.json")).To(ContainSubstring(`"database":"failed"`))
		Expect(lineWith(g.file("audit-state.txt"), workload.PodName(1))).To(HaveSuffix("no-answer"))
		Expect(g.file("summary.txt")).To(And(ContainSubstring(workload.PodName(1)+": no response"), ContainSubstring(`"database":"failed"`)))
	}, SpecTimeout(specTimeout))

	It("names what its caller is not permitted to read", func(ctx SpecContext) {
		workload, err := env.NewWorkload(ctx, podflush.StatefulSet, env.ManagementURLs[0])
		Expect(err).NotTo(HaveOccurred())
		kubeconfig := restrictedKubeconfig(ctx,
			rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods", "pods/log", "pods/proxy"}, Verbs: []string{"get", "list"}})

		g := gatherWith(ctx, func(o *mustgather.Options) { o.Kubeconfig, o.Namespaces = kubeconfig, []string{env.Namespace} })
		for _, what := range []string{
			"secrets' names in " + env.Namespace, "nodes", "events in " + env.Namespace, "events of all namespaces",
			"deployments.apps in " + env.Namespace, "cluster roles", "kubernaut.ai resources",
		} {
			Expect(g.notCollected(what)).To(And(ContainSubstring("forbidden"), ContainSubstring("command: kubectl get ")), what)
		}
		Expect(g.file("namespaces/" + env.Namespace + "/pods/" + workload.PodName(0) + "/management/metrics.txt")).NotTo(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("reports a cluster without Kubernaut", func(ctx SpecContext) {
		plane, err := controlplane.Start(ctx, controlplane.Options{})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { Expect(plane.Stop(ctx)).To(Succeed()) })
		removeOurResources(ctx, plane)

		result := gatherFrom(ctx, func(o *mustgather.Options) { o.Kubeconfig = plane.Kubeconfig() })
		Expect(result.notCollected("definitions of kubernaut.ai")).To(ContainSubstring("is Kubernaut installed?"))
		Expect(result.notCollected("namespace kubernaut-system")).To(ContainSubstring(`namespaces "kubernaut-system" not found`))
		Expect(result.notCollected("audit events")).To(ContainSubstring(`there is no Service "datastorage"`))
		Expect(result.file("cluster-scoped-resources/version.yaml")).To(ContainSubstring("serverVersion:"))
		Expect(result.notCollected("kubernaut.ai resources")).To(ContainSubstring(`doesn't have a resource type`))
	}, SpecTimeout(specTimeout))

	DescribeTable("reads audit events through a port-forward, with a token that is good nowhere else", func(ctx SpecContext, encrypted bool) {
		var store *testenv.DataStorage
		namespace := storageNamespace(ctx, func(namespace string) string {
			store = ownStore(ctx, func(o *datastorageapp.Options) {
				o.RESTConfig = env.Config
				o.Auth = auth.Flags{Mode: auth.ModeKubernetes, Namespace: namespace, Audiences: []string{ownAudience}}
				if encrypted {
					o.TLS = certifyStorage(ctx, namespace)
				}
			})
			return store.URL
		})
		id := env.CorrelationID()
		about := func(o *mustgather.Options) {
			o.Kubeconfig, o.Namespaces, o.CorrelationIDs = env.Kubeconfig, []string{namespace}, []string{id}
		}

		By("asking without the permission to read")
		Expect(gatherFrom(ctx, about).notCollected("audit events")).To(ContainSubstring("403 Forbidden"))

		By("asking with it")
		mayRead(ctx, namespace)
		result := gatherFrom(ctx, about)
		Expect(result.file("not-collected.txt")).NotTo(ContainSubstring("audit events"))
		Expect(result.file("timelines/" + id + ".txt")).To(ContainSubstring("; 0 audit events."))

		if encrypted {
			By("meeting a certificate that the cluster's authority did not sign")
			other := newCertificate("datastorage." + namespace + ".svc")
			result = gatherFrom(ctx, func(o *mustgather.Options) {
				about(o)
				o.DataStorageCAFile = other.Cert
			})
			Expect(result.notCollected("audit events")).To(ContainSubstring("certificate signed by unknown authority"))
		}
	},
		Entry("over HTTP", false, SpecTimeout(specTimeout)),
		Entry("over TLS", true, SpecTimeout(specTimeout)),
	)

	DescribeTable("archives what it has when it is interrupted", func(ctx SpecContext, path string) {
		arrived := make(chan struct{})
		server := apiServerThat(path, func(r *http.Request) {
			close(arrived)
			<-r.Context().Done()
		})
		limited, interrupt := context.WithCancelCause(ctx)
		go func() {
			<-arrived
			interrupt(errors.New("SIGTERM"))
		}()
		result := gatherFrom(limited, func(o *mustgather.Options) {
			o.Config, o.Namespaces, o.TimeLimit = server, []string{env.Namespace}, time.Minute
		})
		Expect(result.notCollected("all that was under way or to come")).To(And(ContainSubstring("interrupted after"), ContainSubstring("SIGTERM")))
		Expect(result.file("version")).NotTo(BeEmpty())
	},
		Entry("while it asks whether anybody answers", "/version", SpecTimeout(specTimeout)),
		Entry("while steps run", "/apis/metrics.k8s.io/", SpecTimeout(specTimeout)),
	)
})

// fileOfTokens makes a file for --auth token-file with one caller.
func fileOfTokens(caller, token string) string {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "tokens")
	Expect(os.WriteFile(file, []byte(tokenLine(caller, token, "rights=read,write", "types=*")), 0o600)).To(Succeed())
	return file
}

// tokenLine is a line of a token file.
func tokenLine(caller, token string, grants ...string) string {
	digest := sha256.Sum256([]byte(token))
	return caller + " " + hex.EncodeToString(digest[:]) + " " + strings.Join(grants, " ") + "\n"
}

// processedRequest makes a request and waits until it is processed.
func processedRequest(ctx context.Context) (*v1alpha1.RemediationRequest, testenv.Trail) {
	GinkgoHelper()
	rr := env.Request(env.CorrelationID())
	Expect(env.Create(ctx, rr)).To(Succeed())
	Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
	trail, err := env.AuditTrail(ctx, rr.Name)
	Expect(err).NotTo(HaveOccurred())
	return rr, trail
}

// failedRequest makes a request that has failed; no service processes it further.
func failedRequest(ctx context.Context) *v1alpha1.RemediationRequest {
	GinkgoHelper()
	rr, _ := processedRequest(ctx)
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"phase":"ManualReview","message":"no use"}}`))
	Expect(env.Status().Patch(ctx, rr, patch)).To(Succeed())
	return rr
}

func eventAbout(name, message string) *corev1.Event {
	now := metav1.Now()
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: aName()},
		InvolvedObject: corev1.ObjectReference{Kind: "RemediationRequest", Namespace: env.Namespace, Name: name},
		Type:           corev1.EventTypeWarning, Reason: "Testing", Message: message, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
}

// logOf writes the log of a process outside the cluster; it returns its directory.
func logOf(name string, lines ...string) string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	file := filepath.Join(dir, name)
	Expect(os.MkdirAll(filepath.Dir(file), 0o700)).To(Succeed())
	Expect(os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600)).To(Succeed())
	return dir
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// auditTypes are the types of a timeline's audit events, in its order.
func auditTypes(timeline string) []string {
	var found []string
	for line := range strings.Lines(timeline) {
		// time, "audit", who, type
		if words := strings.Fields(line); len(words) > 3 && words[1] == "audit" {
			found = append(found, words[3])
		}
	}
	return found
}

func removeOurResources(ctx context.Context, plane *controlplane.ControlPlane) {
	GinkgoHelper()
	types := runtime.NewScheme()
	Expect(apiextensionsv1.AddToScheme(types)).To(Succeed())
	c, err := client.New(plane.Config(), client.Options{Scheme: types})
	Expect(err).NotTo(HaveOccurred())
	definitions := &apiextensionsv1.CustomResourceDefinitionList{}
	Expect(c.List(ctx, definitions)).To(Succeed())
	Expect(definitions.Items).NotTo(BeEmpty())
	for i := range definitions.Items {
		definition := &definitions.Items[i]
		Expect(c.Delete(ctx, definition)).To(Succeed())
		Eventually(ctx, func(ctx context.Context) bool {
			return apierrors.IsNotFound(c.Get(ctx, client.ObjectKeyFromObject(definition), definition))
		}).Should(BeTrue())
	}
}
