//go:build integration

package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"kubernaut.ai/internal/devstack/postgres"
)

// dataVariable is the variable with the data directory for the roles "write" and "read".
const dataVariable = "KUBERNAUT_TEST_DATA"

// withServer starts a private server on that data directory and calls use with a connection.
func withServer(use func(context.Context, *pgx.Conn) error) error {
	ctx := context.Background()
	server, err := postgres.Start(ctx, postgres.Options{DataDir: os.Getenv(dataVariable)})
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		return err
	}
	if err := use(ctx, conn); err != nil {
		return err
	}
	return server.Stop(ctx)
}

// write stores a row and then waits to be killed.
func write() error {
	return withServer(func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "CREATE TABLE persisted AS SELECT 'precious' AS value"); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(os.Stdout, "up")
		select {}
	})
}

func read() error {
	return withServer(func(ctx context.Context, conn *pgx.Conn) error {
		var value string
		err := conn.QueryRow(ctx, "SELECT value FROM persisted").Scan(&value)
		_, _ = fmt.Fprintln(os.Stdout, value)
		return err
	})
}

var _ = Describe("a private PostgreSQL with a data directory", func() {
	It("has every acknowledged row after server and owner were killed", func(ctx SpecContext) {
		tmp := temporaryFolder()
		data := filepath.Join(tmp, "data")
		owner := role(ctx, "write", tmp)
		owner.Env = privateServer(owner.Env, data)
		out, err := owner.StdoutPipe()
		Expect(err).NotTo(HaveOccurred())
		Expect(owner.Start()).To(Succeed())
		Expect(bufio.NewReader(out).ReadString('\n')).To(Equal("up\n"))

		By("killing the server, which leaves its pid file, and then the owner")
		records, err := filepath.Glob(filepath.Join(data, "children", "*"))
		Expect(err).NotTo(HaveOccurred())
		Expect(records).To(HaveLen(1))
		pid, err := strconv.Atoi(filepath.Base(records[0]))
		Expect(err).NotTo(HaveOccurred())
		Expect(owner.Process.Signal(syscall.SIGSTOP)).To(Succeed()) // it must not clean up
		Expect(syscall.Kill(pid, syscall.SIGKILL)).To(Succeed())
		Expect(owner.Process.Kill()).To(Succeed())
		Expect(owner.Wait()).NotTo(Succeed())
		Expect(filepath.Join(data, "cluster", "postmaster.pid")).To(BeAnExistingFile())

		By("starting again on the same data")
		next := role(ctx, "read", tmp)
		next.Env = privateServer(next.Env, data)
		text, err := next.Output()
		Expect(err).NotTo(HaveOccurred())
		Expect(string(text)).To(Equal("precious\n"))
	}, SpecTimeout(specTimeout))
})

// privateServer makes a role start its own server, even if DATABASE_URL names one.
func privateServer(env []string, data string) []string {
	env = slices.DeleteFunc(env, func(v string) bool { return strings.HasPrefix(v, "DATABASE_URL=") })
	return append(env, dataVariable+"="+data)
}
