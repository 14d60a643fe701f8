package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"kubernaut.ai/pkg/audit/internal/wire"
)

// The limits of a batch that DataStorage accepts.
const (
	DefaultSinkEvents = 10_000
	DefaultSinkBytes  = 16 << 20
)

const (
	batchPath = "api/v1/audit/events/batch"
	// problemType is the media type of RFC 9457; a refusal without it is not DataStorage's.
	problemType = "application/problem+json"
	// maxAnswerBytes bounds what is read of an answer: 10,000 ids, or as many complaints, fit.
	maxAnswerBytes = 8 << 20
)

var errAnswerTooLarge = fmt.Errorf("answer is larger than %d bytes", maxAnswerBytes)

// HTTPSink writes to DataStorage over HTTP. It is safe for concurrent use.
type HTTPSink struct {
	url       string
	client    *http.Client
	token     func(context.Context) (string, error)
	userAgent string
	limits    Limits
}

// HTTPSinkOption configures an HTTPSink. An invalid one makes NewHTTPSink fail.
type HTTPSinkOption func(*HTTPSink) error

// WithHTTPClient replaces the client, for instance for its TLS configuration.
// Without it, connections are kept alive, redirects are not followed, and
// HTTP_PROXY and its like are heeded.
func WithHTTPClient(client *http.Client) HTTPSinkOption {
	return func(s *HTTPSink) error {
		if client == nil {
			return errors.New("HTTP client is nil")
		}
		s.client = client
		return nil
	}
}

// WithTokenSource sends a bearer token with every request. The source is asked
// each time, so that it can renew the token; while it fails, events stay owed.
func WithTokenSource(token func(ctx context.Context) (string, error)) HTTPSinkOption {
	return func(s *HTTPSink) error {
		if token == nil {
			return errors.New("token source is nil")
		}
		s.token = token
		return nil
	}
}

// WithUserAgent names the client in User-Agent; "kubernaut-audit" where it is unset.
func WithUserAgent(userAgent string) HTTPSinkOption {
	return func(s *HTTPSink) error {
		if userAgent == "" {
			return errors.New("user agent is empty")
		}
		s.userAgent = userAgent
		return nil
	}
}

// WithSinkLimits sets the largest batch, in events and in encoded bytes, for a
// server with other limits than DefaultSinkEvents and DefaultSinkBytes.
func WithSinkLimits(events, bytes int) HTTPSinkOption {
	return func(s *HTTPSink) error {
		if events < 1 || bytes < maxFootprint {
			return fmt.Errorf("limits of %d events and %d bytes: must hold an event of %d bytes", events, bytes, maxFootprint)
		}
		s.limits = Limits{Events: events, Bytes: bytes}
		return nil
	}
}

// NewHTTPSink makes a sink that writes to DataStorage at baseURL, an absolute
// http or https URL, possibly with a path. It connects on the first Write only.
func NewHTTPSink(baseURL string, options ...HTTPSinkOption) (*HTTPSink, error) {
	base, err := url.Parse(baseURL)
	if err != nil {
		return nil, fmt.Errorf("audit sink: %w", err)
	}
	if (base.Scheme != "http" && base.Scheme != "https") || base.Host == "" || base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("audit sink: URL %q: must be http(s)://host[:port][/path], without credentials or query", base.Redacted())
	}
	s := &HTTPSink{
		url:       base.JoinPath(batchPath).String(),
		userAgent: "kubernaut-audit",
		limits:    Limits{Events: DefaultSinkEvents, Bytes: DefaultSinkBytes},
	}
	for _, option := range options {
		if err := option(s); err != nil {
			return nil, fmt.Errorf("audit sink: %w", err)
		}
	}
	if s.client == nil {
		s.client = newHTTPClient()
	}
	return s, nil
}

// newHTTPClient makes a client for one server. It has no timeout of its own,
// because the store bounds each write.
func newHTTPClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout: 5 * time.Second,
			ForceAttemptHTTP2:   true,
			MaxIdleConns:        4,
			MaxIdleConnsPerHost: 4,
			IdleConnTimeout:     90 * time.Second,
		},
		// A redirected POST may arrive as a GET; the server is where it was configured to be.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Limits are the server's.
func (s *HTTPSink) Limits() Limits { return s.limits }

// CloseIdleConnections closes the connections that no request uses. Call it
// after the store was closed.
func (s *HTTPSink) CloseIdleConnections() { s.client.CloseIdleConnections() }

