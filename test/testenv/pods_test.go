package testenv

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

func TestPodAddressesLeadToLoopbackPorts(t *testing.T) {
	g := NewWithT(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = listener.Close() }()
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)

	conn, err := dialPod(t.Context(), "tcp", net.JoinHostPort(randomPodIP(), port))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(conn.RemoteAddr().String()).To(Equal(listener.Addr().String()))
	g.Expect(conn.Close()).To(Succeed())

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, other := range []string{"10.0.0.1:" + port, "127.0.0.1:" + port, "pod:" + port} {
		_, err = dialPod(ctx, "tcp", other)
		g.Expect(err).To(MatchError(ContainSubstring("connect to pod")), other)
	}
}

func TestPodAddressesAreMadeUp(t *testing.T) {
	g := NewWithT(t)
	first, err := netip.ParseAddr(randomPodIP())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(podNetwork.Contains(first)).To(BeTrue(), "%s", first)
	g.Expect(randomPodIP()).NotTo(Equal(first.String()))
}
