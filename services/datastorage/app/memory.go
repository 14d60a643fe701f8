package app

import (
	"kubernaut.ai/internal/cli"
	"kubernaut.ai/internal/memory"
	"kubernaut.ai/services/datastorage/internal/httpapi"
	"kubernaut.ai/services/datastorage/internal/ingest"
)

// deployedMemory is the GOMEMLIMIT of the deployment.
const deployedMemory = 920 << 20

// The parts of the memory, in percent. The rest is that of memory.Rest.
const (
	bodyPercent        = 35
	pagePercent        = 15
	transactionPercent = 30
	hundred            = 100
)

func (o *Options) declareMemory(f *cli.Flags) {
	share := func(percent int64) func() int64 { return func() int64 { return o.MemoryLimit / hundred * percent } }
	memory.DeclareLimit(f, &o.MemoryLimit, deployedMemory)
	f.Int64(&o.MaxBodyMemory, "max-body-memory", 0, "bound on the memory for bodies and their events, in bytes; above, requests wait, and then get 503",
		cli.Derived("35 % of --memory-limit", share(bodyPercent)))
	f.Int64(&o.MaxPageMemory, "max-page-memory", 0, "bound on the memory for answers to queries, in bytes; above, queries wait, and then get 503",
		cli.Derived("15 % of --memory-limit", share(pagePercent)))
}

// transactionBytes bounds the events of one transaction.
func (o *Options) transactionBytes() int {
	return int(o.transactionMemory() / int64(o.Writers) / ingest.TransactionFactor)
}

// transactionMemory is what all transactions may take.
func (o *Options) transactionMemory() int64 { return o.MemoryLimit / hundred * transactionPercent }

// checkMemory returns a *cli.UsageError if the bounds do not fit together.
func (o *Options) checkMemory() error {
	if peak := httpapi.PeakBodyBytes(o.MaxBodyBytes, o.MaxBatchEvents); o.MaxBodyMemory < peak {
		return cli.Usagef("--max-body-memory %d: one body of --max-body-bytes %d with --max-batch-events %d takes %d",
			o.MaxBodyMemory, o.MaxBodyBytes, o.MaxBatchEvents, peak)
	}
	if peak := httpapi.PeakPageBytes(o.MaxPageBytes, o.MaxEventDataBytes); o.MaxPageMemory < peak {
		return cli.Usagef("--max-page-memory %d: one page of --max-page-bytes %d with --max-event-data-bytes %d takes %d",
			o.MaxPageMemory, o.MaxPageBytes, o.MaxEventDataBytes, peak)
	}
	if o.transactionBytes() < o.MaxBodyBytes {
		return cli.Usagef("--writers %d: as many transactions with a body of --max-body-bytes %d take %d, more than 30 %% of --memory-limit %d: "+
			"raise GOMEMLIMIT, or lower these flags",
			o.Writers, o.MaxBodyBytes, int64(o.Writers)*ingest.TransactionFactor*int64(o.MaxBodyBytes), o.MemoryLimit)
	}
	return o.plan(nil, nil, nil).Check() //nolint:wrapcheck // names the flags
}

// plan divides the memory between uses. The budgets may be nil.
func (o *Options) plan(bodies, pages *memory.Budget, transactions func() int64) *memory.Plan {
	return &memory.Plan{Limit: o.MemoryLimit, Uses: []memory.Use{
		{Name: "bodies", Flags: "--max-body-memory", Bytes: o.MaxBodyMemory, Budget: bodies},
		{Name: "pages", Flags: "--max-page-memory", Bytes: o.MaxPageMemory, Budget: pages},
		{Name: "transactions", Flags: "--writers", Bytes: o.transactionMemory(), Used: transactions},
	}}
}
