package kill

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"golang.org/x/sync/errgroup"

	"kubernaut.ai/pkg/service/trail"
	"kubernaut.ai/test/testenv"
)

// readers is how many trails are read at the same time.
const readers = 4

// readTrails flushes the last life, and then queries each correlation id once.
func readTrails(ctx context.Context, dataStorageURL, managementURL string, correlationIDs []string) (map[string]testenv.Trail, error) {
	if _, err := trail.Flush(ctx, http.DefaultClient, []string{managementURL}, ""); err != nil {
		return nil, fmt.Errorf("flush the last life: %w", err)
	}
	reader, err := trail.NewReader(trail.Options{DataStorageURL: dataStorageURL})
	if err != nil {
		return nil, fmt.Errorf("read trails: %w", err)
	}
	var mu sync.Mutex
	trails := make(map[string]testenv.Trail, len(correlationIDs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for _, id := range correlationIDs {
		group.Go(func() error {
			events, err := reader.Read(ctx, id)
			if err != nil {
				return fmt.Errorf("read trail: %w", err)
			}
			mu.Lock()
			defer mu.Unlock()
			trails[id] = events
			return nil
		})
	}
	return trails, group.Wait()
}
