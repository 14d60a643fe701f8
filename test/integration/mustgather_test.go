//go:build integration

package integration_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/devstack/controlplane"
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
		g := gatherWith(ctx, logs, "--namespace", env.Namespace, "--correlation-id", rr.Name)
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
		Expect(lineWith(g.file("audit-state.txt"), store.PodName(0))).To(HaveSuffix("no-audit-store"))
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

	It("makes timelines of named requests, of the newest failures and of the longest stuck requests", func(ctx SpecContext) {
		now := time.Now().UTC()
		ago := func(d time.Duration) string { return now.Add(-d).Format(time.RFC3339) }
		object := func(id, phase, created, completed string) string {
			return strings.Join([]string{"object", id, "remediationrequest", "shop/" + id, phase, created, completed, ""}, "\t") + "\n"
		}
		var known strings.Builder
		for i := range 30 {
			minutes := time.Duration(i+2) * time.Minute
			known.WriteString(object(fmt.Sprintf("failed-%d", i), "ManualReview", ago(2*time.Hour), ago(minutes)))
			known.WriteString(object(fmt.Sprintf("pending-%d", i), []string{"", "Pending", "Processing"}[i%3], ago(minutes), ""))
		}
		known.WriteString(object("failed-before", "ManualReview", ago(3*time.Hour), ago(2*time.Hour)))
		known.WriteString(object("new", "", ago(30*time.Second), ""))
		known.WriteString(object("fine", "Classified", ago(10*time.Minute), ""))
		work := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(work, "known.remediationrequests.kubernaut.ai"), []byte(known.String()), 0o600)).To(Succeed())

		chosen := sourced(ctx, "", `WORK=$1 SINCE=3600 IDS=(named failed-3 named); choose_ids; cat "$WORK/ids"`, work)
		want := []string{"named", "failed-3"}
		for i := range 20 {
			if i != 3 {
				want = append(want, fmt.Sprintf("failed-%d", i))
			}
		}
		want = append(want, "pending-29", "pending-28", "pending-27", "pending-26", "pending-25")
		Expect(strings.Fields(chosen)).To(Equal(want))
	}, SpecTimeout(specTimeout))

	It("omits secrets and payloads, and includes payloads with --show-sensitive", func(ctx SpecContext) {
		c := placeCanaries(ctx)
		flags := slices.Clip([]string{"--namespace", env.Namespace, "--correlation-id", c.id})

		g := gatherWith(ctx, c.logs, flags...)
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

		g = gatherWith(ctx, c.logs, append(flags, "--show-sensitive")...)
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

		g := gatherWith(ctx, []string{"MUST_GATHER_DATASTORAGE_URL=http://" + closedPort()}, "--namespace", env.Namespace, "--correlation-id", id, "--time-limit", "15s")
		Expect(g.notCollected("audit events")).To(ContainSubstring("Connection refused"))
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

		g := gatherWith(ctx, nil, "--kubeconfig", kubeconfig, "--namespace", env.Namespace)
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

		g := prepareGathering(ctx, nil, "--kubeconfig", plane.Kubeconfig())
		Expect(g.cmd.Start()).To(Succeed())
		result := g.wait()
		Expect(result.code).To(Equal(0), result.stderr)
		Expect(result.notCollected("definitions of kubernaut.ai")).To(ContainSubstring("is Kubernaut installed?"))
		Expect(result.notCollected("namespace kubernaut-system")).To(ContainSubstring(`namespaces "kubernaut-system" not found`))
		Expect(result.notCollected("audit events")).To(ContainSubstring(`there is no Service "datastorage"`))
		Expect(result.file("cluster-scoped-resources/version.yaml")).To(ContainSubstring("serverVersion:"))
		Expect(result.notCollected("kubernaut.ai resources")).To(ContainSubstring(`doesn't have a resource type`))
	}, SpecTimeout(specTimeout))

	DescribeTable("reads audit events through a port-forward without exposing the token", func(ctx SpecContext, encrypted bool) {
		token := aName()
		store := ownStore(ctx, func(o *datastorageapp.Options) {
			o.Auth = auth.Flags{Mode: auth.ModeTokenFile, File: fileOfTokens("must-gather", token)}
			if encrypted {
				o.TLS.Cert, o.TLS.Key = certificate()
			}
		})
		id := env.CorrelationID()
		if !encrypted {
			decoded[any](storeJSON(ctx, store.URL, storeEvents, anEvent(id, nil), "Authorization", "Bearer "+token), http.StatusCreated)
		}
		address := strings.TrimPrefix(strings.TrimPrefix(store.URL, "http://"), "https://")
		calls := filepath.Join(GinkgoT().TempDir(), "calls")
		forward := `*" port-forward "*) echo "Forwarding from ` + address + ` -> 8080"; exec sleep 300 ;;
*) echo "$*" >>` + calls + ` ;;&
*" create token must-gather "*) echo `
		flags := []string{"--kubeconfig", env.Kubeconfig, "--namespace", namespaceWithService(ctx), "--correlation-id", id}

		By("using a token that DataStorage does not accept")
		g := prepareGathering(ctx, []string{kubectlThat(forward + aName() + "; exit ;;")}, flags...)
		Expect(g.cmd.Start()).To(Succeed())
		result := g.wait()
		Expect(result.code).To(Equal(0), result.stderr)
		Expect(result.notCollected("audit events")).To(Or(ContainSubstring("401 Unauthorized"), ContainSubstring("must be logged in")))

		By("using one that it accepts")
		g = prepareGathering(ctx, []string{kubectlThat(forward + token + "; exit ;;")}, flags...)
		Expect(g.cmd.Start()).To(Succeed())
		result = g.wait()
		Expect(result.code).To(Equal(0), result.stderr)
		Expect(result.file("not-collected.txt")).NotTo(ContainSubstring("audit events"))
		want := 1
		if encrypted {
			want = 0
		}
		Expect(result.file("timelines/" + id + ".txt")).To(ContainSubstring("; %d audit events.", want))
		Expect(result.with(token)).To(BeEmpty())
		words, err := os.ReadFile(calls)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(words)).To(And(ContainSubstring("create token"), Not(ContainSubstring(token))))
	},
		Entry("over HTTP", false, SpecTimeout(specTimeout)),
		Entry("over TLS", true, SpecTimeout(specTimeout)),
	)

	DescribeTable("rejects", func(ctx SpecContext, says string, flags ...string) {
		g := prepareGathering(ctx, nil, flags...)
		g.cmd.Args = slices.DeleteFunc(g.cmd.Args, func(arg string) bool { return arg == "" })
		Expect(g.cmd.Start()).To(Succeed())
		result := g.wait()
		Expect(result.code).To(Equal(2))
		Expect(result.stderr).To(Equal("must-gather.sh: " + says + " (see must-gather.sh --help)\n"))
		Expect(result.stdout).To(BeEmpty())
	},
		Entry("an unknown flag", "--everything: unknown flag", "--everything"),
		Entry("a word", "now: unexpected argument", "now"),
		Entry("a flag without its value", "--since: needs a value", "--since"),
		Entry("an empty value", "--namespace is empty; give a value or omit the flag", "--namespace="),
		Entry("an invalid duration", "--since 1 hour: not a duration; use for example 30m or 1h30m", "--since", "1 hour"),
		Entry("a zero time limit", "--time-limit 0s: must be more than 0", "--time-limit=0s"),
		Entry("an invalid namespace", "--namespace Kube_System: not a valid namespace name", "--namespace", "Kube_System"),
		Entry("a correlation id of two lines", "--correlation-id: a correlation id is one line of at most 255 bytes", "--correlation-id", "a\nb"),
		Entry("a missing kubeconfig", "--kubeconfig /nowhere: cannot be read", "--kubeconfig", "/nowhere"),
		Entry("a value for a switch", "--show-sensitive=yes: takes no value", "--show-sensitive=yes"),
	)

	DescribeTable("archives what it has when it is interrupted, and leaves no process behind", func(ctx SpecContext, hanging int, behaviour string) {
		namespace := namespaceWithService(ctx)
		fifo := filepath.Join(GinkgoT().TempDir(), "fifo")
		Expect(syscall.Mkfifo(fifo, 0o600)).To(Succeed())
		program := kubectlThat(strings.ReplaceAll(behaviour, "HANG", "echo $$ >"+fifo+"; exec sleep 300 ;;"))
		g := prepareGathering(ctx, []string{program}, "--kubeconfig", env.Kubeconfig, "--namespace", namespace, "--time-limit", "60s")
		Expect(g.cmd.Start()).To(Succeed())
		pids := firstLines(fifo, hanging)

		Expect(g.cmd.Process.Signal(syscall.SIGTERM)).To(Succeed())
		result := g.wait()
		Expect(result.code).To(Equal(0), result.stderr)
		Expect(result.notCollected("all that was under way or to come")).To(ContainSubstring("interrupted by SIGTERM"))
		Expect(result.file("version")).NotTo(BeEmpty())
		for _, text := range pids {
			pid, err := strconv.Atoi(text)
			Expect(err).NotTo(HaveOccurred())
			Eventually(ctx, func() error { return syscall.Kill(pid, 0) }).Should(MatchError(syscall.ESRCH), "process %d", pid)
		}
	},
		Entry("while it asks whether anybody answers", 1, `*" --raw /version"*) HANG`, SpecTimeout(specTimeout)),
		Entry("while a connection is carried and steps run", 2, `*" port-forward "*) echo "Forwarding from 127.0.0.1:1 -> 8080"; HANG
*" top "*) HANG`, SpecTimeout(specTimeout)),
	)
})

