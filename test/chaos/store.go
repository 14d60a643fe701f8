package chaos

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"kubernaut.ai/test/testenv"
)

// The paths of DataStorage's API.
const (
	pathEvents = "/api/v1/audit/events"
	pathBatch  = pathEvents + "/batch"
)

// store is a DataStorage process with a database of its own, and callers whose
// tokens are their names.
type store struct {
	*processes

	database *testenv.Database
}

// newStore prepares a DataStorage. The caller closes it.
func newStore(ctx context.Context, o *Options, callers []string, args ...string) (*store, error) {
	database, err := o.Env.NewDatabase(ctx)
	if err != nil {
		return nil, fmt.Errorf("prepare: %w", err)
	}
	own := *o
	own.Program.Env = append(append([]string{}, o.Program.Env...), "DATASTORAGE_DATABASE_URL="+database.URL)
	p, err := newProcesses(ctx, &own, "datastorage")
	if err != nil {
		return nil, errors.Join(err, database.Drop(context.WithoutCancel(ctx)))
	}
	s := &store{processes: p, database: database}
	tokens := p.dir.Join("tokens")
	if err := os.WriteFile(tokens, []byte(tokenLines(callers)), 0o600); err != nil { //nolint:mnd // for its owner
		return nil, errors.Join(fmt.Errorf("write tokens: %w", err), s.close(ctx))
	}
	p.args = append([]string{
		"serve", "--listen", "127.0.0.1:0", "--management-listen", "127.0.0.1:0", "--auth", "token-file", "--auth-token-file", tokens,
	}, args...)
	return s, nil
}

func (s *store) close(ctx context.Context) error {
	return errors.Join(s.dir.Close(), s.database.Drop(context.WithoutCancel(ctx)))
}

// tokenLines are the lines of a token file for callers that may do everything.
func tokenLines(callers []string) string {
	var lines strings.Builder
	for _, name := range callers {
		fmt.Fprintf(&lines, "%s %x rights=read,write types=* namespaces=*\n", name, sha256.Sum256([]byte(name)))
	}
	return lines.String()
}

// exchange sends a request as a caller, and discards the response.
func exchange(ctx context.Context, method, target, caller string, body []byte, header ...string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("make a request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+caller)
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("send a request: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return response.StatusCode, fmt.Errorf("read a response: %w", err)
	}
	return response.StatusCode, nil
}

// begin sends the head of a request, and a part of its body.
func begin(ctx context.Context, method, target, caller string, length int, part []byte) (net.Conn, error) {
	at, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("begin a request: %w", err)
	}
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", at.Host)
	if err != nil {
		return nil, fmt.Errorf("begin a request: %w", err)
	}
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		method, at.RequestURI(), at.Host, caller, length)
	deadline := time.Now().Add(callTimeout)
	if err := errors.Join(connection.SetDeadline(deadline), write(connection, []byte(head)), write(connection, part)); err != nil {
		return connection, err
	}
	return connection, nil
}

func write(to io.Writer, text []byte) error {
	if _, err := to.Write(text); err != nil {
		return fmt.Errorf("send a part: %w", err)
	}
	return nil
}

// storeEvents are events whose resource ids are returned, with so many bytes of
// data each.
func storeEvents(correlationID string, n, size int) (body []byte, resources []string, err error) {
	data := strings.Repeat("x", size)
	events := make([]map[string]any, n)
	for i := range events {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, nil, fmt.Errorf("make an event: %w", err)
		}
		resources = append(resources, id.String())
		events[i] = map[string]any{
			"event_id": id, "version": "1.0", "event_type": "torture.event.recorded", "event_timestamp": time.Now().UTC(),
			"event_category": "torture", "event_action": "record", "event_outcome": "success", "correlation_id": correlationID,
			"resource_type": recorderResource, "resource_id": id, "event_data": map[string]string{"text": data},
		}
	}
	if body, err = json.Marshal(events); err != nil {
		return nil, nil, fmt.Errorf("make events: %w", err)
	}
	return body, resources, nil
}
