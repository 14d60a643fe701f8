// Package progress reports what a long step is doing.
//
// A step that ends within [Patience] reports nothing; a longer one reports at
// intervals until it ends.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// Patience is how long a step may be silent.
	Patience = 2 * time.Second
	// Interval is how often a step that takes longer reports.
	Interval = 10 * time.Second
)

// Func takes one line, without its newline. It may be called concurrently.
// A nil Func is silent.
type Func func(line string)

// To writes each line to w.
func To(w io.Writer) Func {
	var mu sync.Mutex
	return func(line string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintln(w, line) // a person who closed the terminal must not stop the work
	}
}

// Sayf reports one line at once.
func (f Func) Sayf(format string, args ...any) {
	if f != nil {
		f(fmt.Sprintf(format, args...))
	}
}

// During reports what once Patience has passed and every Interval after that,
// until the returned function is called. The detail, where it is not nil, is
// asked for each time and follows the elapsed time.
func (f Func) During(what string, detail func() string) (end func()) {
	if f == nil {
		return func() {}
	}
	start := time.Now()
	timer := time.NewTimer(Patience)
	ended, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		defer timer.Stop()
		for {
			select {
			case <-ended:
				return
			case <-timer.C:
				f.Sayf("%s", line(what, time.Since(start), detail))
				timer.Reset(Interval)
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(ended)
		<-stopped
	})
}

func line(what string, elapsed time.Duration, detail func() string) string {
	text := fmt.Sprintf("%s (%s", what, elapsed.Round(time.Second))
	if detail != nil {
		if d := detail(); d != "" {
			text += ", " + d
		}
	}
	return text + ")"
}
