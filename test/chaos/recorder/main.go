// Command recorder is what the torture of the spool kills: it records events
// through kubernaut.ai/pkg/audit, as fast as the disk allows, and prints the
// resource id of each one once it was accepted. It is told by its flags where;
// with -flush it stores what earlier lives have left and ends.
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

// recorders is how many goroutines record.
const recorders = 8

func main() {
	url := flag.String("url", "", "address of DataStorage")
	dir := flag.String("spool", "", "folder of the spool")
	segment := flag.Int64("segment-bytes", spool.DefaultSegmentBytes, "size of the spool's segments")
	kind := flag.String("resource-type", "recorder", "resource type of the events")
	flush := flag.Bool("flush", false, "store what is there, and end")
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
	kept, err := spool.Open(dir, spool.WithSegmentBytes(segment))
	if err != nil {
		return err
	}
	store, err := audit.New(sink, audit.WithSpool(kept), audit.WithDurability(audit.Spooled))
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

// record records until the process is killed. An event that was not accepted
// is not printed, and what becomes of it is nobody's concern.
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
		// One write of less than PIPE_BUF: it is there whole, or not at all.
		if _, err := os.Stdout.WriteString(id + "\n"); err != nil {
			return // nobody reads any more
		}
	}
}
