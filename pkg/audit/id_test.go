package audit_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/pkg/audit"
)

func TestDerivedID(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1_767_323_045_678)
	id := audit.DerivedID(at, "uid", "1", "Completed")

	if id.Version() != 8 || id.Variant() != uuid.RFC4122 {
		t.Errorf("%s has version %d and variant %v, want 8 and RFC 9562's", id, id.Version(), id.Variant())
	}
	if got := unixMilli(id); got != at.UnixMilli() {
		t.Errorf("%s has the time %d, want %d", id, got, at.UnixMilli())
	}
	// The form is a promise: ids of earlier releases must be derived again.
	if want := "019b7ca9-8f2e-84aa-9dc3-e07efbdf3ec5"; id.String() != want {
		t.Errorf("id %s, want %s", id, want)
	}
	if again := audit.DerivedID(at.Add(999*time.Microsecond).In(time.FixedZone("", 3600)), "uid", "1", "Completed"); again != id {
		t.Errorf("the same parts give %s and %s", id, again)
	}
	for name, other := range map[string]uuid.UUID{
		"another time":      audit.DerivedID(at.Add(time.Millisecond), "uid", "1", "Completed"),
		"another part":      audit.DerivedID(at, "uid", "2", "Completed"),
		"parts cut anew":    audit.DerivedID(at, "uid1", "", "Completed"),
		"one part more":     audit.DerivedID(at, "uid", "1", "Completed", ""),
		"no parts":          audit.DerivedID(at),
		"parts with a NUL":  audit.DerivedID(at, "uid\x001", "Completed"),
		"another order":     audit.DerivedID(at, "1", "uid", "Completed"),
		"a time before all": audit.DerivedID(time.Time{}, "uid", "1", "Completed"),
	} {
		if other == id {
			t.Errorf("%s gives the same id", name)
		}
	}
	if got := unixMilli(audit.DerivedID(time.Time{}, "x")); got != 0 {
		t.Errorf("a time before 1970 becomes %d, want 0", got)
	}
}
