package cluster

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"kubernaut.ai/test/testenv"
)

// personSeconds is the lifetime of a person's certificate.
const personSeconds int32 = 3600

// Person is somebody with a client certificate of the cluster.
type Person struct {
	Name string
	// Config has the credentials.
	Config *rest.Config
}

// NewPerson makes a person with a random name, whose certificate the cluster's
// authority signs. Nothing is permitted to the person that is not to the groups.
func (e *Env) NewPerson(ctx context.Context, groups ...string) (*Person, error) {
	name := testenv.Unique("person-*")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key of a person: %w", err)
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: name, Organization: groups},
	}, key)
	if err != nil {
		return nil, fmt.Errorf("request a person's certificate: %w", err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode the key of a person: %w", err)
	}
	certificate, err := e.signed(ctx, name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: request}))
	if err != nil {
		return nil, fmt.Errorf("certificate of a person: %w", err)
	}
	config := rest.AnonymousClientConfig(e.Config)
	config.CertData = certificate
	config.KeyData = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
	return &Person{Name: name, Config: config}, nil
}

// signed approves a request, and waits until the cluster has signed it.
func (e *Env) signed(ctx context.Context, name string, request []byte) ([]byte, error) {
	requests := e.Kubernetes.CertificatesV1().CertificateSigningRequests()
	csr, err := requests.Create(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: request, SignerName: certificatesv1.KubeAPIServerClientSignerName, ExpirationSeconds: new(personSeconds),
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth, certificatesv1.UsageDigitalSignature},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("request it: %w", err)
	}
	csr.Status.Conditions = append(csr.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "EndToEndTest", Message: "a person of the end-to-end tests",
	})
	if _, err := requests.UpdateApproval(ctx, name, csr, metav1.UpdateOptions{}); err != nil {
		return nil, fmt.Errorf("approve it: %w", err)
	}
	signed := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: name}}
	err = testenv.WaitFor(ctx, e, signed, func(r *certificatesv1.CertificateSigningRequest) bool { return len(r.Status.Certificate) > 0 })
	if err != nil {
		return nil, fmt.Errorf("wait until it is signed: %w", err)
	}
	if err := requests.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return nil, fmt.Errorf("remove the request: %w", err)
	}
	return signed.Status.Certificate, nil
}

// Kubeconfig is a kubectl configuration with the person's credentials.
func (p *Person) Kubeconfig() ([]byte, error) {
	const only = "kind"
	config := clientcmdapi.NewConfig()
	config.Clusters[only] = &clientcmdapi.Cluster{Server: p.Config.Host, CertificateAuthorityData: p.Config.CAData}
	config.AuthInfos[p.Name] = &clientcmdapi.AuthInfo{ClientCertificateData: p.Config.CertData, ClientKeyData: p.Config.KeyData}
	config.Contexts[only] = &clientcmdapi.Context{Cluster: only, AuthInfo: p.Name}
	config.CurrentContext = only
	text, err := clientcmd.Write(*config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of a person: %w", err)
	}
	return text, nil
}