// Write sends the batch in one request. Its errors are those of the Sink
// contract: *RefusedError or ErrRefused for a 400, 409, 413 or 422 with problem
// details (application/problem+json, RFC 9457), as DataStorage sends them, and
// for a batch that it cannot send; *SinkError for everything else, such as a
// plain 400 of a TLS port or a 413 of a proxy.
func (s *HTTPSink) Write(ctx context.Context, batch []Event) (Ack, error) {
	if len(batch) == 0 {
		return Ack{}, nil
	}
	body, err := encodeBatch(batch)
	if err != nil {
		return Ack{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if len(body) > s.limits.Bytes || len(batch) > s.limits.Events {
		return Ack{}, fmt.Errorf("%w: batch of %d events and %d bytes is over the limit of %d and %d",
			ErrRefused, len(batch), len(body), s.limits.Events, s.limits.Bytes)
	}
	request, err := s.request(ctx, body)
	if err != nil {
		return Ack{}, &SinkError{Err: err}
	}
	response, err := s.client.Do(request)
	if err != nil {
		return Ack{}, &SinkError{Err: err}
	}
	answer, readErr := readAnswer(response)
	if readErr != nil && (response.StatusCode == http.StatusCreated || !errors.Is(readErr, errAnswerTooLarge)) {
		// What broke off is neither an acknowledgement nor a refusal.
		return Ack{}, &SinkError{Status: response.StatusCode, RetryAfter: retryAfter(response.Header), Err: readErr}
	}
	switch response.StatusCode {
	case http.StatusCreated:
		return acknowledged(batch, answer)
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		contentType := response.Header.Get("Content-Type")
		if isProblem(contentType) {
			return Ack{}, refusal(response.StatusCode, batch, answer)
		}
		readErr = fmt.Errorf("not an answer of DataStorage: content type %.100q, want %s", contentType, problemType)
	}
	return Ack{}, &SinkError{
		Status: response.StatusCode, RetryAfter: retryAfter(response.Header), Detail: problemText(answer), Err: readErr,
	}
}

func (s *HTTPSink) request(ctx context.Context, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, "+problemType)
	request.Header.Set("User-Agent", s.userAgent)
	if s.token != nil {
		token, err := s.token(ctx)
		if err != nil {
			return nil, fmt.Errorf("get token: %w", err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return request, nil
}

// readAnswer reads the whole body, so that the connection can be used again, up to the bound.
func readAnswer(response *http.Response) ([]byte, error) {
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	closeErr := response.Body.Close()
	switch {
	case err != nil:
		return nil, fmt.Errorf("read answer: %w", err)
	case len(answer) > maxAnswerBytes:
		return nil, errAnswerTooLarge
	case closeErr != nil:
		return nil, fmt.Errorf("read answer: %w", closeErr)
	default:
		return answer, nil
	}
}

// acknowledged believes an acknowledgement only if it names the events that
// were sent: anything else may come from something that is not DataStorage.
func acknowledged(batch []Event, answer []byte) (Ack, error) {
	var created wire.BatchCreated
	if err := json.Unmarshal(answer, &created); err != nil {
		return Ack{}, &SinkError{Status: http.StatusCreated, Err: fmt.Errorf("unreadable acknowledgement: %w", err)}
	}
	if len(created.EventIds) != len(batch) {
		return Ack{}, &SinkError{
			Status: http.StatusCreated,
			Err:    fmt.Errorf("acknowledgement names %d of %d events", len(created.EventIds), len(batch)),
		}
	}
	for i := range batch {
		if created.EventIds[i] != batch[i].ID {
			return Ack{}, &SinkError{
				Status: http.StatusCreated,
				Err:    fmt.Errorf("acknowledgement names event %s in the place of %s", created.EventIds[i], batch[i].ID),
			}
		}
	}
	return Ack{ConsistencyToken: created.ConsistencyToken, Created: created.Created, Duplicates: created.Duplicates}, nil
}

func isProblem(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && mediaType == problemType
}

// refusal names the offenders if the answer does, and if they are in the batch.
func refusal(status int, batch []Event, answer []byte) error {
	var problem wire.Problem
	if err := json.Unmarshal(answer, &problem); err == nil && problem.Items != nil && len(*problem.Items) > 0 {
		refused := &RefusedError{}
		for _, item := range *problem.Items {
			if item.Index < 0 || item.Index >= len(batch) || item.EventId != nil && *item.EventId != batch[item.Index].ID {
				return unnamedRefusal(status, answer)
			}
			refused.Items = append(refused.Items, Refusal{Index: item.Index, Code: string(item.Code), Reason: itemReason(item)})
		}
		return refused
	}
	return unnamedRefusal(status, answer)
}

func unnamedRefusal(status int, answer []byte) error {
	text := fmt.Sprintf("sink answered %d %s", status, http.StatusText(status))
	if detail := problemText(answer); detail != "" {
		text += ": " + detail
	}
	return fmt.Errorf("%w: %s", ErrRefused, text)
}

// itemReason joins the detail and the fields of a complaint.
func itemReason(item wire.ItemProblem) string {
	if item.FieldErrors == nil || len(*item.FieldErrors) == 0 {
		return item.Detail
	}
	fields := (&ValidationError{Fields: *item.FieldErrors}).fieldText()
	if item.Detail == "" {
		return fields
	}
	return item.Detail + ": " + fields
}

// problemText is what a problem document says for people, empty if it is none.
func problemText(answer []byte) string {
	var problem wire.Problem
	if err := json.Unmarshal(answer, &problem); err != nil {
		return ""
	}
	if problem.Detail != nil && *problem.Detail != "" {
		return *problem.Detail
	}
	return problem.Title
}

// retryAfter reads the header of RFC 9110, section 10.2.3: seconds, or a date,
// which is taken against the answer's own, because clocks differ.
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(seconds, 0), int(maxRetryAfter/time.Second))) * time.Second
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return 0
	}
	return max(until.Sub(date), 0)
}
