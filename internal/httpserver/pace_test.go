package httpserver_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"kubernaut.ai/internal/httpserver"
)

// paced serves a handler that reports how reading the body, or writing the
// response, has ended.
func paced(t *testing.T, handle func(w http.ResponseWriter, r *http.Request) error) (address string, outcomes <-chan error) {
	t.Helper()
	ended := make(chan error, 1)
	server := httptest.NewServer(httpserver.Paced(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ended <- handle(w, r)
	})))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), ended
}

func dial(t *testing.T, address, text string) net.Conn {
	t.Helper()
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	if _, err := io.WriteString(connection, text); err != nil {
		t.Fatal(err)
	}
	return connection
}

func readBody(_ http.ResponseWriter, r *http.Request) error {
	_, err := io.Copy(io.Discard, r.Body)
	return err
}

func TestAnUploadThatStallsIsCutOff(t *testing.T) {
	t.Parallel()
	address, outcomes := paced(t, readBody)
	dial(t, address, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
	if err := <-outcomes; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the body ended with %v", err)
	}
}

func TestAReaderThatDoesNotReadIsCutOff(t *testing.T) {
	t.Parallel()
	address, outcomes := paced(t, func(w http.ResponseWriter, _ *http.Request) error {
		text := []byte(strings.Repeat("x", 64<<20)) // more than the buffers of the operating system
		_, err := w.Write(text)
		return err
	})
	dial(t, address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if err := <-outcomes; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the response ended with %v", err)
	}
}

func TestATransferCanBeStopped(t *testing.T) {
	t.Parallel()
	reading := make(chan *httpserver.Transfer, 1)
	address, outcomes := paced(t, func(w http.ResponseWriter, r *http.Request) error {
		reading <- httpserver.TransferFrom(r.Context())
		err := readBody(w, r)
		w.WriteHeader(http.StatusServiceUnavailable)
		return err
	})
	connection := dial(t, address, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
	(<-reading).StopReading()
	if err := <-outcomes; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the body ended with %v", err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the client got %d", response.StatusCode)
	}
}

func TestAConnectionServesManyRequests(t *testing.T) {
	t.Parallel()
	address, outcomes := paced(t, func(w http.ResponseWriter, r *http.Request) error {
		if err := readBody(w, r); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	connection := dial(t, address, "")
	reader := bufio.NewReader(connection)
	for i := range 3 {
		if _, err := fmt.Fprint(connection, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil || response.StatusCode != http.StatusNoContent {
			t.Fatalf("request %d: %v, %v", i, response, err)
		}
		_ = response.Body.Close()
		if err := <-outcomes; err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
}
