package app

import (
	"kubernaut.ai/internal/auditclient"
	"kubernaut.ai/internal/memory"
)

const (
	// deployedMemory is the GOMEMLIMIT of the deployment.
	deployedMemory = 460 << 20
	// stepBytes is about the most that a resource takes while it is processed, with
	// the objects that it is about and its policy decision; there are two kinds of
	// resources.
	stepBytes = 8 << 20
	kinds     = 2
)

// plan divides the memory between uses. What it leaves is for the caches of
// requests, whose number the Gateway bounds.
func (o *Options) plan() *memory.Plan {
	return &memory.Plan{Limit: o.MemoryLimit, Uses: []memory.Use{
		{Name: "resources", Flags: "--concurrency", Bytes: kinds * stepBytes * int64(o.Concurrency)},
		{Name: "audit events", Flags: "no flag", Bytes: auditclient.Memory},
	}}
}
