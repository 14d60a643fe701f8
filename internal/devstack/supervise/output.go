package supervise

import (
	"bytes"
	"strings"
	"sync"
)

// outputLimit bounds the retained part of a child's output, in bytes; up to
// twice as much may be.
const outputLimit = 64 << 10

// output retains the end of what a child wrote and announces awaited lines.
type output struct {
	mu      sync.Mutex
	tail    []byte
	partial []byte // the line that is being written, bounded as tail is
	waiting map[string]chan struct{}
}

func newOutput() *output { return &output{waiting: map[string]chan struct{}{}} }

// Write implements io.Writer; it never fails, so that it never stops a child.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = keepLast(append(o.tail, p...))
	o.partial = append(o.partial, p...)
	for {
		line, rest, found := bytes.Cut(o.partial, []byte{'\n'})
		if !found {
			break
		}
		o.announce(string(line))
		o.partial = rest
	}
	o.partial = keepLast(bytes.Clone(o.partial))
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.tail)
}

func (o *output) announce(line string) {
	for text, seen := range o.waiting {
		if strings.Contains(line, text) {
			close(seen)
			delete(o.waiting, text)
		}
	}
}

// seen returns a channel that is closed when a line with text was written,
// also when that was before the call and is still kept.
func (o *output) seen(text string) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c, ok := o.waiting[text]; ok {
		return c
	}
	c := make(chan struct{})
	if bytes.Contains(o.tail, []byte(text)) {
		close(c)
		return c
	}
	o.waiting[text] = c
	return c
}

// end drops who still waits: the process's end tells them.
func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.waiting)
}

// keepLast cuts at twice the limit, so that not each write copies.
func keepLast(b []byte) []byte {
	if len(b) > 2*outputLimit {
		return bytes.Clone(b[len(b)-outputLimit:])
	}
	return b
}
