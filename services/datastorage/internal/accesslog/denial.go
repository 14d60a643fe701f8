package accesslog

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/pkg/audit"
)

// deniedTrail begins the correlation ids of events about requests of unknown callers.
const deniedTrail = "denied:"

// The networks that addresses of unknown callers are cut to: whoever has one address has many of them.
const (
	bitsIPv4 = 24
	bitsIPv6 = 64
)

// denial is what the denied requests of an entry have in common.
type denial struct {
	status         int
	network        string
	reason         string
	verb, resource string
	method, route  string
}

// Denied notes a request that was denied. It never waits for a disk or the database. A nil log notes nothing.
func (l *Log) Denied(d *auth.Denial) {
	if l == nil {
		return
	}
	now := l.options.Clock.Now().Truncate(time.Microsecond)
	common := denial{status: d.Status, reason: string(d.Reason), method: d.Method, route: d.Route}
	k := key{name: d.Caller.Name, uid: d.Caller.UID, kind: common.reason, shape: d.Method + " " + d.Route}
	into := &l.forbidden
	if d.Status == http.StatusUnauthorized {
		common.network = network(d.Address)
		k.name, k.uid = common.network, ""
		into = &l.unknown
	} else if d.Reason == "" {
		common.verb, common.resource = d.Action.Verb, usable(d.Action.On())
		k.kind = common.verb + " " + common.resource
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	into.entry(k, func() *entry { return &entry{user: newUser(&d.Caller), kind: k.kind, denied: &common} }).count(now)
}

// network is the network of an address.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "unknown"
	}
	ip = ip.Unmap()
	bits := bitsIPv6
	if ip.Is4() {
		bits = bitsIPv4
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return "unknown"
	}
	return prefix.String()
}

// deniedEvent is the entry of denied requests as an event.
func (e *entry) deniedEvent() (*audit.Event, error) {
	d := e.denied
	event := denied{
		Status: d.status, Network: d.network, Reason: d.reason, Verb: d.verb, Resource: d.resource, Method: d.method, Route: d.route,
		Requests: e.requests, FirstAt: e.first.UTC(), LastAt: e.last.UTC(),
	}
	trail := deniedTrail + d.network
	if e.user.Name != "" {
		event.User, trail = &e.user, readerTrail+e.user.Name
	}
	data, err := json.Marshal(event)
	if err != nil {
		return nil, fmt.Errorf("encode an event about denied requests: %w", err)
	}
	return e.made(&audit.Event{Type: RequestDenied, Action: "deny", Outcome: audit.OutcomeFailure, CorrelationID: trail, Data: data}), nil
}
