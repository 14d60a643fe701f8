package ownevent_test

import (
	"strings"
	"testing"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/services/datastorage/internal/ownevent"
)

func TestWhatIsRecordedOfACallerIsBounded(t *testing.T) {
	t.Parallel()
	groups := make([]string, 40)
	for i := range groups {
		groups[i] = strings.Repeat("g", 300)
	}
	u := ownevent.UserOf(&auth.Caller{Name: "grace", UID: "a\x00b" + strings.Repeat("u", 300), Groups: groups})
	if u.Name != "grace" || len(u.UID) != 255 || !strings.HasPrefix(u.UID, "a\uFFFDb") || len(u.Groups) != 32 || len(u.Groups[31]) != 255 {
		t.Errorf("recorded %+v, want 32 groups of 255 bytes and a UID of as many", u)
	}
	if user, actor := u.Actor(); user != &u || actor != "user" {
		t.Errorf("actor %q %v", actor, user)
	}
	if user, actor := new(ownevent.User).Actor(); user != nil || actor != "" {
		t.Errorf("nobody is actor %q %v", actor, user)
	}
}
