package main

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	authorityName = "kubernaut-ca"
	// The authority lives long, because clients hold its certificate.
	authorityLife, serverLife = 10 * 365 * 24 * time.Hour, 365 * 24 * time.Hour
	// renewBefore is when a certificate is replaced.
	renewBefore = 30 * 24 * time.Hour

	privateDir  = 0o700
	privateFile = 0o600
)

// services have a certificate each, in Secret NAME-tls.
var services = []string{"datastorage", "gateway"}

type options struct {
	namespace, dir string
	addresses      []string
}

// write makes what is missing or too old, and the component.
func (o *options) write(now time.Time) error {
	addresses := make([]net.IP, len(o.addresses))
	for i, text := range o.addresses {
		if addresses[i] = net.ParseIP(text); addresses[i] == nil {
			return fmt.Errorf("-ip %s: not an IP address", text)
		}
	}
	authority, err := o.pair(now, "ca", func() (*pair, error) { return newAuthority(now) }, nil)
	if err != nil {
		return err
	}
	if err := o.save("ca.crt", authority.certificate); err != nil {
		return err
	}
	var generators strings.Builder
	for _, service := range services {
		names := namesOf(service, o.namespace)
		_, err := o.pair(now, service,
			func() (*pair, error) { return authority.issue(now, names, addresses) },
			func(p *pair) bool { return p.serves(authority, names, addresses) })
		if err != nil {
			return err
		}
		fmt.Fprintf(&generators, generator, service)
	}
	bundle := base64.StdEncoding.EncodeToString(authority.certificate)
	return o.save("kustomization.yaml", fmt.Appendf(nil, component, generators.String(), bundle))
}

func namesOf(service, namespace string) []string {
	return []string{service, service + "." + namespace, service + "." + namespace + ".svc", service + "." + namespace + ".svc.cluster.local"}
}

// pair reads NAME.crt and NAME.key. It makes new ones if there are none, if the
// certificate expires soon, or if it does not suit.
func (o *options) pair(now time.Time, name string, create func() (*pair, error), suits func(*pair) bool) (*pair, error) {
	certificate, err := os.ReadFile(filepath.Join(o.dir, name+".crt"))
	if err == nil {
		key, err := os.ReadFile(filepath.Join(o.dir, name+".key"))
		if err != nil {
			return nil, fmt.Errorf("read the key of %s.crt: %w", name, err)
		}
		p, err := parse(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("read %s.crt and %s.key in %s: %w", name, name, o.dir, err)
		}
		if p.parsed.NotAfter.After(now.Add(renewBefore)) && (suits == nil || suits(p)) {
			return p, nil
		}
	} else if !os.IsNotExist(err) {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	p, err := create()
	if err != nil {
		return nil, fmt.Errorf("make the certificate of %s: %w", name, err)
	}
	// The key first: a certificate without its key is an error.
	if err := o.save(name+".key", p.keyPEM); err != nil {
		return nil, err
	}
	return p, o.save(name+".crt", p.certificate)
}

func (o *options) save(name string, text []byte) error {
	if err := os.MkdirAll(o.dir, privateDir); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	if err := os.WriteFile(filepath.Join(o.dir, name), text, privateFile); err != nil {
		return fmt.Errorf("write certificates: %w", err)
	}
	return nil
}

const (
	generator = `- name: %[1]s-tls
  type: kubernetes.io/tls
  files: [tls.crt=%[1]s.crt, tls.key=%[1]s.key, ca.crt]
`
	// The names of the Secrets are in components/tls; the patch is for component people, if it is there.
	component = `# Made by hack/certificates.
apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
generatorOptions:
  disableNameSuffixHash: true
  labels: {app.kubernetes.io/part-of: kubernaut}
secretGenerator:
%spatches:
- target: {kind: APIService, name: v1.audit.kubernaut.ai}
  patch: |-
    - {op: add, path: /spec/caBundle, value: %s}
`
)