// namespaceWithService makes a namespace with a Service like DataStorage's.
func namespaceWithService(ctx context.Context) string {
	GinkgoHelper()
	namespace, err := env.NewNamespace(ctx, nil, nil)
	Expect(err).NotTo(HaveOccurred())
	Expect(env.Create(ctx, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "datastorage"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "api", Port: 8080}}},
	})).To(Succeed())
	return namespace
}

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

// certificate makes files with an untrusted certificate and its key.
func certificate() (cert, key string) {
	GinkgoHelper()
	certText, keyText, err := certutil.GenerateSelfSignedCertKey("datastorage", nil, nil)
	Expect(err).NotTo(HaveOccurred())
	dir := GinkgoT().TempDir()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	Expect(os.WriteFile(cert, certText, 0o600)).To(Succeed())
	Expect(os.WriteFile(key, keyText, 0o600)).To(Succeed())
	return cert, key
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

// logOf writes the log of a process outside the cluster; it returns the variable that names its directory.
func logOf(name string, lines ...string) []string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	file := filepath.Join(dir, name)
	Expect(os.MkdirAll(filepath.Dir(file), 0o700)).To(Succeed())
	Expect(os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600)).To(Succeed())
	return []string{"EXTRA_LOGS=" + dir}
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

// firstLines reads lines of a named pipe, whose writers come one after the other.
func firstLines(fifo string, n int) []string {
	GinkgoHelper()
	// Open for writing too: the pipe has no end between two writers.
	pipe, err := os.OpenFile(fifo, os.O_RDWR, 0)
	Expect(err).NotTo(HaveOccurred())
	defer func() { Expect(pipe.Close()).To(Succeed()) }()
	lines := bufio.NewScanner(pipe)
	var found []string
	for len(found) < n && lines.Scan() {
		found = append(found, lines.Text())
	}
	Expect(found).To(HaveLen(n))
	return found
}

func removeOurResources(ctx context.Context, plane *controlplane.ControlPlane) {
	GinkgoHelper()
	types := runtime.NewScheme()
	Expect(apiextensionsv1.AddToScheme(types)).To(Succeed())
	c, err := client.New(plane.Config(), client.Options{Scheme: types})
	Expect(err).NotTo(HaveOccurred())
	for _, name := range []string{"remediationrequests.kubernaut.ai", "signalprocessings.kubernaut.ai"} {
		definition := &apiextensionsv1.CustomResourceDefinition{ObjectMeta: metav1.ObjectMeta{Name: name}}
		Expect(c.Delete(ctx, definition)).To(Succeed())
		Eventually(ctx, func(ctx context.Context) bool {
			return apierrors.IsNotFound(c.Get(ctx, client.ObjectKey{Name: name}, definition))
		}).Should(BeTrue())
	}
}
