package controlplane

import (
	"strconv"
	"strings"

	"kubernaut.ai/internal/devstack/supervise"
)

const (
	certFile           = "tls.crt"
	keyFile            = "tls.key"
	tokenFile          = "tokens.csv"
	kubeconfigFile     = "kubeconfig"
	serviceAccountFile = "service-account.key"
	egressFile         = "egress.yaml"
	podNetworkSocket   = "pods.sock"
)

func (c *ControlPlane) etcdSocket() string { return "unix://" + c.run.Join("etcd.sock") }

func (c *ControlPlane) etcdArgs() []string {
	peer := "unix://" + c.run.Join("peer.sock")
	args := []string{
		"--name=kubernaut",
		"--data-dir=" + c.data.Join(etcdName),
		"--listen-client-urls=" + c.etcdSocket(),
		"--advertise-client-urls=" + c.etcdSocket(),
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=kubernaut=" + peer,
	}
	if c.data == c.run {
		args = append(args, "--unsafe-no-fsync") // temporary data need not survive a power failure
	}
	return args
}

func (c *ControlPlane) apiServerArgs(port int) []string {
	authorities := c.Authorities()
	args := []string{
		"--etcd-servers=" + c.etcdSocket(),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + c.run.Join(certFile),
		"--tls-private-key-file=" + c.run.Join(keyFile),
		"--token-auth-file=" + c.run.Join(tokenFile),
		"--client-ca-file=" + authorities.certificate(clientAuthority),
		"--authorization-mode=RBAC",
		// for APIs that others serve: how the API server shows them who calls
		"--requestheader-client-ca-file=" + authorities.certificate(frontProxyAuthority),
		"--requestheader-allowed-names=" + frontProxyClient,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-uid-headers=X-Remote-Uid",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + authorities.certificate(frontProxyClient),
		"--proxy-client-key-file=" + authorities.key(frontProxyClient),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.data.Join(serviceAccountFile),
		"--service-account-signing-key-file=" + c.data.Join(serviceAccountFile),
		"--service-cluster-ip-range=10.0.0.0/24",
		"--allow-privileged=true",
		// no controller makes the default service account that pods would wait for
		"--disable-admission-plugins=ServiceAccount",
		// there is no service that would need endpoints of this server
		"--endpoint-reconciler-type=none",
		"--profiling=false",
	}
	if c.pods != nil {
		args = append(args, "--egress-selector-config-file="+c.run.Join(egressFile))
	}
	return args
}

func portTaken(p *supervise.Process) bool {
	select {
	case <-p.Done():
		return strings.Contains(p.Output(), "address already in use")
	default:
		return false
	}
}
