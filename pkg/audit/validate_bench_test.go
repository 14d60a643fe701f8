package audit_test

import (
	"bytes"
	"os"
	"testing"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

// signalEvent is an event as the Gateway records it, with data of about that size.
func signalEvent(tb testing.TB, size string) *audit.Event {
	tb.Helper()
	data, err := os.ReadFile("wire/testdata/" + size + ".json")
	if err != nil {
		tb.Fatal(err)
	}
	e := audittest.NewEvent("gateway.signal.received", "rr-9f86d081884c-0123456789")
	e.ID = audit.DerivedID(audittest.Epoch(), "signal")
	e.Version, e.Timestamp = audit.SchemaVersion, audittest.Epoch()
	e.Category, e.Action, e.Severity = "gateway", "received", "critical"
	e.ActorType, e.ActorID, e.ActorIP = "source", "system:serviceaccount:monitoring:alertmanager", "10.42.7.19"
	e.ResourceType, e.ResourceID, e.Namespace = "RemediationRequest", e.CorrelationID, "kubernaut-system"
	e.ClusterID = "eu-west-1-prod"
	e.Producer = audit.Producer{ID: "gateway-0", Epoch: 1767323045000, Sequence: 4711}
	e.Data = bytes.TrimSpace(data)
	return e
}

func BenchmarkValidate(b *testing.B) {
	for _, size := range []string{"200B", "1KiB", "16KiB"} {
		e := signalEvent(b, size)
		b.Run(size, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := e.Validate(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
