package audit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
)

// SinkState says why events are pending, given the newest error of the sink. It
// does not repeat the words of a peer, which may quote the request: the store's
// log has those. The log also tells when it changes.
func SinkState(err error) string {
	if err == nil {
		return "the sink has not responded yet"
	}
	var sinkErr *SinkError
	if errors.As(err, &sinkErr) && sinkErr.Status != 0 {
		return fmt.Sprintf("the sink responds with %d %s", sinkErr.Status, http.StatusText(sinkErr.Status))
	}
	if kind := certificateFailure(err); kind != "" {
		return kind
	}
	var name *net.DNSError
	var plain tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.As(err, &plain):
		return "the sink does not speak TLS"
	case errors.As(err, &alert):
		return "the sink refuses the TLS connection"
	case errors.As(err, &name):
		return "the sink's host name cannot be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the sink refuses connections"
	case errors.Is(err, errTooSlow), errors.Is(err, context.DeadlineExceeded):
		return "the sink does not respond in time"
	default:
		return "the sink is unreachable"
	}
}

// certificateFailure says why the sink's certificate was not accepted; empty if
// that was not the failure.
func certificateFailure(err error) string {
	var invalid x509.CertificateInvalidError
	var otherHost x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the sink's certificate has expired or is not yet valid"
	case errors.As(err, &otherHost):
		return "the sink's certificate is for another host"
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &verification):
		return "the sink's certificate is not trusted"
	default:
		return ""
	}
}
