package redact

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The shortcut around the hints finds what a search of the whole text finds.
func TestPairsAreFoundAroundTheirHints(t *testing.T) {
	t.Parallel()
	parts := []string{
		"subscription-key", "connection-string", "connection.string", "slack_api_url", "secret-access-key", "session-id", "webhook_uri",
		"passwords", "passwd", "credentials", "_auth", "dsn", "token", "pwd", "key", "secret", "cookie", "monkey", "api", "x", "-",
		"=", ":", " ", "  ", "\t", `"`, `'`, `\"`, "value", "\\\\\\\\\\\\\\\\\\\\\\\\\"", "                        ",
	}
	random := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 20_000 {
		var text strings.Builder
		for range 1 + random.IntN(12) {
			text.WriteString(parts[random.IntN(len(parts))])
		}
		lower := text.String()
		from := random.IntN(1 + len(lower)/3)
		var want []int
		if match := pair.FindStringIndex(lower[from:]); match != nil {
			want = []int{from + match[0], from + match[1]}
			found++
		}
		if got := findPair(lower, from, hintsIn(lower)); !slices.Equal(got, want) {
			t.Fatalf("%q from %d: got %v, want %v", lower, from, got, want)
		}
	}
	if found < 5_000 {
		t.Errorf("only %d of the texts have pairs", found)
	}
}

// hintsIn are the places of pairHints.
func hintsIn(lower string) []int {
	var places []int
	for at := range lower {
		if slices.ContainsFunc(pairHints, func(hint string) bool { return strings.HasPrefix(lower[at:], hint) }) {
			places = append(places, at)
		}
	}
	return places
}

func TestSecretNamesHaveHints(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"POSTGRES_PASSWORD": true, "apiKey": true, "Slack_API_URL": true, "connectionString": true, "sessionid": true, "_auth": true,
		"subscription-key": true, "key": false, "resourceVersion": false, "passwordFile": false, "name": false,
	} {
		if got := isSecretName(name); got != want {
			t.Errorf("%s: got %t, want %t", name, got, want)
		}
	}
}
