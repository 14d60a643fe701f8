package mustgather

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// With the component people, the port for the API server comes first.
func TestClientsUseThePortForClients(t *testing.T) {
	t.Parallel()
	for want, ports := range map[int32][]corev1.ServicePort{
		8080: {{Name: "aggregated", Port: 443}, {Name: "api", Port: 8080}},
		8081: {{Port: 8081}, {Name: "other", Port: 443}},
		0:    nil,
	} {
		port := apiPort(&corev1.Service{Spec: corev1.ServiceSpec{Ports: ports}})
		if (port == nil) != (want == 0) || port != nil && port.Port != want {
			t.Errorf("of %v: got %v, want port %d", ports, port, want)
		}
	}
}
