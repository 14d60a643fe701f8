// Command recorder is the program that the audit-spool and proxy scenarios kill. It records
// events through kubernaut.ai/pkg/audit as fast as the disk allows, and prints the
// resource id of each event once it is accepted. With -flush it stores what earlier
// processes left in the spool, and exits.
package main

import (
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/httpsink"
	"kubernaut.ai/pkg/audit/spool"
)

// recorders is the number of goroutines that record.
const recorders = 8

// largeBytes is the size of a large event.
const largeBytes = 100 << 10

func main() {
	url := flag.String("url", "", "URL of DataStorage")
	dir := flag.String("spool", "", "directory of the spool")
	segment := flag.Int64("segment-bytes", spool.DefaultSegmentBytes, "size of the spool's segments in bytes")
	kind := flag.String("resource-type", "recorder", "resource type of the events")
	large := flag.Int("large-one-in", 0, "one event in so many has 100 KiB that cannot be compressed; 0 for none")
	flush := flag.Bool("flush", false, "store the events that are in the spool, and exit")
	flag.Parse()
	if err := run(*url, *dir, *kind, *segment, *large, *flush); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "recorder:", err)
		os.Exit(1)
	}
}

func run(url, dir, kind string, segment int64, large int, flush bool) error {
	sink, err := httpsink.New(url)
	if err != nil {
		return err
	}
	disk, err := spool.Open(dir, spool.WithSegmentBytes(segment))
	if err != nil {
		return err
	}
	store, err := audit.New(sink, audit.WithSpool(disk), audit.WithDurability(audit.Spooled))
	if err != nil {
		return err
	}
	ctx := context.Background()
	if flush {
		return store.Close(ctx)
	}
	var all sync.WaitGroup
	for range recorders {
		all.Go(func() { record(ctx, store, kind, large) })
	}
	all.Wait()
	return nil
}

// record records until the process is killed. It does not print events that were
// not accepted; whether they are stored does not matter.
func record(ctx context.Context, store *audit.Store, kind string, large int) {
	correlationID := uuid.NewString()
	for {
		id := uuid.NewString()
		data := []byte("{}")
		if large > 0 && rand.IntN(large) == 0 {
			data = incompressible(largeBytes)
		}
		err := store.Record(ctx, &audit.Event{
			Type: "torture.event.recorded", Category: "torture", Action: "record", Outcome: audit.OutcomeSuccess,
			CorrelationID: correlationID, ResourceType: kind, ResourceID: id, Data: data,
		})
		if err != nil {
			continue
		}
		// A write of less than PIPE_BUF bytes is atomic.
		if _, err := os.Stdout.WriteString(id + "\n"); err != nil {
			return // the reader is gone
		}
	}
}

// incompressible makes data of random digits: half of its size is left of it at best.
func incompressible(bytes int) []byte {
	random := make([]byte, bytes)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	return fmt.Appendf(nil, `{"fill":%q}`, hex.EncodeToString(random))
}
