package event

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

// text is the text of one event in a body.
type text struct {
	bytes []byte
	// line of the body, from 1; 0 in an array, whose syntax is known to be right, except that an event may be too deep.
	line int
}

// eventsWorthHelp is how many events are worth another goroutine.
const eventsWorthHelp = 64

// decode decodes the events of a body, in their order. Cores that decode no other body help.
func (d *Decoder) decode(texts []text, caller string, names *naming) (Batch, error) {
	if len(texts) == 0 {
		return Batch{}, bodyErrorf("the batch holds no event")
	}
	workers := d.takeWorkers(len(texts))
	defer d.decoding.Add(int32(-workers)) //nolint:gosec // as many as cores
	whole := d.batch(caller, len(texts))
	share := (len(texts) + workers - 1) / workers
	parts := make([]*batchDecoder, 0, workers)
	var work together
	for begin := 0; begin < len(texts); begin += share {
		end := min(begin+share, len(texts))
		part, own := whole.part(begin, end), texts[begin:end]
		parts = append(parts, part)
		work.run(end < len(texts), func() { part.addAll(own, names) })
	}
	work.wait()
	for n, part := range parts {
		if part.err != nil {
			return Batch{}, part.err
		}
		for _, refused := range part.Refusals {
			refused.Index += n * share
			whole.Refusals = append(whole.Refusals, refused)
		}
	}
	whole.Events = whole.Events[:len(texts)]
	return whole.Batch, nil
}

// takeWorkers returns how many goroutines may decode a number of events, and counts them as decoding.
func (d *Decoder) takeWorkers(events int) int {
	workers := events / eventsWorthHelp
	if workers > 1 {
		workers = min(workers, runtime.GOMAXPROCS(0)-int(d.decoding.Load()))
	}
	workers = max(workers, 1)
	d.decoding.Add(int32(workers)) //nolint:gosec // as many as cores
	return workers
}

// part decodes the events from begin to end.
func (b *batchDecoder) part(begin, end int) *batchDecoder {
	return &batchDecoder{Batch: Batch{Events: b.Events[begin:begin:end]}, decoder: b.decoder, caller: b.caller, now: b.now}
}

// addAll decodes all events of a part.
func (b *batchDecoder) addAll(texts []text, names *naming) {
	b.hashing = newHashing()
	for _, t := range texts {
		syntax := b.add(t.bytes, names)
		switch {
		case syntax == nil:
		case t.line == 0:
			b.refuse(Refusal{Code: CodeInvalid, Detail: "is " + syntax.Reason})
		default:
			syntax.Line = t.line
			b.refuse(Refusal{Code: CodeInvalid, Detail: "is not usable JSON: " + syntax.Error()})
		}
	}
	b.hashing.finish()
}

// together is work that goroutines share. A panic in one of them reaches the goroutine that waits, as if it did all of
// the work.
type together struct {
	group sync.WaitGroup

	mu       sync.Mutex
	panicked any // guarded by mu
}

// run does a piece of work in another goroutine or in this one.
func (t *together) run(elsewhere bool, work func()) {
	guarded := func() {
		defer func() {
			if r := recover(); r != nil {
				t.mu.Lock()
				defer t.mu.Unlock()
				t.panicked = fmt.Sprintf("%v\n%s", r, debug.Stack())
			}
		}()
		work()
	}
	if elsewhere {
		t.group.Go(guarded)
		return
	}
	guarded()
}

// wait returns when all work is done.
func (t *together) wait() {
	t.group.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.panicked != nil {
		panic(t.panicked)
	}
}
