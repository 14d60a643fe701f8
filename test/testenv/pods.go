package testenv

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/pkg/audit/control"
)

const (
	// managementPort is the name of a pod's management port.
	managementPort = "management"
	// controlPort is the number of a pod's control port.
	controlPort = control.DefaultPort
)

// podNetwork contains the fictitious addresses of pods. A pod has the port that its
// process listens on, on the loopback interface. So every process of a suite can make
// pods without announcing them.
var podNetwork = netip.MustParsePrefix("10.128.0.0/9")

// dialPod connects the API server to the process behind a pod, or to a port of this
// machine that a Service of type ExternalName names.
func dialPod(ctx context.Context, network, address string) (net.Conn, error) {
	if port, found := strings.CutPrefix(address, externalName+":"); found {
		conn, err := new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			return nil, fmt.Errorf("connect to service: %w", err)
		}
		return conn, nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("connect to pod: %w", err)
	}
	if !podNetwork.Contains(to.Addr()) {
		return nil, fmt.Errorf("connect to pod: %s is not in %s", to, podNetwork)
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", strconv.Itoa(int(to.Port()))))
	if err != nil {
		return nil, fmt.Errorf("connect to pod %s: %w", to, err)
	}
	return conn, nil
}

func randomPodIP() string {
	ip := podNetwork.Addr().As4()
	var host [3]byte
	_, _ = rand.Read(host[:]) // never fails
	ip[1] |= host[0] & 0x7f
	ip[2], ip[3] = host[1], host[2]
	return netip.AddrFrom4(ip).String()
}

// AddPod makes a ready pod for the service at a management URL, and updates the
// workload's status as its controller would.
func (w *Workload) AddPod(ctx context.Context, name, managementURL string) error {
	node, err := w.env.theKubelet(ctx)
	if err != nil {
		return err
	}
	pod, err := w.pod(name, managementURL)
	if err != nil {
		return err
	}
	// With a node, a deleted pod remains until its kubelet has ended it.
	pod.Spec.NodeName = node.node
	if err := w.env.Create(ctx, pod, client.FieldOwner("testenv")); err != nil {
		return fmt.Errorf("make pod %s: %w", name, err)
	}
	ip := randomPodIP()
	pod.Status = corev1.PodStatus{
		Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: containerName, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}},
		}},
	}
	if err := w.env.Status().Update(ctx, pod); err != nil {
		return fmt.Errorf("start pod %s: %w", name, err)
	}
	return w.Report(ctx)
}

// ChangePod changes a pod's status as its kubelet would, and updates the workload's.
func (w *Workload) ChangePod(ctx context.Context, name string, change func(*corev1.PodStatus)) error {
	pod := &corev1.Pod{}
	if err := w.env.Get(ctx, w.key(name), pod); err != nil {
		return fmt.Errorf("read pod %s: %w", name, err)
	}
	change(&pod.Status)
	if err := w.env.Status().Update(ctx, pod); err != nil {
		return fmt.Errorf("change pod %s: %w", name, err)
	}
	return w.Report(ctx)
}

// Ready is a change of a pod's status.
func Ready(ready bool) func(*corev1.PodStatus) {
	return func(s *corev1.PodStatus) {
		status := corev1.ConditionFalse
		if ready {
			status = corev1.ConditionTrue
		}
		s.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
		s.ContainerStatuses[0].Ready = ready
	}
}

// Restarted is a change of a pod's status.
func Restarted(s *corev1.PodStatus) { s.ContainerStatuses[0].RestartCount++ }

// TerminatePod deletes a pod as kubectl does. It keeps running, because there is no
// kubelet to end it.
func (w *Workload) TerminatePod(ctx context.Context, name string) error {
	if err := w.env.Delete(ctx, w.podNamed(name)); err != nil {
		return fmt.Errorf("terminate pod %s: %w", name, err)
	}
	return w.Report(ctx)
}

// RemovePod removes a pod as its kubelet does after it has ended.
func (w *Workload) RemovePod(ctx context.Context, name string) error {
	if err := w.env.Delete(ctx, w.podNamed(name), client.GracePeriodSeconds(0)); err != nil {
		return fmt.Errorf("remove pod %s: %w", name, err)
	}
	return w.Report(ctx)
}

func (w *Workload) key(pod string) client.ObjectKey {
	return client.ObjectKey{Namespace: w.Namespace, Name: pod}
}

func (w *Workload) podNamed(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name}}
}

func (w *Workload) pod(name, managementURL string) (*corev1.Pod, error) {
	address, err := url.Parse(managementURL)
	if err != nil {
		return nil, fmt.Errorf("pod %s: %w", name, err)
	}
	port, err := strconv.ParseUint(address.Port(), 10, 16)
	if err != nil {
		return nil, fmt.Errorf("pod %s: port of %s: %w", name, managementURL, err)
	}
	pod := w.podNamed(name)
	pod.Labels = w.labels()
	pod.Spec = podSpec()
	pod.Spec.AutomountServiceAccountToken = new(false)
	pod.Spec.ServiceAccountName = w.ServiceAccount
	pod.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: managementPort, ContainerPort: int32(port)}}
	return pod, nil
}
