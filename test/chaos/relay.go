package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// relay stands between clients and a server, and cuts their connections.
type relay struct {
	listener net.Listener
	dial     func(context.Context) (net.Conn, error)

	mu    sync.Mutex
	pairs map[*pair]bool // guarded by mu
	ended sync.WaitGroup
}

// pair is a client's connection, and the one to the server.
type pair struct{ client, server net.Conn }

// newRelay accepts connections at an address. The caller closes it.
func newRelay(ctx context.Context, network, address string, dial func(context.Context) (net.Conn, error)) (*relay, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("start a relay: %w", err)
	}
	r := &relay{listener: listener, dial: dial, pairs: map[*pair]bool{}}
	r.ended.Go(func() { r.accept(context.WithoutCancel(ctx)) })
	return r, nil
}

// accept ends with the listener.
func (r *relay) accept(ctx context.Context) {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.ended.Go(func() { r.forward(ctx, client) })
	}
}

// forward ends when either side closes its connection, or cut does.
func (r *relay) forward(ctx context.Context, client net.Conn) {
	server, err := r.dial(ctx)
	if err != nil {
		_ = client.Close() // the client sees that nobody is there
		return
	}
	p := &pair{client: client, server: server}
	r.mu.Lock()
	r.pairs[p] = true
	r.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(server, client); p.close() })
	both.Go(func() { _, _ = io.Copy(client, server); p.close() })
	both.Wait()
	r.mu.Lock()
	delete(r.pairs, p)
	r.mu.Unlock()
}

func (p *pair) close() { _, _ = p.client.Close(), p.server.Close() }

// reset closes the connections without sending what is on its way.
func (p *pair) reset() {
	for _, c := range []net.Conn{p.client, p.server} {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
	}
	p.close()
}

// cut cuts all connections.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		p.reset()
	}
}

func (r *relay) close() error {
	err := r.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	r.cut()
	r.ended.Wait()
	return err
}
