package wire_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"kubernaut.ai/internal/devstack/postgres"
	"kubernaut.ai/internal/devstack/progress"
	datastorage "kubernaut.ai/services/datastorage/app"
	"kubernaut.ai/test/auditdb"
)

// dataStorage is the address of a DataStorage over PostgreSQL, on loopback.
var dataStorage string

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.bench").Value.String() == "" {
		os.Exit(m.Run()) // nothing to measure: no server
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "wire:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx, stop := context.WithCancel(context.Background())
	server, err := postgres.Start(ctx, postgres.Options{Progress: progress.To(os.Stderr)})
	if err != nil {
		stop()
		return 1, fmt.Errorf("start PostgreSQL: %w", err)
	}
	defer func() {
		const patience = 30 * time.Second
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = errors.Join(err, server.Stop(ctx))
	}()
	name := fmt.Sprintf("wire_%d", time.Now().UnixNano())
	defer func() { err = errors.Join(err, server.DropDatabase(context.Background(), name)) }()
	url, err := auditdb.Create(ctx, server, name)
	if err == nil {
		url, err = auditdb.Serving(url)
	}
	if err != nil {
		stop()
		return 1, err
	}
	app, err := datastorage.New(datastorage.Options{DatabaseURL: url, Listen: "127.0.0.1:0", ManagementListen: "127.0.0.1:0"})
	if err != nil {
		stop()
		return 1, fmt.Errorf("make DataStorage: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	select {
	case err := <-ended:
		stop()
		return 1, fmt.Errorf("run DataStorage: %w", err)
	case <-app.Ready():
	}
	dataStorage = app.APIURL()
	code = m.Run()
	stop()
	return code, <-ended
}
