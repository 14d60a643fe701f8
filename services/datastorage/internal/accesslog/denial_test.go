package accesslog_test

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/pkg/audit"
	"kubernaut.ai/services/datastorage/internal/accesslog"
)

var listEvents = auth.Action{Group: "audit.kubernaut.ai", Resource: "events", Verb: "list", Role: "audit-reader"}

func forbidden(caller auth.Caller) *auth.Denial {
	return &auth.Denial{Status: 403, Caller: caller, Action: listEvents, Address: "192.0.2.7", Method: "GET", Route: "/events"}
}

func refused(caller string, reason auth.Reason) *auth.Denial {
	return &auth.Denial{Status: 403, Caller: by(caller), Reason: reason, Address: "192.0.2.7", Method: "POST", Route: "/events"}
}

func unknown(address string, reason auth.Reason) *auth.Denial {
	return &auth.Denial{Status: 401, Reason: reason, Address: address, Method: "GET", Route: "/events"}
}

func TestDenialsOfACallerAreOneEvent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := setup(t, clock.RealClock{})
		first := time.Now().UTC()
		alice := auth.Caller{Name: "alice", UID: "u-1", Groups: []string{"interns"}}
		b.Denied(forbidden(alice))
		time.Sleep(time.Second) //nolint:forbidigo // the clock of the bubble
		b.Denied(forbidden(alice))
		b.flush()
		want := map[string]any{
			"user": map[string]any{"name": "alice", "uid": "u-1", "groups": []any{"interns"}}, "status": 403.0,
			"verb": "list", "resource": "events.audit.kubernaut.ai", "method": "GET", "route": "/events", "requests": 2.0,
			"first_at": first.Format(time.RFC3339Nano), "last_at": first.Add(time.Second).Format(time.RFC3339Nano),
		}
		if got := b.stored(); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("stored\n%v, want one event\n%v", got, want)
		}
		e := b.sink.Events()[0]
		if e.Type != "datastorage.request.denied" || e.Category != "security" || e.Action != "deny" || e.Outcome != audit.OutcomeFailure ||
			e.ActorType != "user" || e.ActorID != "alice" || e.CorrelationID != "reader:alice" || !e.Timestamp.Equal(first.Add(time.Second)) {
			t.Errorf("stored %+v", e)
		}
	})
}

func TestDenialsOfANetworkAreOneEvent(t *testing.T) {
	t.Parallel()
	for network, addresses := range map[string][]string{
		"192.0.2.0/24":         {"192.0.2.7", "192.0.2.8", "::ffff:192.0.2.9"},
		"2001:db8:0:1::/64":    {"2001:db8:0:1::7", "2001:db8:0:1:ffff::8"},
		"fe80::/64":            {"fe80::1%eth0"},
		"unknown":              {"unknown", ""},
		"198.51.100.0/24":      {"198.51.100.255"},
		"2001:db8:0:ffff::/64": {"2001:db8:0:ffff::1"},
	} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			b := setup(t, clock.RealClock{})
			for _, address := range addresses {
				b.Denied(unknown(address, auth.ReasonNoToken))
			}
			b.flush()
			got := b.stored()
			if len(got) != 1 || got[0]["network"] != network || got[0]["status"] != 401.0 || got[0]["reason"] != "no_token" ||
				got[0]["user"] != nil || got[0]["verb"] != nil || got[0]["requests"] != float64(len(addresses)) {
				t.Errorf("stored %v, want one event of %s with %d requests", got, network, len(addresses))
			}
			if e := b.sink.Events()[0]; e.CorrelationID != "denied:"+network || e.ActorType != "" || e.ActorID != "" {
				t.Errorf("stored %+v", e)
			}
		})
	}
}

func TestDenialsOfHandlersTellTheirReason(t *testing.T) {
	t.Parallel()
	b := setup(t, clock.RealClock{})
	b.Denied(refused("alice", "other_producer"))
	b.Denied(refused("alice", "other_producer"))
	long := forbidden(by("bob"))
	long.Action = long.Action.Named(strings.Repeat("t", 300))
	b.Denied(long)
	b.flush()
	got := b.stored()
	if len(got) != 2 {
		t.Fatalf("stored %v, want two events", got)
	}
	for _, data := range got {
		delete(data, "first_at")
		delete(data, "last_at")
	}
	want := map[string]any{
		"user": map[string]any{"name": "alice"}, "status": 403.0, "reason": "other_producer", "method": "POST", "route": "/events", "requests": 2.0,
	}
	if !reflect.DeepEqual(got[0], want) || b.sink.Events()[0].CorrelationID != "reader:alice" {
		t.Errorf("stored %v, want %v", got[0], want)
	}
	if resource, _ := got[1]["resource"].(string); !strings.HasPrefix(resource, "events.audit.kubernaut.ai/ttt") || len(resource) != 255 {
		t.Errorf("resource %q, want one with its name, cut", resource)
	}
}

