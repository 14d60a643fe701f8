package chaos

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"

	"kubernaut.ai/test/alertmanager"
	"kubernaut.ai/test/verdict"
)

// deployed is a program with the memory that its deployment gives it, in MiB.
type deployed struct {
	name           string
	goLimit, limit int64
	prepare        func(ctx context.Context, o *Options) (p *processes, clean func(context.Context) error, err error)
	load           func(ctx context.Context, p *processes, t *tally, at addresses) error
}

// tally counts what the answers were.
type tally struct{ accepted, refused atomic.Int64 }

func (t *tally) add(status int, err error) {
	switch {
	case err != nil || status == http.StatusServiceUnavailable || status == http.StatusRequestTimeout:
		t.refused.Add(1)
	case status < http.StatusMultipleChoices:
		t.accepted.Add(1)
	}
}

// Memory runs each program with all of its limits at their maximum, for as many
// seconds as there are to be kills, in a control group with the memory of its
// deployment. The kernel kills none of them. What counts as kills are the requests
// that were refused. The path of the program is that of DataStorage; the others
// are next to it.
func Memory(ctx context.Context, o Options) (result verdict.Result, err error) {
	for _, d := range []deployed{
		{name: "datastorage", goLimit: 920, limit: 1024, prepare: prepareStore, load: loadStore},
		{name: "gateway", goLimit: 460, limit: 512, prepare: prepareGateway, load: loadGateway},
		{name: "signalprocessing", goLimit: 460, limit: 512, prepare: prepareProcessing, load: loadProcessing},
	} {
		if err := d.measure(ctx, o, &result); err != nil {
			return result, fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return result, nil
}

func (d *deployed) measure(ctx context.Context, o Options, result *verdict.Result) (err error) {
	const mebi = 1 << 20
	group, err := newCgroup(d.name, d.limit*mebi)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, group.close()) }()
	o.Progress.Sayf("%s in %d MiB for %d s, limited by a control group: %t", d.name, d.limit, o.Kills, group.dir != "")
	o.Program.Path = filepath.Join(filepath.Dir(o.Program.Path), d.name)
	o.Program.Env = append(append([]string{}, o.Program.Env...), fmt.Sprintf("GOMEMLIMIT=%dMiB", d.goLimit))
	p, clean, err := d.prepare(ctx, &o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, clean(ctx)) }()
	p.Program.Path, p.args = group.command(o.Program.Path, p.args)
	var t tally
	used, err := p.peakUnder(ctx, time.Duration(o.Kills)*time.Second, func(ctx context.Context, at addresses) error { return d.load(ctx, p, &t, at) })
	if err != nil {
		return err
	}
	kills, err := group.oomKills()
	if err != nil {
		return err
	}
	result.Accepted += int(t.accepted.Load())
	result.Disruptions += int(t.refused.Load())
	result.AddFigure(d.name+"-peak-mib", used/mebi)
	result.AddFigure(d.name+"-limit-mib", d.limit)
	if used > d.limit*mebi || kills > 0 {
		result.AddLost(d.name, fmt.Sprintf("%d OOM kills, and a peak of %d MiB with a limit of %d MiB; the memory", kills, used/mebi, d.limit))
	}
	return nil
}

// peakUnder runs a process under load, and returns the most memory that it had.
func (p *processes) peakUnder(ctx context.Context, duration time.Duration, load func(context.Context, addresses) error) (used int64, err error) {
	started, ready, err := p.serve(syscall.SIGTERM)
	if err != nil {
		return 0, err
	}
	at, err := awaitReady(ctx, started, ready)
	if err == nil {
		loading, stop := context.WithTimeout(ctx, duration)
		err = load(loading, at)
		stop()
	}
	if err == nil {
		used, err = peak(started.PID())
	}
	return used, errors.Join(err, started.finish(context.WithoutCancel(ctx)))
}

// The callers of the scenario memory.
var manyCallers = []string{"a", "b", "c", "d"}

func prepareStore(ctx context.Context, o *Options) (*processes, func(context.Context) error, error) {
	s, err := newStore(ctx, o, manyCallers)
	if err != nil {
		return nil, nil, err
	}
	return s.processes, s.close, nil
}

// upload is a body and its encoding.
type upload struct {
	body     []byte
	encoding string
}

// uploads are the most expensive bodies that DataStorage takes.
func uploads() ([]upload, error) {
	large, _, err := storeEvents(uuid.NewString(), 15, 1<<20-1<<10)
	if err != nil {
		return nil, err
	}
	many, _, err := storeEvents(uuid.NewString(), 10_000, 1<<10)
	if err != nil {
		return nil, err
	}
	wrong := []byte("[{}" + strings.Repeat(",{}", 9_999) + "]")
	blank := append([]byte("["), bytes.Repeat([]byte{' '}, 16<<20-2)...)
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(blank); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		return nil, fmt.Errorf("compress: %w", err)
	}
	return []upload{
		{large, "identity"},
		{many, "identity"},
		{wrong, "identity"},
		{blank, "identity"},
		{zipped.Bytes(), "gzip"},
		{encoder.EncodeAll(many, nil), "zstd"},
	}, nil
}

