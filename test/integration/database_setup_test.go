//go:build integration

package integration_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"kubernaut.ai/internal/auditclient/spool"
	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/internal/lifecycle"
	datastorageapp "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/auditdb"
)

// trailDatabase is the database of a spec on its own server.
const trailDatabase = "trail"

// ownPostgres starts a server for one spec, with DataStorage's schema in trailDatabase.
func ownPostgres(ctx context.Context) *postgres.Server {
	GinkgoHelper()
	server, err := postgres.StartPrivate(ctx, postgres.Options{})
	Expect(err).NotTo(HaveOccurred())
	stopAtEnd(server)
	_, err = auditdb.Create(ctx, server, trailDatabase)
	Expect(err).NotTo(HaveOccurred())
	return server
}

func stopAtEnd(server *postgres.Server) {
	DeferCleanup(func(ctx SpecContext) { Expect(server.Stop(ctx)).To(Succeed()) })
}

// ownStandby starts a standby of a server.
func ownStandby(ctx context.Context, primary *postgres.Server, name string) *postgres.Server {
	GinkgoHelper()
	standby, err := primary.Standby(ctx, name)
	Expect(err).NotTo(HaveOccurred())
	stopAtEnd(standby)
	return standby
}

// trailURL is the database of ownPostgres under the server's own socket, for its first user.
func trailURL(server *postgres.Server) string {
	return postgres.AtSockets(server, trailDatabase, server.SocketDir())
}

// servingURL is the connection string of `datastorage serve` for a database.
func servingURL(databaseURL string) string {
	GinkgoHelper()
	url, err := auditdb.Serving(databaseURL)
	Expect(err).NotTo(HaveOccurred())
	return url
}

// loggedStore is a DataStorage whose log a spec reads.
type loggedStore struct {
	*datastorageapp.App

	logs *observer.ObservedLogs
}

// storeOn starts a DataStorage on a database. It connects as the serving role,
// whoever the URL names.
func storeOn(ctx context.Context, databaseURL string, change func(*datastorageapp.Options)) *loggedStore {
	GinkgoHelper()
	core, logs := observer.New(zap.InfoLevel)
	options := datastorageapp.Options{
		DatabaseURL: servingURL(databaseURL), Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0",
		Spool: spool.Flags{Dir: GinkgoT().TempDir()}, // its database may be a standby, or away when it stops
		Log:   logger().Named("datastorage").WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core { return zapcore.NewTee(c, core) })),
	}
	if change != nil {
		change(&options)
	}
	a, err := datastorageapp.New(options)
	Expect(err).NotTo(HaveOccurred())
	running, err := lifecycle.Start(ctx, "DataStorage", a)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(running.Stop()).To(Succeed()) })
	return &loggedStore{App: a, logs: logs}
}

// forwarder is what stands between DataStorage and PostgreSQL: an address that can
// be moved to another server. Connections that are open stay where they are.
type forwarder struct {
	folder   string
	listener net.Listener

	mu     sync.Mutex
	target string // guarded by mu; the folder of a server's socket
	// swallow is a text: from the first message of a client that has it, nothing of
	// this client is forwarded, and its connection stays open. Guarded by mu.
	swallow   string
	swallowed chan struct{}
	open      []net.Conn // guarded by mu
}

// newForwarder starts one; the spec's end closes it.
func newForwarder(ctx context.Context, to *postgres.Server) *forwarder {
	GinkgoHelper()
	folder, err := os.MkdirTemp("", "fwd")
	Expect(err).NotTo(HaveOccurred())
	var listen net.ListenConfig
	f := &forwarder{folder: folder, target: to.SocketDir(), swallowed: make(chan struct{})}
	f.listener, err = listen.Listen(ctx, "unix", filepath.Join(folder, ".s.PGSQL.5432"))
	Expect(err).NotTo(HaveOccurred())
	go f.serve()
	DeferCleanup(func() {
		_ = f.listener.Close()
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, c := range f.open {
			_ = c.Close()
		}
		Expect(os.RemoveAll(folder)).To(Succeed())
	})
	return f
}

// moveTo makes new connections reach another server.
func (f *forwarder) moveTo(s *postgres.Server) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target = s.SocketDir()
}

// swallowFrom makes the next client whose message has a text vanish from there on.
func (f *forwarder) swallowFrom(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.swallow = text
}

// cut ends all connections.
func (f *forwarder) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.open {
		_ = conn.Close()
	}
	f.open = nil
}

func (f *forwarder) serve() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		target := f.target
		f.mu.Unlock()
		server, err := net.Dial("unix", filepath.Join(target, ".s.PGSQL.5432")) //nolint:noctx // a local socket
		if err != nil {
			_ = client.Close()
			continue
		}
		f.mu.Lock()
		f.open = append(f.open, client, server)
		f.mu.Unlock()
		go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
		go f.send(server, client)
	}
}

// send forwards what a client sends, until it is told to swallow it.
func (f *forwarder) send(server, client net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := client.Read(buffer)
		if before, swallowed := f.swallows(buffer[:n]); swallowed {
			_, _ = server.Write(before)
			close(f.swallowed)
			return // both connections stay open
		}
		if _, failed := server.Write(buffer[:n]); errors.Join(err, failed) != nil {
			_ = server.Close()
			return
		}
	}
}

// swallows returns what comes before the text in a message, if it has the text.
func (f *forwarder) swallows(message []byte) (before []byte, swallowed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.swallow == "" {
		return nil, false
	}
	before, _, swallowed = bytes.Cut(message, []byte(f.swallow))
	if swallowed {
		f.swallow = ""
	}
	return before, swallowed
}
