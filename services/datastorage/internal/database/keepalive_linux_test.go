package database //nolint:testpackage // the dialer is an inner part

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAVanishedServerIsNoticedInSeconds(t *testing.T) {
	t.Parallel()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	conn, err := dialer().DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		t.Fatalf("got %T", conn)
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][3]int{
		"keepalive":      {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"idle":           {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 3},
		"interval":       {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1},
		"count":          {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		"unacknowledged": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 6000},
	} {
		var got int
		var failure error
		if err := raw.Control(func(fd uintptr) { got, failure = unix.GetsockoptInt(int(fd), want[0], want[1]) }); err != nil || failure != nil {
			t.Fatal(err, failure)
		}
		if got != want[2] {
			t.Errorf("%s: got %d, want %d", name, got, want[2])
		}
	}
}
