package body_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"kubernaut.ai/services/gateway/internal/body"
)

var errFull = errors.New("no memory left")

// atMost gives so many bytes.
func atMost(bytes int64) func(int64) error {
	return func(n int64) error {
		if bytes -= n; bytes < 0 {
			return errFull
		}
		return nil
	}
}

func limits() body.Limits { return body.Limits{Bytes: 1 << 20, Signals: 100, Blank: 64 << 10} }

func TestABodyIsChargedAsItArrives(t *testing.T) {
	t.Parallel()
	used := 0
	r := body.NewReader(strings.NewReader(strings.Repeat("x", 100<<10)), func(n int64) error {
		used += int(n)
		return nil
	}, limits())
	buffer := make([]byte, 10<<10)
	read := func() {
		if _, err := io.ReadFull(r, buffer); err != nil {
			t.Fatal(err)
		}
	}
	read()
	first := used
	if first < 10<<10 || first > 100<<10 {
		t.Errorf("%d bytes charged after 10 KiB", first)
	}
	if err := r.Settle(10<<10, 0); err != nil {
		t.Fatal(err)
	}
	read()
	if used != first {
		t.Errorf("%d bytes charged, want %v: what was skipped costs nothing", used, first)
	}
	if err := r.Settle(20<<10, 5<<10); err != nil {
		t.Fatal(err)
	}
	if used < first+5<<10 {
		t.Errorf("%d bytes charged with 5 KiB kept", used)
	}
}

func TestOneBodyNeverCostsMoreThanSaid(t *testing.T) {
	t.Parallel()
	l := limits()
	r := body.NewReader(bytes.NewReader(make([]byte, l.Bytes)), atMost(l.Cost()), l)
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	for range l.Signals {
		if err := r.Settle(l.Bytes, int(l.Bytes)/l.Signals); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadFailsInAWayThatTellsWhy(t *testing.T) {
	t.Parallel()
	away := errors.New("connection reset")
	var broken *body.ConnectionError
	for name, test := range map[string]struct {
		from   io.Reader
		memory int64
		want   func(error) bool
	}{
		"the connection": {iotest.ErrReader(away), 1 << 30, func(err error) bool { return errors.As(err, &broken) && errors.Is(err, away) }},
		"the memory":     {strings.NewReader(strings.Repeat("x", 1<<20)), 64 << 10, func(err error) bool { return errors.Is(err, errFull) }},
		"the size":       {strings.NewReader(strings.Repeat("x", 2<<20)), 1 << 30, func(err error) bool { return errors.Is(err, body.ErrTooLarge) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := body.NewReader(test.from, atMost(test.memory), limits())
			_, err := io.Copy(io.Discard, r)
			if !test.want(err) {
				t.Errorf("error %v", err)
			}
			if _, again := r.Read(make([]byte, 1)); !test.want(again) {
				t.Errorf("error %v the second time", again)
			}
		})
	}
}

func TestMuchMoreThanTheLimitIsReadToCountIt(t *testing.T) {
	t.Parallel()
	l := limits()
	r := body.NewReader(strings.NewReader(strings.Repeat("x", 10<<20)), atMost(l.Cost()), l)
	read, buffer := int64(0), make([]byte, 32<<10)
	for {
		n, err := r.Read(buffer)
		read += int64(n)
		if err != nil {
			if !errors.Is(err, body.ErrTooLarge) {
				t.Errorf("error %v", err)
			}
			break
		}
		if err := r.Settle(read, 0); err != nil {
			t.Fatal(err)
		}
	}
	if read < 4*l.Bytes || read > 4*l.Bytes+64<<10 {
		t.Errorf("read %d bytes, want four times the limit", read)
	}
}
