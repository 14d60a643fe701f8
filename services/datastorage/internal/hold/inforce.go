package hold

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"kubernaut.ai/services/datastorage/internal/database"
	"kubernaut.ai/services/datastorage/internal/query"
)

// maxFilter bounds what is read of a filter, in bytes: more than any filter has.
const maxFilter = 64 << 10

// InForce are the holds that a removal of events has to respect.
type InForce struct {
	correlationIDs []string
	filters        []filtered
	// Version changes when a hold is placed or released, or when its row changes.
	Version string
}

// filtered is a hold on a filter. Somebody else than Store may have written its row. If its filter is unusable,
// nobody knows which events it was meant for, and it keeps all.
type filtered struct {
	id       uuid.UUID
	filter   query.Filter
	unusable error
}

// where is an SQL condition over audit_events that is true for held events, with its values behind args.
func (f *filtered) where(args []any) (condition string, all []any, err error) {
	if f.unusable != nil {
		return "true", args, nil //nolint:nilerr // it holds everything
	}
	if condition, all, err = f.filter.Where(args); err != nil {
		return "", nil, fmt.Errorf("filter of hold %s: %w", f.id, err)
	}
	return condition, all, nil
}

// readFilter reads a filter, also one that is unusable for the reason that is its error.
func readFilter(text *string) (query.Filter, error) {
	var parts map[string]*string
	if text == nil || json.Unmarshal([]byte(*text), &parts) != nil {
		return nil, fmt.Errorf("its filter is not an object of texts with at most %d bytes", maxFilter)
	}
	filter := query.Filter{}
	for name, value := range parts {
		if value == nil {
			return nil, fmt.Errorf("its filter has no text as %.50q", name)
		}
		filter[name] = *value
	}
	_, _, err := filter.Where(nil)
	if wrong, ok := errors.AsType[*query.ParamError](err); ok {
		name := slices.Sorted(maps.Keys(wrong.Fields))[0]
		return filter, fmt.Errorf("its filter is unusable: %.50q %s", name, wrong.Fields[name])
	}
	return filter, err //nolint:wrapcheck // says what the filter lacks
}

// UnusableError names holds in force that keep all events, because nobody knows which they were meant for.
type UnusableError struct{ holds []filtered }

func (e *UnusableError) Error() string {
	first := e.holds[0]
	others := ""
	if len(e.holds) > 1 {
		others = fmt.Sprintf(", and so are %d more (kubernaut hold list)", len(e.holds)-1)
	}
	return fmt.Sprintf("the row of legal hold %[1]s in audit_holds is malformed (%[2]v)%[3]s: it keeps all events from retention and erasure until you place "+
		"the hold that it was meant for, and then release it (kubernaut hold release %[1]s --reason TEXT)", first.id, first.unusable, others)
}

// Unusable returns an *UnusableError if a hold keeps all events because its row is malformed.
func (f *InForce) Unusable() error {
	e := &UnusableError{}
	for _, h := range f.filters {
		if h.unusable != nil {
			e.holds = append(e.holds, h)
		}
	}
	if len(e.holds) == 0 {
		return nil
	}
	return e
}

// Matches returns an SQL condition over audit_events that is true for held events
// and false for all others, with its values behind args.
func (f *InForce) Matches(args []any) (condition string, all []any, err error) {
	parts := make([]string, 0, 1+len(f.filters))
	all = args
	if len(f.correlationIDs) > 0 {
		all = append(all, f.correlationIDs)
		parts = append(parts, fmt.Sprintf("correlation_id = ANY ($%d::text[])", len(all)))
	}
	for _, h := range f.filters {
		var part string
		if part, all, err = h.where(all); err != nil {
			return "", nil, err
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "false", all, nil
	}
	// A filter on a column without a value is NULL, which is not held.
	return "coalesce(" + strings.Join(parts, " OR ") + ", false)", all, nil
}

// Read returns the holds in force. Under Lock, none is placed or released before
// the transaction ends.
func Read(ctx context.Context, tx pgx.Tx) (*InForce, error) { return read(ctx, tx, "") }

// read returns those of the holds in force for which a condition is true, too.
func read(ctx context.Context, tx pgx.Tx, condition string) (*InForce, error) {
	// No event has a correlation id as long as one that is cut.
	rows, err := tx.Query(ctx, fmt.Sprintf(`SELECT hold_id, left(correlation_id, %d), %s,
		(SELECT count(*) || '/' || count(released_at) FROM audit_holds) FROM audit_holds WHERE released_at IS NULL %s ORDER BY hold_id`,
		maxCorrelationID+1, database.BoundedObject("filter", "filter", maxFilter), condition))
	if err != nil {
		return nil, fmt.Errorf("read the holds: %w", err)
	}
	f := &InForce{}
	content := sha256.New()
	var id uuid.UUID
	var correlationID, filter *string
	_, err = pgx.ForEachRow(rows, []any{&id, &correlationID, &filter, &f.Version}, func() error {
		if correlationID != nil {
			f.correlationIDs = append(f.correlationIDs, *correlationID)
		} else {
			h := filtered{id: id}
			h.filter, h.unusable = readFilter(filter)
			f.filters = append(f.filters, h)
		}
		return json.NewEncoder(content).Encode([]any{id, correlationID, filter})
	})
	if err != nil {
		return nil, fmt.Errorf("read the holds: %w", err)
	}
	f.Version += "/" + hex.EncodeToString(content.Sum(nil))
	return f, nil
}
