package httpsink //nolint:testpackage // who holds a buffer is an inner matter

import (
	"errors"
	"io"
	"net/http"
	"testing"
)

// A transport may read on after Write returned. The bytes must not become
// another batch's before it has let go.
func TestABodyIsHeldByEachOfItsReaders(t *testing.T) {
	t.Parallel()
	b := newBody()
	b.bytes = append(b.bytes, "events"...)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	b.attach(request)
	again, err := request.GetBody()
	if err != nil {
		t.Fatal(err)
	}
	b.release()
	for holders, reader := range []io.ReadCloser{again, request.Body} {
		if text, err := io.ReadAll(reader); err != nil || string(text) != "events" {
			t.Errorf("read %q, %v", text, err)
		}
		if n := b.users.Load(); n != int32(2-holders) {
			t.Errorf("%d hold the body, want %d", n, 2-holders)
		}
		for range 2 { // closing twice lets go once
			if err := reader.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
		if _, err := reader.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
			t.Errorf("read after close: %v", err)
		}
	}
	if n := b.users.Load(); n != 0 {
		t.Errorf("%d hold the body, want none", n)
	}
}
