package flushhttp

import (
	"net/http"
	"net/netip"
	"sync"
)

// places are those of the flushes that wait, which callers share: each may hold as many as are left for others. So a
// caller alone has half of them, and a new one finds some.
type places struct {
	mu   sync.Mutex
	free int            // guarded by mu
	held map[string]int // guarded by mu, by caller
}

func newPlaces(n int) *places { return &places{free: n, held: map[string]int{}} }

func (p *places) take(caller string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[caller] >= p.free {
		return false
	}
	p.held[caller]++
	p.free--
	return true
}

func (p *places) giveBack(caller string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free++
	if p.held[caller]--; p.held[caller] == 0 {
		delete(p.held, caller)
	}
}

// callerOf is the host that a request comes from: nobody has to say who they are. All addresses of a network of IPv6
// may be one host's.
func callerOf(r *http.Request) string {
	const network = 64
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	address := from.Addr().Unmap()
	if address.Is4() {
		return address.String()
	}
	prefix, err := address.Prefix(network)
	if err != nil { // unreachable: all addresses of IPv6 are long enough
		return ""
	}
	return prefix.String()
}
