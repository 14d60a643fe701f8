package alertmanager

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"kubernaut.ai/internal/printable"
	"kubernaut.ai/services/gateway/internal/body"
	"kubernaut.ai/services/gateway/internal/decode"
	"kubernaut.ai/services/gateway/internal/signal"
)

// Source is the name of these senders in metrics and audit events.
const Source = "alertmanager"

// The versions of the webhook: Alertmanager's, see
// https://prometheus.io/docs/alerting/latest/configuration/#webhook_config, and
// that of Grafana's alerting, see
// https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/.
const (
	version        = "4"
	versionGrafana = "1"
)

// message is the body of the webhook without its alerts. Fields that later
// senders add are ignored.
type message struct {
	Version         string
	GroupKey        string
	TruncatedAlerts uint64
	Receiver        string
	GroupLabels     decode.Pairs
	ExternalURL     string
}

// bound cuts the fields to their bounds, once for all alerts.
func (m *message) bound() {
	m.Version = printable.Storable(m.Version, signal.MaxSeverity)
	m.GroupKey = printable.Storable(m.GroupKey, signal.MaxValue)
	m.Receiver = printable.Storable(m.Receiver, signal.MaxName)
	m.GroupLabels = signal.Bounded(m.GroupLabels)
	m.ExternalURL = printable.Storable(m.ExternalURL, signal.MaxValue)
}

// field returns where a field of the message is decoded to; nil if the field is ignored.
func (m *message) field(name string) any {
	switch name {
	case "version":
		return &m.Version
	case "groupKey":
		return &m.GroupKey
	case "truncatedAlerts":
		return &m.TruncatedAlerts
	case "receiver":
		return &m.Receiver
	case "groupLabels":
		return &m.GroupLabels
	case "externalURL":
		return &m.ExternalURL
	default:
		return nil
	}
}

// parser reads one body.
type parser struct {
	body       *body.Reader
	json       *jsontext.Decoder
	receivedAt time.Time

	message message
	// bare means that the body is an array without a message around it.
	bare bool
	// alerts are the usable alerts, and the first unusable ones.
	alerts   []entry
	usable   int
	next     int // index of the next alert of the body
	unlisted int
	beyond   signal.Beyond
	// hint tells the sender's administrator what to change; may be empty.
	hint string

	// wrong is what is wrong with the message, wrongAlerts with its alerts.
	wrong, wrongAlerts signal.Complaints
}

// entry is an alert of the body.
type entry struct {
	index   int
	text    []byte // JSON of a usable alert
	invalid *signal.InvalidError
}

// Parse reads a body. A *signal.InvalidError names the invalid fields, and means
// that no alert of the body is usable. If only some are unusable, there is no
// error, and their observations are marked as invalid. Other errors come from
// the body's Read.
func Parse(b *body.Reader, receivedAt time.Time) (*signal.Notification, error) {
	p := &parser{body: b, json: jsontext.NewDecoder(b, decode.Options()), receivedAt: receivedAt}
	err := p.document()
	switch {
	case errors.Is(err, body.ErrTooLarge) && p.usable > 0:
		p.beyond.Cut = true
	case errors.Is(err, body.ErrTooLarge), errors.Is(err, errBlank):
		return nil, p.unusable(true)
	case errors.Is(err, decode.ErrSyntax):
		return nil, p.unusable(false)
	case err != nil:
		return nil, err
	}
	p.message.bound()
	p.check()
	if p.wrong.Any() || p.usable == 0 {
		return nil, p.unusable(false)
	}
	return &signal.Notification{
		Source:       Source,
		Group:        p.message.GroupKey,
		Receiver:     p.message.Receiver,
		Truncated:    p.message.TruncatedAlerts,
		Beyond:       p.beyond,
		Unlisted:     p.unlisted,
		Observations: &observations{message: &p.message, alerts: p.alerts, bare: p.bare, receivedAt: receivedAt},
	}, nil
}

// check reports what is missing in the message. What lies beyond the bounds was not seen.
func (p *parser) check() {
	if p.beyond.Cut {
		return
	}
	if v := p.message.Version; !p.bare && v != version && v != versionGrafana {
		p.wrong.Addf("version", "want %q, the format of Alertmanager's webhook, or %q, that of Grafana's alerting, got %q",
			version, versionGrafana, v)
	}
	if p.next == 0 {
		p.wrong.Addf("alerts", "is required: at least one alert")
	}
}

// unusable is the error for a body none of whose alerts is taken.
func (p *parser) unusable(tooLarge bool) *signal.InvalidError {
	if p.usable == 0 {
		p.wrong.Join(&p.wrongAlerts)
	}
	if !p.wrong.Any() {
		p.wrong.Addf("body", "its first %d bytes have no usable alert", p.body.Blank)
	}
	invalid := p.wrong.Invalid()
	invalid.Hint, invalid.TooLarge = p.hint, tooLarge
	return invalid
}

