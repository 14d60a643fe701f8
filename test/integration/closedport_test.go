//go:build integration

package integration_test

import (
	"fmt"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// closedPort returns an address that refuses connections until the end of the
// spec. Its port is bound but not listened on, so that no other process gets it.
func closedPort() string {
	GinkgoHelper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(syscall.Close(socket)).To(Succeed()) })
	Expect(syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})).To(Succeed())
	bound, err := syscall.Getsockname(socket)
	Expect(err).NotTo(HaveOccurred())
	address, ok := bound.(*syscall.SockaddrInet4)
	Expect(ok).To(BeTrue(), "%T", bound)
	return fmt.Sprintf("127.0.0.1:%d", address.Port)
}
