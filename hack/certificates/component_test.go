package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestServersAreTrustedUnderTheNamesOfTheirServices(t *testing.T) {
	t.Parallel()
	o := options{namespace: "remediation", dir: filepath.Join(t.TempDir(), "tls"), addresses: []string{"127.0.0.1"}}
	now := time.Now()
	if err := o.write(now); err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM(read(t, o.dir, "ca.crt")) {
		t.Fatal("no authority in ca.crt")
	}
	for _, service := range services {
		served, err := tls.X509KeyPair(read(t, o.dir, service+".crt"), read(t, o.dir, service+".key"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{service, service + ".remediation.svc", service + ".remediation.svc.cluster.local", "127.0.0.1"} {
			if _, err := served.Leaf.Verify(x509.VerifyOptions{Roots: trusted, DNSName: name}); err != nil {
				t.Errorf("%s as %s: %v", service, name, err)
			}
		}
		if _, err := served.Leaf.Verify(x509.VerifyOptions{Roots: trusted, DNSName: service + ".kubernaut-system.svc"}); err == nil {
			t.Errorf("%s is trusted in another namespace", service)
		}
	}
}

func TestCertificatesAreReplacedOnlyWhenTheyHaveToBe(t *testing.T) {
	t.Parallel()
	now := time.Now()
	o := options{namespace: "remediation", dir: t.TempDir()}
	for _, at := range []struct {
		what               string
		now                time.Time
		namespace          string
		authority, replace bool
	}{
		{"at first", now, "remediation", true, true},
		{"again", now, "remediation", false, false},
		{"in another namespace", now, "elsewhere", false, true},
		{"a month before they expire", now.Add(serverLife - renewBefore + time.Hour), "elsewhere", false, true},
		{"a month before the authority expires", now.Add(authorityLife), "elsewhere", true, true},
	} {
		authority, server := readIf(o.dir, "ca.crt"), readIf(o.dir, "gateway.crt")
		o.namespace = at.namespace
		if err := o.write(at.now); err != nil {
			t.Fatal(err)
		}
		if replaced := !bytes.Equal(authority, read(t, o.dir, "ca.crt")); replaced != at.authority {
			t.Errorf("%s: new authority %t, want %t", at.what, replaced, at.authority)
		}
		if replaced := !bytes.Equal(server, read(t, o.dir, "gateway.crt")); replaced != at.replace {
			t.Errorf("%s: new certificate %t, want %t", at.what, replaced, at.replace)
		}
	}
}

func TestWhatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	o := options{namespace: "remediation", dir: t.TempDir()}
	if err := o.write(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(o.dir, "ca.key")); err != nil {
		t.Fatal(err)
	}
	if err := o.write(time.Now()); err == nil {
		t.Error("an authority without its key was replaced without a word")
	}
	wrong := options{namespace: "remediation", dir: t.TempDir(), addresses: []string{"localhost"}}
	if err := wrong.write(time.Now()); err == nil {
		t.Error("a name was taken for an IP address")
	}
}

func readIf(dir, name string) []byte {
	text, _ := os.ReadFile(filepath.Join(dir, name)) // nothing at first
	return text
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}
