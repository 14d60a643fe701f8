package app

import (
	"kubernaut.ai/internal/auditclient"
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/memory"
	"kubernaut.ai/services/gateway/internal/webhook"
)

// deployedMemory is the GOMEMLIMIT of the deployment.
const deployedMemory = 460 << 20

func (o *Options) declareMemory(f *cli.Flags) {
	memory.DeclareLimit(f, &o.MemoryLimit, deployedMemory)
	f.Int64(&o.MaxBodyMemory, "max-body-memory", 0,
		"bound on the memory for the bodies of all notifications together, in bytes; five times --max-body-bytes and 2 KiB for each of --max-signals at least",
		cli.Derived("a quarter of --memory-limit", func() int64 { return o.MemoryLimit / 4 })) //nolint:mnd // a quarter
}

// requestBytes is about what an open request takes in the cache.
const requestBytes = 8 << 10

// plan divides the memory between uses. The budget may be nil.
func (o *Options) plan(bodies *memory.Budget) *memory.Plan {
	return &memory.Plan{Limit: o.MemoryLimit, Uses: []memory.Use{
		{Name: "bodies", Flags: "--max-body-memory", Bytes: o.MaxBodyMemory, Budget: bodies},
		{Name: "signals", Flags: "no flag", Bytes: webhook.WorkingMemory},
		{Name: "requests", Flags: "--max-open", Bytes: int64(o.MaxOpen) * requestBytes},
		{Name: "audit events", Flags: "no flag", Bytes: auditclient.Memory},
	}}
}

// checkMemory returns a *cli.UsageError if the bounds do not fit together.
func (o *Options) checkMemory() error {
	if cost := o.limits().Cost(); o.MaxBodyMemory < cost {
		return cli.Usagef("--max-body-memory %d: one body of --max-body-bytes %d with --max-signals %d takes %d",
			o.MaxBodyMemory, o.MaxBodyBytes, o.MaxSignals, cost)
	}
	return o.plan(nil).Check() //nolint:wrapcheck // names the flags
}
