package audit_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/pkg/audit/audittest"
)

func TestSinkState(t *testing.T) {
	t.Parallel()
	for state, err := range map[string]error{
		"the sink has not responded yet":                         nil,
		"the sink responds with 503 Service Unavailable":         &audit.SinkError{Status: 503, Detail: "secret"},
		"the sink is unreachable":                                errors.New("secret"),
		"the sink refuses connections":                           &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED},
		"the sink's host name cannot be resolved":                &net.DNSError{Err: "no such host", Name: "secret"},
		"the sink does not respond in time":                      context.DeadlineExceeded,
		"the sink does not speak TLS":                            tls.RecordHeaderError{Msg: "secret"},
		"the sink refuses the TLS connection":                    &net.OpError{Op: "remote error", Err: tls.AlertError(42)},
		"the sink's certificate has expired or is not yet valid": x509.CertificateInvalidError{Reason: x509.Expired},
		"the sink's certificate is not trusted":                  x509.UnknownAuthorityError{},
		"the sink's certificate is for another host":             x509.HostnameError{Certificate: &x509.Certificate{}, Host: "secret"},
	} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			if err != nil && !errors.As(err, new(*audit.SinkError)) {
				err = &audit.SinkError{Err: fmt.Errorf("post events: %w", err)}
			}
			if got := audit.SinkState(err); got != state {
				t.Errorf("state of %v: %q", err, got)
			}
		})
	}
}

// An outage is logged when it begins, when its kind changes and every few
// minutes, and a flush tells the current kind.
func TestF12_AnOutageIsExplainedWhileItLasts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var logs logbook
		store, sink, clock := audittest.NewStore(t, audit.WithLogger(logs.logger()))
		refused := &audit.SinkError{Err: syscall.ECONNREFUSED}
		expired := &audit.SinkError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}
		sink.Fail(refused)
		recordAll(t, store, "a")
		clock.Step(audit.DefaultInterval)
		synctest.Wait()
		sink.Fail(expired)
		const steps = int(11 * time.Minute / audit.DefaultLongestBackoff)
		for range steps {
			clock.Step(audit.DefaultLongestBackoff)
			synctest.Wait()
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		e := asFlushError(t, errorOf(store.Flush(over)))
		if got := audit.SinkState(e.SinkError); !strings.Contains(got, "certificate has expired") {
			t.Errorf("the flush says %q: %v", got, e)
		}
		sink.Recover()
		clock.Step(audit.DefaultLongestBackoff)
		synctest.Wait()
		logs.want(t, "warn: audit sink down, events stay pending", "warn: audit sink fails in another way",
			"warn: audit sink still down", "warn: audit sink still down", "info: audit sink back")
		if got := logs.attrs("audit sink fails in another way"); !strings.Contains(got[0]["kind"], "certificate has expired") || got[0]["down_for"] == "" {
			t.Errorf("the change: %v", got)
		}
		if got, want := logs.attrs("audit sink back")[0]["down_for"], time.Duration(steps+1)*audit.DefaultLongestBackoff; !strings.Contains(got, "m") {
			t.Errorf("down for %s, want about %v", got, want)
		} else if lasted, err := time.ParseDuration(got); err != nil || lasted > want || lasted < want-audit.DefaultLongestBackoff {
			t.Errorf("down for %s (%v), want about %v", got, err, want)
		}
	})
}
