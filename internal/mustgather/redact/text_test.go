package redact_test

import (
	"strings"
	"testing"

	"kubernaut.ai/internal/mustgather/redact"
	"kubernaut.ai/internal/mustgather/redact/redacttest"
)

func newRedactor(tb testing.TB) *redact.Redactor {
	tb.Helper()
	r, err := redact.New()
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestTextKeepsWhatIsNotSecret(t *testing.T) {
	t.Parallel()
	r := newRedactor(t)
	for _, text := range []string{
		"the token is fine; secret: not found",
		"Error: secret \"datastorage-database\" not found",
		"apiGroup: rbac.authorization.k8s.io",
		"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		`{"level":"info","time":"2026-01-02T03:04:05Z","message":"stored","correlation_id":"rr-1f0a9c33d2aa","event_id":"018f6b1e-0000-7000-8000-000000000001"}`,
		"2026-01-02T03:04:05Z Warning FailedScheduling HorizontalPodAutoscaler/web-7f9c4d5b6-x2x7k: 0/3 nodes",
		"at kubernaut.ai/services/signalprocessing/internal/classification.(*Engine).Classify(0xc000123456)",
		"datastorage-tls secretName: tls\n  secretKeyRef: {key: url}",
		"user 12:34:56:789 logged in",
		"-----BEGIN CERTIFICATE-----\nMIIBcjCCARigAwIBAgIUQn3Zy1mY8xk2Vb7Hq9sT4uW6pLcwCgYIKoZIzj0EAwIw\n-----END CERTIFICATE-----",
		"get https://kubernetes.default.svc/api/v1/namespaces/shop/pods?limit=500: dial tcp 10.96.0.1:443: connection refused",
		"image: registry.example.com/kubernaut/datastorage:v1.2.3",
	} {
		if got := r.Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestTextOfAHugeLineEnds(t *testing.T) {
	t.Parallel()
	text := strings.Repeat(`{"token":"`, 20000) + strings.Repeat("a=b ", 20000)
	_ = newRedactor(t).Text(text)
}

func FuzzText(f *testing.F) {
	for _, canary := range redacttest.Canaries("seed") {
		f.Add(canary.Text)
	}
	f.Add("password=\xff -----BEGIN PRIVATE KEY")
	r := newRedactor(f)
	f.Fuzz(func(t *testing.T, text string) {
		once := r.Text(text)
		if strings.Count(once, "\n") > strings.Count(text, "\n") {
			t.Errorf("%q became %q, which has more lines", text, once)
		}
		// A secret on a line by itself is found whatever stands around it.
		const secret = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
		if got := r.Text(text + "\n" + secret + "\n"); strings.Contains(got, secret) {
			t.Errorf("%q keeps %q", text, got)
		}
	})
}

func BenchmarkText(b *testing.B) {
	r := newRedactor(b)
	line := `2026-01-02T03:04:05.000000001Z {"level":"info","time":"2026-01-02T03:04:05Z","logger":"gateway","message":"request","path":"/api/v1/signals/prometheus","correlation_id":"rr-1f0a9c33d2aa","status":201}` + "\n"
	text := strings.Repeat(line, 5000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_ = r.Text(text)
	}
}
