package schema_test

import (
	"testing"
	"time"

	"kubernaut.ai/services/datastorage/internal/schema"
)

func TestAStrayIsOutsideTheMonthsWithAPartition(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.December, 31, 23, 59, 59, 0, time.UTC)
	for at, want := range map[time.Time]bool{
		now: false,
		time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC):                                          false,
		time.Date(2026, time.October, 31, 23, 59, 59, 0, time.UTC):                                       true,
		time.Date(2027, time.March, 31, 23, 59, 59, 0, time.UTC):                                         false,
		time.Date(2027, time.April, 1, 1, 0, 0, 0, time.FixedZone("east", int((2*time.Hour).Seconds()))): false,
		time.Date(2027, time.April, 1, 0, 0, 0, 0, time.UTC):                                             true,
		time.Unix(0, 0): true,
	} {
		if got := schema.IsStray(at, now); got != want {
			t.Errorf("%s: %v", at, got)
		}
	}
}
