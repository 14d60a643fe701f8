package query

import (
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"kubernaut.ai/services/datastorage/internal/event"
	"kubernaut.ai/services/datastorage/internal/schema"
)

// IDTimes are the values of the column id_time for events with these ids.
func IDTimes(ids []uuid.UUID) []pgtype.Timestamptz {
	times := make([]pgtype.Timestamptz, len(ids))
	for i, id := range ids {
		times[i] = schema.IDTime(event.IDTime(id))
	}
	return times
}
