package query

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// ListParams select a page of a list that is not one of events: newest first, and by id where the times are equal.
type ListParams struct {
	// Limit bounds the page; nil stands for MaxLimit.
	Limit  *int
	Cursor string
}

// List is a page of a list that is asked for.
type List struct {
	limit int
	// query binds cursors to the list that they were made for.
	query  [8]byte
	behind *listPlace
}

// listPlace is the fixed form of a cursor, big endian: the place of the last row of a page.
type listPlace struct {
	Version uint8
	Query   [8]byte
	At      int64 // microseconds
	ID      uuid.UUID
}

// listVersion is the first byte of every cursor of a list; cursorVersion is that of events.
const listVersion = 0x81

// Of checks the parameters for the list with a name and what selects its rows. What is
// wrong with them is a *ParamError.
func (p ListParams) Of(name string, selected ...any) (*List, error) {
	bad := &ParamError{}
	l := &List{limit: number(bad, "limit", p.Limit, MaxLimit, 1, MaxLimit)}
	text, err := json.Marshal(append([]any{name}, selected...))
	if err != nil {
		return nil, fmt.Errorf("fingerprint of a list: %w", err)
	}
	sum := sha256.Sum256(text)
	l.query = [8]byte(sum[:8])
	if p.Cursor != "" {
		if l.behind, err = l.decode(p.Cursor); err != nil {
			bad.refusef("cursor", "%v", err)
		}
	}
	if len(bad.Fields) > 0 {
		return nil, bad
	}
	return l, nil
}

// SQL is the end of a query for the page and one row more, behind its first conditions, with its values behind args.
// Rows are ordered by the expression at, a time as database.PlainTime has it, and by the column id.
func (l *List) SQL(at, id string, args ...any) (rest string, all []any) {
	all = args
	if l.behind != nil {
		all = append(all, time.UnixMicro(l.behind.At).UTC(), l.behind.ID)
		time, last := len(all)-1, len(all)
		rest = fmt.Sprintf(` AND %[1]s <= $%[3]d AND (%[1]s < $%[3]d OR %[2]s > $%[4]d)`, at, id, time, last)
	}
	all = append(all, l.limit+1)
	return rest + fmt.Sprintf(` ORDER BY %s DESC, %s LIMIT $%d`, at, id, len(all)), all
}

// PageOf returns the rows of a page of those that SQL led to, and the cursor with which the list goes on behind
// it, "" at the end of the list.
func PageOf[T any](l *List, rows []T, place func(*T) (time.Time, uuid.UUID)) (page []T, next string, err error) {
	if len(rows) <= l.limit {
		return rows, "", nil
	}
	page = rows[:l.limit]
	at, id := place(&page[l.limit-1])
	raw, err := binary.Append(nil, binary.BigEndian, listPlace{Version: listVersion, Query: l.query, At: at.UnixMicro(), ID: id})
	if err != nil {
		return nil, "", fmt.Errorf("make a cursor: %w", err)
	}
	return page, base64.RawURLEncoding.EncodeToString(raw), nil
}

func (l *List) decode(text string) (*listPlace, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	var p listPlace
	if err != nil || len(raw) != binary.Size(p) || raw[0] != listVersion {
		return nil, errCursor
	}
	if err := binary.Read(bytes.NewReader(raw), binary.BigEndian, &p); err != nil {
		return nil, errCursor
	}
	if at := time.UnixMicro(p.At).UTC().Year(); at < 1 || at > 9999 {
		return nil, errCursor
	}
	if p.Query != l.query {
		return nil, errCursorMismatch
	}
	return &p, nil
}
