// Command recorder is the program that the audit-spool scenario kills. It records
// events through kubernaut.ai/pkg/audit as fast as the disk allows, and prints the
// resource id of each event once it is accepted. With -flush it stores what earlier
// processes left in the spool, and exits.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/httpsink"
	"kubernaut.ai/pkg/audit/spool"
)

// recorders is the number of goroutines that record.
const recorders = 8

func main() {
	url := flag.String("url", "", "URL of DataStorage")
	dir := flag.String("spool", "", "directory of the spool")
	segment := flag.Int64("segment-bytes", spool.DefaultSegmentBytes, "size of the spool's segments in bytes")
	kind := flag.String("resource-type", "recorder", "resource type of the events")
	flush := flag.Bool("flush", false, "store the events that are in the spool, and exit")
	flag.Parse()
	if err := run(*url, *dir, *kind, *segment, *flush); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "recorder:", err)
		os.Exit(1)
	}
}

func run(url, dir, kind string, segment int64, flush bool) error {
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
		all.Go(func() { record(ctx, store, kind) })
	}
	all.Wait()
	return nil
}

// record records until the process is killed. It does not print events that were
// not accepted; whether they are stored does not matter.
func record(ctx context.Context, store *audit.Store, kind string) {
	correlationID := uuid.NewString()
	for {
		id := uuid.NewString()
		err := store.Record(ctx, &audit.Event{
			Type: "torture.event.recorded", Category: "torture", Action: "record", Outcome: audit.OutcomeSuccess,
			CorrelationID: correlationID, ResourceType: kind, ResourceID: id, Data: []byte("{}"),
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
