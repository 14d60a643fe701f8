package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// maxAnswer bounds what is read of a flush's answer: a refusal names at most
// 1,000 events.
const maxAnswer = 4 << 20

// Receipt is a service's proof of a flush.
type Receipt struct {
	// Barrier is the position up to which the service's events are stored.
	Barrier uint64 `json:"barrier"`
	// Events is how many events the flush waited for.
	Events int `json:"events"`
	// ConsistencyToken goes to a query as at_least; empty where the service has stored nothing yet.
	ConsistencyToken string `json:"consistency_token"`
}

// Flush asks each service, by the URL of its management port, to store what it
// owes of a correlation id (of everything, where that is empty). It returns
// the receipts in the order of the URLs, and an error that names each service
// that could not prove it and why.
func Flush(ctx context.Context, client *http.Client, managementURLs []string, correlationID string) ([]Receipt, error) {
	receipts := make([]Receipt, len(managementURLs))
	errs := make([]error, len(managementURLs))
	var group errgroup.Group
	for i, base := range managementURLs {
		group.Go(func() error {
			receipts[i], errs[i] = flushOne(ctx, client, base, correlationID)
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs, all of them
	return receipts, errors.Join(errs...)
}

func flushOne(ctx context.Context, client *http.Client, base, correlationID string) (Receipt, error) {
	address := strings.TrimSuffix(base, "/") + "/audit/flush"
	if correlationID != "" {
		address += "?" + url.Values{"correlation_id": {correlationID}}.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, http.NoBody)
	if err != nil {
		return Receipt{}, fmt.Errorf("flush %s: %w", base, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return Receipt{}, fmt.Errorf("flush %s: %w", base, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Receipt{}, fmt.Errorf("flush %s: read answer: %w", base, err)
	}
	if resp.StatusCode != http.StatusOK {
		return Receipt{}, fmt.Errorf("flush %s: not proved: %s: %s", base, resp.Status, strings.TrimSpace(string(body)))
	}
	var receipt Receipt
	if err := json.Unmarshal(body, &receipt); err != nil {
		return Receipt{}, fmt.Errorf("flush %s: read receipt: %w", base, err)
	}
	return receipt, nil
}

// Tokens are the consistency tokens of receipts, each once.
func Tokens(receipts []Receipt) []string {
	tokens := []string{}
	for _, r := range receipts {
		if r.ConsistencyToken != "" && !slices.Contains(tokens, r.ConsistencyToken) {
			tokens = append(tokens, r.ConsistencyToken)
		}
	}
	return tokens
}
