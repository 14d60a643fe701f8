//go:build integration

package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/internal/devstack/supervise"
	"kubernaut.ai/test/testenv"
)

// ownerRole is the variable that makes the test binary own servers for a spec that
// interrupts it: "hold" starts all of them and waits, "next" is the next start of
// anything; "write" and "read" are in postgres_data_test.go, the programs in
// killed_test.go.
const ownerRole = "KUBERNAUT_TEST_OWNER"

func TestMain(m *testing.M) {
	switch role := os.Getenv(ownerRole); role {
	case "hold":
		os.Exit(exitCode(hold()))
	case "next":
		os.Exit(exitCode(nextStart()))
	case "write":
		os.Exit(exitCode(write()))
	case "read":
		os.Exit(exitCode(read()))
	case "gateway", "signalprocessing":
		os.Exit(program(role))
	}
	os.Exit(m.Run())
}

func exitCode(err error) int {
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func hold() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	all, err := testenv.Start(ctx, testenv.Options{})
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(os.Stdout, "up")
	<-ctx.Done()
	return all.Stop(context.WithoutCancel(ctx))
}

func nextStart() error {
	d, err := supervise.Temporary(context.Background(), "next")
	if err != nil {
		return err
	}
	return d.Close()
}

var _ = Describe("an owner of PostgreSQL and a control plane that ends early", func() {
	DescribeTable("leaves nothing behind", func(ctx SpecContext, s syscall.Signal, clean bool) {
		tmp := temporaryFolder()
		owner := role(ctx, "hold", tmp)
		out, err := owner.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(owner.Start()).To(Succeed())
		Expect(bufio.NewReader(out).ReadString('\n')).To(Equal("up\n"))
		children := recordedChildren(tmp)
		Expect(len(children)).To(BeNumerically(">=", 2), "etcd and kube-apiserver at least")

		Expect(owner.Process.Signal(s)).To(Succeed())
		err = owner.Wait()
		Expect(err == nil).To(Equal(clean), "%v", err)

		for _, pid := range children {
			Eventually(ctx, func() error { return syscall.Kill(pid, 0) }).Should(MatchError(syscall.ESRCH), "process %d", pid)
		}
		if clean {
			Expect(leftDirectories(tmp)).To(BeEmpty())
		}
		Expect(role(ctx, "next", tmp).Run()).To(Succeed())
		Expect(leftDirectories(tmp)).To(BeEmpty())
	},
		Entry("interrupted", syscall.SIGINT, true, SpecTimeout(specTimeout)),
		Entry("killed", syscall.SIGKILL, false, SpecTimeout(specTimeout)),
	)
})

func role(ctx context.Context, name, tmp string) *exec.Cmd {
	GinkgoHelper()
	self, err := os.Executable()
	Expect(err).NotTo(HaveOccurred())
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), ownerRole+"="+name, "TMPDIR="+tmp)
	cmd.Stderr = GinkgoWriter
	return cmd
}

// temporaryFolder is one that PostgreSQL's user can reach too.
func temporaryFolder() string {
	GinkgoHelper()
	tmp, err := os.MkdirTemp("", "kn-") // short: a socket's path is limited
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, tmp)
	Expect(os.Chmod(tmp, 0o711)).To(Succeed())
	return tmp
}

func recordedChildren(tmp string) []int {
	GinkgoHelper()
	records, err := filepath.Glob(filepath.Join(tmp, "*", "*", "children", "*"))
	Expect(err).NotTo(HaveOccurred())
	pids := make([]int, 0, len(records))
	for _, record := range records {
		pid, err := strconv.Atoi(filepath.Base(record))
		Expect(err).NotTo(HaveOccurred())
		pids = append(pids, pid)
	}
	return pids
}

func leftDirectories(tmp string) []string {
	GinkgoHelper()
	found, err := filepath.Glob(filepath.Join(tmp, "*", "*-*"))
	Expect(err).NotTo(HaveOccurred())
	return found
}
