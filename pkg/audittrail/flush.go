package audittrail

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/control"
	"kubernaut.ai/pkg/audit/flushhttp"
)

// Flush flushes each service, by the URL of its management port, for one
// correlation id, or for everything if that is empty. It returns the receipts
// in the order of the URLs, and an error that names each service whose flush
// failed and why; each of these may be an *audit.FlushError, which counts events
// and names none.
func Flush(ctx context.Context, client *http.Client, managementURLs []string, correlationID string) ([]audit.Receipt, error) {
	receipts, errs := flushEach(ctx, client, managementURLs, correlationID)
	return receipts, errors.Join(errs...)
}

func flushEach(ctx context.Context, client *http.Client, managementURLs []string, correlationID string) ([]audit.Receipt, []error) {
	receipts := make([]audit.Receipt, len(managementURLs))
	errs := make([]error, len(managementURLs))
	var all sync.WaitGroup
	for i, base := range managementURLs {
		all.Go(func() {
			receipts[i], errs[i] = flushhttp.Request(ctx, client, strings.TrimSuffix(base, "/")+"/audit/flush", correlationID)
		})
	}
	all.Wait()
	return receipts, errs
}

// Flusher flushes stores for one correlation id, or for everything if that is
// empty, and returns their receipts. A nil error proves that every event that
// any of them accepted before the call is stored. It must be safe for
// concurrent use.
type Flusher interface {
	Flush(ctx context.Context, correlationID string) ([]audit.Receipt, error)
}

// byURL flushes services whose management ports can be reached.
type byURL struct {
	client *http.Client
	urls   []string
	// control are the URLs of their control listeners, in the same order; those
	// that cannot be reached are empty, or missing at the end.
	control []string
}

// Flush also names the events that keep a flush from being a proof, where the
// control listener can be reached: the management port counts them only.
func (f byURL) Flush(ctx context.Context, correlationID string) ([]audit.Receipt, error) {
	receipts, errs := flushEach(ctx, f.client, f.urls, correlationID)
	for i, err := range errs {
		failure, ok := errors.AsType[*audit.FlushError](err)
		if !ok || i >= len(f.control) || f.control[i] == "" {
			continue
		}
		listener := control.Client{URL: f.control[i], HTTP: f.client}
		if nameErr := listener.Name(ctx, failure, correlationID); nameErr != nil {
			errs[i] = errors.Join(err, fmt.Errorf("the events cannot be named: %w", nameErr))
		}
	}
	return receipts, errors.Join(errs...)
}

// flushAll runs all flushers concurrently.
func flushAll(ctx context.Context, flushers []Flusher, correlationID string) ([]audit.Receipt, error) {
	receipts := make([][]audit.Receipt, len(flushers))
	errs := make([]error, len(flushers))
	var all sync.WaitGroup
	for i, f := range flushers {
		all.Go(func() { receipts[i], errs[i] = f.Flush(ctx, correlationID) })
	}
	all.Wait()
	return slices.Concat(receipts...), errors.Join(errs...)
}

// Tokens are the consistency tokens of receipts, each once.
func Tokens(receipts []audit.Receipt) []string {
	tokens := []string{}
	for _, r := range receipts {
		if r.ConsistencyToken != "" && !slices.Contains(tokens, r.ConsistencyToken) {
			tokens = append(tokens, r.ConsistencyToken)
		}
	}
	return tokens
}
