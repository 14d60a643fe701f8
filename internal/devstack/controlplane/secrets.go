package controlplane

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"

	"kubernaut.ai/internal/devstack/supervise"
)

const (
	loopback = "127.0.0.1"
	admin    = "kubernaut-admin"
)

// secrets authenticate the API server to its clients, and the administrator to it.
type secrets struct {
	certificate []byte
	token       string
}

// makeSecrets makes a certificate and a token for this run alone, and the key
// that service account tokens are signed with where the data have none yet.
func makeSecrets(data, run *supervise.Dir, users []User) (secrets, error) {
	certificate, key, err := certutil.GenerateSelfSignedCertKey("localhost", []net.IP{net.ParseIP(loopback)}, nil)
	if err != nil {
		return secrets{}, fmt.Errorf("make certificate: %w", err)
	}
	token := rand.Text()
	tokens, err := tokenLines(append([]User{{Name: admin, UID: admin, Groups: []string{"system:masters"}, Token: token}}, users...))
	if err != nil {
		return secrets{}, err
	}
	if err := errors.Join(
		os.WriteFile(run.Join(certFile), certificate, 0o600),
		os.WriteFile(run.Join(keyFile), key, 0o600),
		os.WriteFile(run.Join(tokenFile), tokens, 0o600),
		keepServiceAccountKey(data.Join(serviceAccountFile)),
	); err != nil {
		return secrets{}, fmt.Errorf("store secrets of the API server: %w", err)
	}
	if _, err := makeAuthorities(run.Path()); err != nil {
		return secrets{}, err
	}
	return secrets{certificate: certificate, token: token}, nil
}

// tokenLines is the content of a --token-auth-file.
func tokenLines(users []User) ([]byte, error) {
	var text bytes.Buffer
	lines := csv.NewWriter(&text)
	for _, u := range users {
		if err := lines.Write([]string{u.Token, u.Name, u.UID, strings.Join(u.Groups, ",")}); err != nil {
			return nil, fmt.Errorf("write token of %s: %w", u.Name, err)
		}
	}
	lines.Flush()
	return text.Bytes(), lines.Error()
}

func keepServiceAccountKey(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make service account key: %w", err)
	}
	encoded, err := keyutil.MarshalPrivateKeyToPEM(key)
	if err != nil {
		return fmt.Errorf("encode service account key: %w", err)
	}
	if err := os.WriteFile(path+".new", encoded, 0o600); err != nil {
		return fmt.Errorf("write service account key: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("store service account key: %w", err)
	}
	return nil
}

func (s secrets) config(port int) *rest.Config {
	return &rest.Config{
		Host:            "https://" + net.JoinHostPort(loopback, strconv.Itoa(port)),
		BearerToken:     s.token,
		TLSClientConfig: rest.TLSClientConfig{CAData: s.certificate},
		QPS:             -1, // the API server's own limits are enough
	}
}

// writeKubeconfig writes a file for kubectl that its owner alone can read. Its current context is
// the administrator's; each user has a context with the user's name.
func writeKubeconfig(path string, config *rest.Config, users []User) error {
	const cluster = "kubernaut"
	file := clientcmdapi.NewConfig()
	file.Clusters[cluster] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	for _, u := range append([]User{{Name: admin, Token: config.BearerToken}}, users...) {
		file.AuthInfos[u.Name] = &clientcmdapi.AuthInfo{Token: u.Token}
		file.Contexts[u.Name] = &clientcmdapi.Context{Cluster: cluster, AuthInfo: u.Name}
	}
	file.CurrentContext = admin
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}