// loadStore sends the most expensive bodies from many connections, and reads
// large pages, or does not read them.
func loadStore(ctx context.Context, _ *processes, t *tally, at addresses) error {
	const each, readers = 3, 16
	bodies, err := uploads()
	if err != nil {
		return err
	}
	var all sync.WaitGroup
	for _, caller := range manyCallers {
		for _, u := range bodies {
			for range each {
				all.Go(func() {
					for ctx.Err() == nil {
						t.add(exchange(ctx, http.MethodPost, at.API+pathBatch, caller, u.body, "Content-Encoding", u.encoding))
					}
				})
			}
		}
		for range readers {
			all.Go(func() {
				for ctx.Err() == nil {
					t.add(exchange(ctx, http.MethodGet, at.API+pathEvents+"?limit=1000", caller, nil, "Accept-Encoding", "gzip"))
				}
			})
			all.Go(func() { _ = stallReadingAs(ctx, caller, at.API+pathEvents+"?limit=1000") })
		}
	}
	all.Wait()
	return nil
}

func prepareGateway(ctx context.Context, o *Options) (*processes, func(context.Context) error, error) {
	namespace, err := o.Env.NewNamespace(ctx, nil, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("prepare: %w", err)
	}
	p, err := newProcesses(ctx, o, "gateway")
	if err != nil {
		return nil, nil, err
	}
	tokens := p.dir.Join("tokens")
	if err := os.WriteFile(tokens, []byte(tokenLines(manyCallers)), 0o600); err != nil { //nolint:mnd // for its owner
		return nil, nil, errors.Join(fmt.Errorf("write tokens: %w", err), p.dir.Close())
	}
	p.args = []string{
		"serve", "--datastorage-url", o.Env.DataStorage.URL, "--listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0",
		"--kubeconfig", o.Env.Kubeconfig, "--namespace", namespace, "--watch-namespace", namespace, "--audit-spool", p.spool(),
		"--auth", "token-file", "--auth-token-file", tokens,
	}
	return p, func(context.Context) error { return p.dir.Close() }, nil
}

// loadGateway sends the most expensive notifications from many connections.
func loadGateway(ctx context.Context, _ *processes, t *tally, at addresses) error {
	const each = 4
	var many strings.Builder
	for i := range 10_000 {
		if i > 0 {
			many.WriteByte(',')
		}
		fmt.Fprintf(&many, `{"status":"resolved","labels":{"alertname":"A%d","x":"%s"}}`, i, strings.Repeat("x", 1500))
	}
	bodies := []string{
		`{"alerts":[` + many.String() + `],"version":"4"}`,
		`{"alerts":[{"status":"resolved","labels":{"alertname":"A","x":"` + strings.Repeat("x", 16<<20-1000) + `"}}],"version":"4"}`,
		`{"groupLabels":{` + strings.Repeat(`"":"",`, 2_600_000) + `"a":""},"alerts":[{"status":"resolved","labels":{"alertname":"A"}}],"version":"4"}`,
		`{"alerts":[{"status":"resolved","labels":{"alertname":"A"}}` + strings.Repeat(`,{}`, 5_000_000) + `],"version":"4"}`,
	}
	var all sync.WaitGroup
	for _, caller := range manyCallers {
		for _, body := range bodies {
			for range each {
				all.Go(func() {
					for ctx.Err() == nil {
						t.add(exchange(ctx, http.MethodPost, at.API+alertmanager.Path, caller, []byte(body)))
					}
				})
			}
		}
	}
	all.Wait()
	return nil
}

func prepareProcessing(ctx context.Context, o *Options) (*processes, func(context.Context) error, error) {
	namespace, err := o.Env.NewNamespace(ctx, nil, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("prepare: %w", err)
	}
	p, err := newProcesses(ctx, o, "signalprocessing")
	if err != nil {
		return nil, nil, err
	}
	p.args = []string{
		"serve", "--datastorage-url", o.Env.DataStorage.URL, "--management-listen", "127.0.0.1:0", "--leader-elect=false",
		"--kubeconfig", o.Env.Kubeconfig, "--watch-namespace", namespace, "--gateway-namespace", namespace, "--audit-spool", p.spool(),
	}
	return p, func(context.Context) error { return p.dir.Close() }, nil
}

// loadProcessing creates requests, as many as the Gateway allows in all.
func loadProcessing(ctx context.Context, p *processes, t *tally, _ addresses) error {
	const most, creators = 5000, 8
	namespace := p.args[len(p.args)-3] // --gateway-namespace
	var created atomic.Int64
	var all sync.WaitGroup
	for range creators {
		all.Go(func() {
			for ctx.Err() == nil && created.Add(1) <= most {
				request := p.Env.Request("rr-" + uuid.NewString())
				request.Namespace = namespace
				request.Spec.TargetResource.Namespace = namespace
				if p.Env.Create(ctx, request) == nil {
					t.accepted.Add(1)
				}
			}
		})
	}
	all.Wait()
	<-ctx.Done()
	return nil
}
