//go:build integration

package integration_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"kubernaut.ai/internal/lifecycle"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/auditdb"
)

// lateDatabase is a TCP proxy in front of a database that closes every connection until it is opened.
type lateDatabase struct {
	url  string
	open atomic.Bool
}

func newLateDatabase(ctx context.Context, databaseURL string) *lateDatabase {
	GinkgoHelper()
	behind, err := pgconn.ParseConfig(databaseURL)
	Expect(err).NotTo(HaveOccurred())
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(listener.Close()).To(Succeed()) })
	front := url.URL{
		Scheme: "postgres", User: url.UserPassword(behind.User, behind.Password),
		Host: listener.Addr().String(), Path: "/" + behind.Database, RawQuery: "sslmode=disable",
	}
	d := &lateDatabase{url: front.String()}
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			network, address := pgconn.NetworkAddress(behind.Host, behind.Port)
			far, err := new(net.Dialer).DialContext(context.WithoutCancel(ctx), network, address)
			if err != nil || !d.open.Load() {
				_ = near.Close()
				if far != nil {
					_ = far.Close()
				}
				continue
			}
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					_ = way[0].Close()
				}()
			}
		}
	}()
	return d
}

var _ = Describe("DataStorage start before its database", func() {
	It("waits for the database, says why, and then migrates", func(ctx SpecContext) {
		d := newLateDatabase(ctx, emptyDatabase(ctx))
		var reasons []string
		Expect(datastorageapp.AwaitDatabase(ctx, d.url, time.Minute, func(reason error) {
			reasons = append(reasons, reason.Error())
			d.open.Store(true)
		})).To(Succeed())
		Expect(reasons).To(ConsistOf(ContainSubstring("unreachable")))
		done, err := auditdb.Migrate(ctx, d.url, time.Now())
		Expect(err).NotTo(HaveOccurred())
		Expect(done.Migrations).NotTo(BeEmpty())
	}, SpecTimeout(specTimeout))

	It("does not wait for a database that does not exist", func(ctx SpecContext) {
		d := newLateDatabase(ctx, emptyDatabase(ctx))
		d.open.Store(true)
		err := datastorageapp.AwaitDatabase(ctx, d.url+"&dbname=kubernaut_none", time.Minute, func(reason error) {
			Fail("waits: " + reason.Error())
		})
		Expect(err).To(MatchError(ContainSubstring("3D000")))
	}, SpecTimeout(specTimeout))

	It("serves once the database is reachable", func(ctx SpecContext) {
		database, err := env.NewDatabase(ctx)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func(ctx SpecContext) { Expect(database.Drop(ctx)).To(Succeed()) })
		d := newLateDatabase(ctx, database.URL)
		waited := make(chan struct{})
		log := logger().WithOptions(zap.Hooks(func(e zapcore.Entry) error {
			if e.Message == "waiting for the database" && d.open.CompareAndSwap(false, true) {
				close(waited)
			}
			return nil
		}))
		a, err := datastorageapp.New(datastorageapp.Options{
			DatabaseURL: servingURL(d.url), MaxConnections: 10, Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0", StartupTimeout: time.Minute, Log: log,
		})
		Expect(err).NotTo(HaveOccurred())
		running, err := lifecycle.Start(ctx, "DataStorage", a)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(running.Stop()).To(Succeed()) })
		Expect(waited).To(BeClosed())
		Expect(storeCall(ctx, a.ManagementURL(), http.MethodGet, "/readyz", nil, nil).code).To(Equal(http.StatusOK))
	}, SpecTimeout(specTimeout))
})