func TestCallersReasonsAndRoutesOfDenialsAreToldApart(t *testing.T) {
	t.Parallel()
	b := setup(t, clock.RealClock{})
	erase := forbidden(by("alice"))
	erase.Action.Resource = "erasures"
	post := forbidden(by("alice"))
	post.Method = "POST"
	types := forbidden(by("alice"))
	types.Action = types.Action.Named("shop")
	for range 2 {
		for _, d := range []*auth.Denial{
			forbidden(by("alice")), forbidden(by("bob")), forbidden(auth.Caller{Name: "alice", UID: "u-2"}), erase, post, types,
			refused("alice", "other_producer"), refused("alice", "reserved_type"),
			unknown("192.0.2.7", auth.ReasonNoToken), unknown("192.0.2.7", auth.ReasonUnknownToken), unknown("198.51.100.7", auth.ReasonNoToken),
		} {
			b.Denied(d)
		}
	}
	b.flush()
	if n := len(b.stored()); n != 11 || b.sum("requests") != 22 {
		t.Errorf("%d events of %d requests, want 11 of 22", n, b.sum("requests"))
	}
}

func TestAFloodOfDenialsIsBounded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		denial func(i int) *auth.Denial
		want   map[string]int
	}{
		"of networks": {
			func(i int) *auth.Denial {
				return unknown(fmt.Sprintf("10.%d.%d.1", i/256, i%256), auth.ReasonUnknownToken)
			},
			map[string]int{"401 unknown_token from:true": 50, "401 others from:true": 10, "401 others from:false": 1},
		},
		"of callers": {
			func(i int) *auth.Denial { return forbidden(by(fmt.Sprint("caller-", i))) },
			map[string]int{"403 <nil> from:true": 100, "403 others from:true": 50, "403 others from:false": 1},
		},
		"of one caller": {
			func(i int) *auth.Denial {
				d := forbidden(by("alice"))
				d.Route = fmt.Sprint("/", i)
				return d
			},
			map[string]int{"403 <nil> from:true": 100, "403 others from:true": 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, clock.RealClock{})
			const requests = 2000
			for i := range requests {
				b.Denied(test.denial(i))
			}
			b.Read(&accesslog.Read{Caller: by("grace"), Kind: "list"})
			b.flush()
			kinds, sum := map[string]int{}, 0
			for _, data := range b.stored() {
				if data["kind"] != nil {
					if data["kind"] != "list" {
						t.Errorf("a read became %v", data)
					}
					continue
				}
				n, _ := data["requests"].(float64)
				sum += int(n)
				kinds[fmt.Sprintf("%v %v from:%t", data["status"], data["reason"], data["user"] != nil || data["network"] != nil)]++
				if data["reason"] == "others" && (data["route"] != nil || data["method"] != nil || data["verb"] != nil || data["resource"] != nil) {
					t.Errorf("an event of several requests says %v", data)
				}
			}
			if !maps.Equal(kinds, test.want) || sum != requests {
				t.Errorf("%v of %d requests, want %v of %d", kinds, sum, test.want, requests)
			}
		})
	}
}

func TestDenialsThatCannotBeRecordedAreSummedUpFurther(t *testing.T) {
	t.Parallel()
	b := setup(t, clock.RealClock{}, audit.WithFullPolicy(audit.Refuse), audit.WithBounds(1, 4<<20))
	b.sink.Fail(fmt.Errorf("the database is away"))
	b.Denied(forbidden(by("alice")))
	b.flush() // fills the store
	for range 3 {
		b.Denied(unknown("192.0.2.7", auth.ReasonNoToken))
		if err := b.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "record the requests of denied:192.0.2.0/24") {
			t.Errorf("error %v, want one that names the trail", err)
		}
	}
	b.sink.Recover()
	if n := b.sum("requests"); n != 1 {
		t.Errorf("%d requests recorded, want 1", n)
	}
	b.flush()
	if got := b.stored(); len(got) != 2 || got[1]["requests"] != 3.0 || got[1]["network"] != "192.0.2.0/24" || got[1]["reason"] != "no_token" {
		t.Errorf("stored %v, want a second event of three requests", got)
	}
}

func TestTrailsOfAccessesAreOwned(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{"reader:alice": true, "denied:192.0.2.0/24": true, "rr-1": false, "denied": false} {
		if got := accesslog.Owns(id); got != want {
			t.Errorf("%q owned: %t, want %t", id, got, want)
		}
	}
}
