package audit

import (
	"encoding/json"
	"sync"
)

// maxPooledData is the largest data whose memory is used again, in bytes.
const maxPooledData = 16 << 10

// eventPool has the memory of stored events for those that come: a busy store
// would otherwise make garbage of half a kilobyte and the data for each event.
type eventPool struct{ pool sync.Pool }

// copyOf copies an event with everything that its owner could change.
func (p *eventPool) copyOf(e *Event) *Event {
	c, ok := p.pool.Get().(*Event)
	if !ok {
		c = new(Event)
	}
	c.copyFrom(e)
	return c
}

// copyData copies data into used memory, if that is large enough, but not so
// large that pending events would take much more than they count for.
func copyData(used, data json.RawMessage) json.RawMessage {
	if cap(used) >= len(data) && cap(used) <= 2*len(data)+64 {
		return append(used[:0], data...)
	}
	return append(make(json.RawMessage, 0, len(data)), data...)
}

// release takes back an event that copyOf made and nobody uses any more.
func (p *eventPool) release(e *Event) {
	data := e.Data
	if cap(data) > maxPooledData {
		data = nil
	}
	*e = Event{Data: data}
	p.pool.Put(e)
}