// errBlank ends the reading of a large body whose beginning has no usable alert.
var errBlank = errors.New("no usable alert at the beginning of a large body")

// settle is called after each value that was decoded.
func (p *parser) settle(keep int) error {
	at := p.json.InputOffset()
	if err := p.body.Settle(at, keep); err != nil {
		return fmt.Errorf("keep alert %d: %w", p.next-1, err)
	}
	if p.usable == 0 && at > p.body.Blank {
		return errBlank
	}
	return nil
}

// document reads the whole body.
func (p *parser) document() error {
	if err := p.top(); err != nil {
		return err
	}
	_, err := p.json.ReadToken()
	if err == nil {
		p.wrong.Addf("body", "unexpected data after the JSON document")
		return decode.ErrSyntax
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return p.explain(err)
}

// top reads the only value of the body.
func (p *parser) top() error {
	kind := p.json.PeekKind()
	if kind == '{' {
		return p.object()
	}
	if kind == '[' {
		p.bare = true
		return p.array()
	}
	if err := p.json.SkipValue(); err != nil {
		return p.explain(err)
	}
	p.wrong.Addf("body", "want an object or an array")
	return decode.ErrSyntax
}

// explain adds what is wrong with the text, and returns why reading ends.
func (p *parser) explain(err error) error {
	return decode.Text(&p.wrong, err) //nolint:wrapcheck // the body's error is returned unchanged
}

// object reads the fields of the message.
func (p *parser) object() error {
	if _, err := p.json.ReadToken(); err != nil {
		return p.explain(err)
	}
	for p.json.PeekKind() == '"' {
		name, err := p.json.ReadToken()
		if err != nil {
			return p.explain(err)
		}
		if err := p.field(name.String()); err != nil {
			return err
		}
	}
	_, err := p.json.ReadToken() // the closing brace
	return p.explain(err)
}

// field reads a field of the message.
func (p *parser) field(name string) error {
	into := p.message.field(name)
	switch {
	case name == "alerts" && p.json.PeekKind() == '[':
		return p.array()
	case name == "alerts" && p.json.PeekKind() != 'n':
		p.wrong.Addf(name, "want an array, got %s", decode.Kind(p.json.PeekKind()))
	case into == nil && p.hint == "":
		p.hint = hint(name)
	}
	if into == nil {
		if err := p.json.SkipValue(); err != nil {
			return p.explain(err)
		}
		return p.settle(0)
	}
	value, err := p.json.ReadValue()
	if err != nil {
		return p.explain(err)
	}
	if err := json.Unmarshal(value, into, decode.Options()); err != nil {
		decode.Value(&p.wrong, name, err)
	}
	return p.settle(0)
}

// array reads alerts.
func (p *parser) array() error {
	if _, err := p.json.ReadToken(); err != nil {
		return p.explain(err)
	}
	for p.json.PeekKind() != ']' {
		text, err := p.json.ReadValue()
		if err != nil {
			return p.explain(err)
		}
		if err := p.settle(p.take(text)); err != nil {
			return err
		}
	}
	_, err := p.json.ReadToken() // the closing bracket
	return p.explain(err)
}

func (p *parser) path(index int) string {
	if p.bare {
		return fmt.Sprintf("[%d]", index)
	}
	return fmt.Sprintf("alerts[%d]", index)
}

// take keeps an alert if it is usable, and returns how many bytes it keeps.
func (p *parser) take(text []byte) int {
	index := p.next
	p.next++
	if p.usable >= p.body.Signals || p.json.InputOffset() > p.body.Bytes {
		p.beyond.Signals++
		return 0
	}
	if p.wrongAlerts.Full() && len(text) == len("{}") {
		p.wrongAlerts.AddUnnamed(1)
		p.unlisted++
		return 0
	}
	var a alert
	invalid := a.decode(p.path(index), text, p.bare)
	if invalid == nil {
		p.usable++
		p.alerts = append(p.alerts, entry{index: index, text: bytes.Clone(text)})
		return len(text)
	}
	if p.wrongAlerts.Full() {
		p.wrongAlerts.AddUnnamed(len(invalid.Fields))
		p.unlisted++
		return 0
	}
	p.wrongAlerts.Add(invalid)
	p.alerts = append(p.alerts, entry{index: index, invalid: invalid})
	return 1
}

// hint tells what to change, from the name of a field that only another sender has.
func hint(field string) string {
	switch field {
	case "evalMatches", "ruleName", "ruleUrl", "dashboardId":
		return "this is the webhook of Grafana's legacy alerting: use a webhook contact point of Grafana's unified alerting"
	case "involvedObject", "regarding":
		return "this is a Kubernetes event: post it to /api/v1/signals/kubernetes-event"
	case "data":
		return "this is a response of Prometheus's or vmalert's query API: let the sender notify this path, " +
			"by webhook_configs of an Alertmanager, or by alertmanagers.path_prefix (Prometheus) or -notifier.url (vmalert)"
	default:
		return ""
	}
}
