package chaos

import (
	"context"
	"errors"
	"fmt"

	"kubernaut.ai/test/middlebox"
	"kubernaut.ai/test/verdict"
)

const (
	// proxyLimit is the largest body that the proxy takes, in bytes.
	proxyLimit = 64 << 10
	// proxyKilledOneIn kills the proxy beside the recorder, or gives it other faults.
	proxyKilledOneIn = 4
	// proxyLongOneIn is as longOneIn.
	proxyLongOneIn = 2
	// largeOneIn of the events is larger than the proxy takes.
	largeOneIn = 500
)

// proxyFaults are what proxies do in DataStorage's place, each to some of the requests.
var proxyFaults = []middlebox.Rules{
	{},
	{Frontend: []string{
		middlebox.Answer(400, "if { rand(100) lt 10 }"), middlebox.Answer(403, "if { rand(100) lt 10 }"),
		middlebox.Answer(404, "if { rand(100) lt 10 }"), middlebox.Answer(502, "if { rand(100) lt 10 }"),
		middlebox.Answer(200, "if { rand(100) lt 5 }"),
	}},
	// The connection is closed before the request was read, or instead of an answer.
	{Frontend: []string{"http-request reject if { rand(100) lt 20 }"}},
	{Backend: []string{"tcp-response content close if { rand(100) lt 20 }"}},
	// DataStorage has stored the batch, and the sender reads something else.
	{Backend: []string{"http-response deny deny_status 502 if { rand(100) lt 20 }"}},
	{Frontend: []string{"timeout client 30ms", "timeout http-request 30ms", "timeout http-keep-alive 1ms"}},
	{Backend: []string{"timeout server 20ms"}},
}

// Proxy kills recorders, and the HAProxy between them and DataStorage. The proxy
// takes bodies of up to 64 KiB, which some events are larger than, cuts
// connections, answers in HTML, and has short time limits. Afterwards everything
// that was accepted is stored once, through a proxy that does no more of that.
func Proxy(ctx context.Context, o Options) (result verdict.Result, err error) {
	storage, err := o.Env.NewDataStorage(ctx, nil)
	if err != nil {
		return verdict.Result{}, fmt.Errorf("prepare: %w", err)
	}
	defer func() { err = errors.Join(err, storage.Stop(context.WithoutCancel(ctx))) }()
	proxy, err := middlebox.New(ctx, storage.URL)
	if err != nil {
		return verdict.Result{}, err
	}
	defer func() { err = errors.Join(err, proxy.Close(ctx)) }()
	if err := proxy.Start(ctx, limited(middlebox.Rules{})); err != nil {
		return verdict.Result{}, err
	}
	p, err := newProcesses(ctx, &o, "recorder")
	if err != nil {
		return verdict.Result{}, err
	}
	defer func() { err = errors.Join(err, p.dir.Close()) }()
	p.args = []string{"-url", proxy.URL, "-spool", p.spool(), "-resource-type", recorderResource, "-large-one-in", fmt.Sprint(largeOneIn)}

	accepted := map[string]bool{}
	random := o.random(0)
	for result.Disruptions < o.Kills {
		limit := maxRuntime
		if random.IntN(proxyLongOneIn) == 0 {
			limit = longRuntime
		}
		if random.IntN(proxyKilledOneIn) == 0 {
			if err := proxy.Start(ctx, limited(proxyFaults[random.IntN(len(proxyFaults))])); err != nil {
				return result, err
			}
			result.Disruptions++
		}
		if err := p.record(ctx, random, limit, accepted); err != nil {
			return result, fmt.Errorf("process %d of the recorder: %w", result.Disruptions+1, err)
		}
		result.Disruptions++
		o.report(result.Disruptions)
	}
	if err := proxy.Start(ctx, middlebox.Rules{}); err != nil {
		return result, err
	}
	if err := p.flush(ctx); err != nil {
		return result, fmt.Errorf("last process of the recorder: %w", err)
	}
	return result, checkRecords(ctx, &result, storage.DatabaseURL(), accepted)
}

// limited adds the limit to a proxy's faults.
func limited(rules middlebox.Rules) middlebox.Rules {
	return middlebox.Rules{Frontend: append([]string{middlebox.BodyLimit(proxyLimit)}, rules.Frontend...), Backend: rules.Backend}
}
