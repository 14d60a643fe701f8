package frontproxy

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	x509request "k8s.io/apiserver/pkg/authentication/request/x509"
	certutil "k8s.io/client-go/util/cert"
)

// The keys of the ConfigMap.
const (
	keyAuthority = "requestheader-client-ca-file"
	keyNames     = "requestheader-allowed-names"
	keyUser      = "requestheader-username-headers"
	keyUID       = "requestheader-uid-headers"
	keyGroups    = "requestheader-group-headers"
	keyExtra     = "requestheader-extra-headers-prefix"
	// keyClients is the authority of the certificates of people and nodes.
	keyClients = "client-ca-file"
)

// published is one version of what the API server publishes about its front
// proxy. Its authority, names and headers belong together.
type published struct {
	data    map[string]string
	roots   *x509.CertPool
	request authenticator.Request
}

func read(m *corev1.ConfigMap) (*published, error) {
	authority := m.Data[keyAuthority]
	if authority == "" {
		return nil, fmt.Errorf("it has no %s: start the API server with --requestheader-client-ca-file", keyAuthority)
	}
	signers, err := certutil.ParseCertsPEM([]byte(authority))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyAuthority, err)
	}
	lists := map[string][]string{}
	for _, key := range []string{keyNames, keyUser, keyUID, keyGroups, keyExtra} {
		if text := m.Data[key]; text != "" {
			var list []string
			if err := json.Unmarshal([]byte(text), &list); err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			lists[key] = list
		}
	}
	if len(lists[keyUser]) == 0 {
		return nil, fmt.Errorf("it has no %s: start the API server with --requestheader-username-headers", keyUser)
	}
	if len(lists[keyNames]) == 0 && share(signers, m.Data[keyClients]) {
		return nil, errors.New("the authority of the front proxy signs other clients too, and no name tells them apart: " +
			"start the API server with --requestheader-allowed-names, or with an authority for the front proxy alone")
	}
	p := &published{data: m.Data, roots: x509.NewCertPool()}
	for _, signer := range signers {
		p.roots.AddCert(signer)
	}
	options := x509request.DefaultVerifyOptions()
	options.Roots = p.roots
	slice := func(key string) headerrequest.StaticStringSlice { return lists[key] }
	p.request = headerrequest.NewDynamicVerifyOptionsSecure(func() (x509.VerifyOptions, bool) { return options, true },
		slice(keyNames), slice(keyUser), slice(keyUID), slice(keyGroups), slice(keyExtra))
	return p, nil
}

// share reports whether a bundle has one of the certificates.
func share(certificates []*x509.Certificate, bundle string) bool {
	others, err := certutil.ParseCertsPEM([]byte(bundle))
	if err != nil {
		return false // no bundle
	}
	for _, one := range certificates {
		if slices.ContainsFunc(others, one.Equal) {
			return true
		}
	}
	return false
}
