package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"kubernaut.ai/internal/lifecycle"
	datastorage "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/auditdb"
)

const (
	// serveVariable holds the URL of the database in the process that serves.
	serveVariable = "KUBERNAUT_BENCH_SERVE"
	// deployedMemory and deployedGarbage are the settings of the deployment.
	deployedMemory  = "GOMEMLIMIT=920MiB"
	deployedGarbage = "GOGC=400"
	anyPort         = "127.0.0.1:0"
)

// echoOnly is the URL of no database, for a server that only reads requests: what HTTP alone costs.
const echoOnly = "echo"

// serveEcho is the process of that server.
func serveEcho(ctx context.Context) error {
	return serveUntilEOF(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the client notices a failure
		w.WriteHeader(http.StatusCreated)
	}))
}

// serveUntilEOF serves until standard input ends, and prints the address for the parent.
func serveUntilEOF(ctx context.Context, handler http.Handler) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", anyPort)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	const patience = 10 * time.Second
	server := &http.Server{ReadHeaderTimeout: patience, Handler: handler}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // its end is what is waited for
		_ = server.Close()
	}()
	fmt.Println("http://" + listener.Addr().String()) //nolint:forbidigo // the parent reads it
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// serve is the server's process: it prints its address, and ends with its standard input.
func serve(ctx context.Context, database, profiles string) (err error) {
	if database == echoOnly {
		return serveEcho(ctx)
	}
	if os.Getenv(minimumVariable) != "" {
		return serveMinimum(ctx, database)
	}
	if answer := os.Getenv(peerVariable); answer != "" {
		return servePeer(ctx, database, answer)
	}
	serving, err := auditdb.Serving(database)
	if err != nil {
		return err //nolint:wrapcheck // says all there is
	}
	app, err := datastorage.New(datastorage.Options{DatabaseURL: serving, Listen: anyPort, ManagementListen: anyPort})
	if err != nil {
		return fmt.Errorf("configure DataStorage: %w", err)
	}
	running, err := lifecycle.Start(ctx, "DataStorage", app)
	if err != nil {
		return err //nolint:wrapcheck // names the part
	}
	defer func() { err = errors.Join(err, running.Stop()) }()
	if profiles != "" {
		file, err := os.CreateTemp(profiles, "datastorage-*.pprof")
		if err != nil {
			return fmt.Errorf("profile: %w", err)
		}
		defer func() { _ = file.Close() }()
		if err := pprof.StartCPUProfile(file); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Println(app.APIURL()) //nolint:forbidigo // the parent reads it
	_, err = io.Copy(io.Discard, os.Stdin)
	return err //nolint:wrapcheck // there is nothing to add
}

// server is a DataStorage in its own process, whose memory can be told from that of the clients.
type server struct {
	url     string
	process *exec.Cmd
	stdin   io.Closer
}

// startServer starts a server with the options of a deployment.
func startServer(ctx context.Context, database, profiles string) (*server, error) {
	return startProcess(ctx, database, profiles)
}

// startProcess starts this program as a server, with more environment variables.
func startProcess(ctx context.Context, database, profiles string, variables ...string) (*server, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	s := &server{process: exec.CommandContext(ctx, program, "-profiles", profiles)} //nolint:gosec // this program
	s.process.Env = append(append(os.Environ(), serveVariable+"="+database, deployedMemory, deployedGarbage), variables...)
	s.process.Stderr = os.Stderr
	stdin, stdinErr := s.process.StdinPipe()
	stdout, stdoutErr := s.process.StdoutPipe()
	if err := errors.Join(stdinErr, stdoutErr); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	s.stdin = stdin
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the server: %w", err), s.stop())
	}
	s.url = strings.TrimSpace(line)
	return s, nil
}

func (s *server) stop() error {
	if err := errors.Join(s.stdin.Close(), s.process.Wait()); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	return nil
}

var peakLine = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peakMiB is the most memory that the server has had.
func (s *server) peakMiB() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the server's memory: %w", err)
	}
	found := peakLine.FindSubmatch(status)
	if found == nil {
		return 0, errors.New("read the server's memory: this system does not tell the peak")
	}
	const kib = 1 << 10
	peak, err := strconv.ParseFloat(string(found[1]), 64)
	return peak / kib, err //nolint:wrapcheck // the expression lets digits through only
}

// newDatabase makes a database with the schema.
func (b *bench) newDatabase(ctx context.Context) (string, error) {
	return auditdb.Create(ctx, b.database, fmt.Sprintf("bench_%d", time.Now().UnixNano())) //nolint:wrapcheck // says all there is
}
