//go:build integration

package integration_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"

	"kubernaut.ai/cmd/kubernaut/stores"
	flags "kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/spoolcommand"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/control"
	"kubernaut.ai/pkg/audit/spool"
	gateway "kubernaut.ai/services/gateway/app"
	"kubernaut.ai/test/testenv"
)

// Specs about what operators do with what stores and spools hold.

const anyLoopback = "127.0.0.1:0"

// refusedEvent puts an event that DataStorage rejects for good into a new spool, and
// returns it.
func refusedEvent() (flags.Flags, audit.Event) {
	GinkgoHelper()
	disk := newSpool()
	event := audit.Event{
		ID: audit.DerivedID(time.Now(), env.CorrelationID()), Version: audit.SchemaVersion, Type: "gateway.test.received", Category: "gateway",
		Action: "receive", Outcome: "unheard-of", CorrelationID: env.CorrelationID(), Data: []byte(`{"account":"secret"}`),
		Timestamp: time.Now(), Sensitive: true, Producer: audit.Producer{ID: "field", Epoch: 1, Sequence: 1},
	}
	opened, err := spool.Open(disk.Dir)
	Expect(err).NotTo(HaveOccurred())
	_, err = opened.Append([]audit.Event{event}, 0)
	Expect(errors.Join(err, opened.Close())).To(Succeed())
	return disk, event
}

// kubernaut runs the command line.
func kubernaut(ctx context.Context, args ...string) (code int, stdout, stderr string) {
	GinkgoHelper()
	root := cli.Group(&cobra.Command{Use: "kubernaut"})
	root.AddCommand(stores.Command("KUBERNAUT"), spoolcommand.Command("KUBERNAUT"))
	var out, complaints bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&complaints)
	code = cli.Execute(ctx, root, args, &complaints)
	GinkgoWriter.Printf("kubernaut %q: %d\n%s%s\n", args, code, &out, &complaints)
	return code, out.String(), complaints.String()
}

// podOf makes a workload of one pod with a Gateway behind it.
func podOf(ctx context.Context, serviceAccount string, g *gateway.App) *testenv.Workload {
	GinkgoHelper()
	workload, err := env.NewStatefulSet(ctx, nil)
	Expect(err).NotTo(HaveOccurred())
	workload.ServiceAccount = serviceAccount
	Expect(workload.Declare(ctx, 1)).To(Succeed())
	Expect(workload.AddPod(ctx, workload.PodName(0), g.ManagementURL())).To(Succeed())
	Expect(workload.Control(ctx, workload.PodName(0), g.ControlURL())).To(Succeed())
	return workload
}

var _ = Describe("operators and rejected events", func() {
	It("field C13: a stop with an unacknowledged quarantine is clean, and a retry needs no name", func(ctx SpecContext) {
		disk, event := refusedEvent()
		configure := func(o *gateway.Options) { o.Spool, o.ControlListen = disk, anyLoopback }
		g, running := soleGateway(ctx, configure)
		Expect(flushed(ctx, g.ManagementURL())).To(Equal(http.StatusConflict))
		Expect(running.Stop()).To(Succeed())

		next, again := soleGateway(ctx, configure)
		Expect(flushed(ctx, next.ManagementURL())).To(Equal(http.StatusConflict), "the next process reports it")
		workload := podOf(ctx, "", next)
		as := func(args ...string) []string {
			return append(args, "--workload", workload.Name, "--kubeconfig", env.Kubeconfig, "-n", env.Namespace)
		}
		code, out, _ := kubernaut(ctx, as("stores", "quarantine", "list")...)
		Expect(code).To(Equal(cli.ExitOK))
		Expect(out).To(ContainSubstring(event.ID.String()))
		code, out, _ = kubernaut(ctx, as("stores", "quarantine", "show", event.ID.String())...)
		Expect(code).To(Equal(cli.ExitOK))
		Expect(out).To(ContainSubstring(`"event_data_redacted": true`))
		Expect(out).NotTo(ContainSubstring("secret"))
		code, out, _ = kubernaut(ctx, as("stores", "quarantine", "show", event.ID.String(), "--show-sensitive")...)
		Expect(code).To(Equal(cli.ExitOK))
		Expect(out).To(ContainSubstring("secret"))
		code, out, _ = kubernaut(ctx, as("stores", "quarantine", "retry", event.ID.String())...)
		Expect(code).To(Equal(cli.ExitOK))
		Expect(out).To(ContainSubstring("sends 1 event again"))
		Expect(flushed(ctx, next.ManagementURL())).To(Equal(http.StatusConflict), "its cause is not repaired")
		Expect((&control.Client{URL: next.ControlURL()}).Rejections(ctx, "")).To(HaveField("Rejected", HaveLen(1)))
		Expect(again.Stop()).To(Succeed())
	}, SpecTimeout(specTimeout))

	It("field C13: the control listener is open on loopback only", func() {
		_, err := gateway.New(gateway.Options{DataStorageURL: env.DataStorage.URL, RESTConfig: env.Config, ControlListen: "0.0.0.0:9093"})
		Expect(err).To(MatchError(SatisfyAll(ContainSubstring("--control-listen"), ContainSubstring("loopback"))))
		_, ok := errors.AsType[*cli.UsageError](err)
		Expect(ok).To(BeTrue())
	})
})

// flushed flushes a service and returns the status of its answer.
func flushed(ctx context.Context, managementURL string) int {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, managementURL+"/audit/flush", http.NoBody)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.Body.Close()).To(Succeed())
	return response.StatusCode
}
