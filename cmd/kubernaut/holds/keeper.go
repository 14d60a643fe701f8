package holds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/connection"
	"kubernaut.ai/internal/cli"
)

// keeper is where holds are.
type keeper interface {
	place(ctx context.Context, sent datastorage.LegalHoldRequest) (datastorage.LegalHold, error)
	// list returns the holds on a correlation id or with an id, or all for "".
	list(ctx context.Context, name string, released bool) ([]datastorage.LegalHold, error)
	// release returns the holds that were released, also beside an error.
	release(ctx context.Context, name, reason string) ([]datastorage.LegalHold, error)
}

// open makes the keeper that the flags select.
func (o *options) open() (keeper, error) {
	if err := o.direct.Check(); err != nil {
		return nil, err //nolint:wrapcheck // names the flags
	}
	if o.direct.URL != "" {
		client, authorize, err := o.direct.Client()
		if err != nil {
			return nil, err //nolint:wrapcheck // names the flag
		}
		made, err := datastorage.NewClientWithResponses(o.direct.URL, datastorage.WithHTTPClient(client), datastorage.WithRequestEditorFn(authorize))
		if err != nil {
			return nil, cli.Usagef("--datastorage-url: %w", err)
		}
		return direct{made}, nil
	}
	config, _, err := o.at.Config()
	if err != nil {
		return nil, err //nolint:wrapcheck // names the flag
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, cli.Usagef("--kubeconfig: %w", err)
	}
	return aggregated{clients.CoreV1().RESTClient()}, nil
}

// errNone says that a name stands for no hold in force.
func errNone(name string) error {
	return fmt.Errorf("no hold on correlation id %q is in force, and none with this id: kubernaut hold list shows those that are", name)
}

// direct is DataStorage itself.
type direct struct {
	client *datastorage.ClientWithResponses
}

func (d direct) place(ctx context.Context, sent datastorage.LegalHoldRequest) (datastorage.LegalHold, error) {
	answer, err := d.client.PlaceLegalHoldWithResponse(ctx, sent)
	if err != nil {
		return datastorage.LegalHold{}, fmt.Errorf("place a hold: %w", err)
	}
	if answer.JSON201 == nil {
		return datastorage.LegalHold{}, refused("place a hold", answer.HTTPResponse, answer.Body)
	}
	return *answer.JSON201, nil
}

func (d direct) list(ctx context.Context, name string, released bool) ([]datastorage.LegalHold, error) {
	if name == "" {
		answer, err := d.client.ListLegalHoldsWithResponse(ctx, &datastorage.ListLegalHoldsParams{Released: &released})
		if err != nil {
			return nil, fmt.Errorf("list holds: %w", err)
		}
		if answer.JSON200 == nil {
			return nil, refused("list holds", answer.HTTPResponse, answer.Body)
		}
		return answer.JSON200.LegalHolds, nil
	}
	answer, err := d.client.GetLegalHoldsWithResponse(ctx, name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("list holds: %w", err)
	case answer.StatusCode() == http.StatusNotFound:
		return nil, nil
	case answer.JSON200 == nil:
		return nil, refused("list holds", answer.HTTPResponse, answer.Body)
	}
	var found []datastorage.LegalHold
	for _, h := range answer.JSON200.LegalHolds {
		if released || h.ReleasedAt == nil {
			found = append(found, h)
		}
	}
	return found, nil
}

func (d direct) release(ctx context.Context, name, reason string) ([]datastorage.LegalHold, error) {
	answer, err := d.client.ReleaseLegalHoldWithResponse(ctx, name, &datastorage.ReleaseLegalHoldParams{Reason: reason})
	switch {
	case err != nil:
		return nil, fmt.Errorf("release a hold: %w", err)
	case answer.StatusCode() == http.StatusNotFound:
		return nil, errNone(name)
	case answer.JSON200 == nil:
		return nil, refused("release a hold", answer.HTTPResponse, answer.Body)
	}
	return answer.JSON200.LegalHolds, nil
}

// refused says why DataStorage did not do what it was asked for.
func refused(what string, answer *http.Response, body []byte) error {
	var problem datastorage.Problem
	if err := json.Unmarshal(body, &problem); err != nil || problem.Detail == "" {
		problem.Detail = strings.TrimSpace(string(body))
	}
	return &statusError{answer.StatusCode, fmt.Sprintf("%s: %s: %s", what, answer.Status, problem.Detail)}
}

// statusError is an answer that is none of success.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }

// isRefusal reports whether an error says that nothing was done, and that a repetition does nothing either.
func isRefusal(err error) bool {
	status := 0
	if direct, ok := errors.AsType[*statusError](err); ok {
		status = direct.status
	}
	var answered apierrors.APIStatus
	if errors.As(err, &answered) {
		status = int(answered.Status().Code)
	}
	const first, last = 400, 499
	return first <= status && status <= last && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
}

// aggregated is DataStorage behind the API server.
type aggregated struct{ client rest.Interface }

const (
	holdsPath  = "/apis/" + connection.Group + "/v1/legalholds"
	apiVersion = connection.Group + "/v1"
	kind       = "LegalHold"
)

// legalHold is a hold as the API server's clients see it.
type legalHold struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		CorrelationID string                  `json:"correlationID,omitempty"`
		Filter        datastorage.EventFilter `json:"filter,omitempty"`
		Reason        string                  `json:"reason"`
	} `json:"spec"`
	Status *struct {
		PlacedBy      string     `json:"placedBy"`
		PlacedAt      time.Time  `json:"placedAt"`
		ReleasedBy    string     `json:"releasedBy"`
		ReleasedAt    *time.Time `json:"releasedAt"`
		ReleaseReason string     `json:"releaseReason"`
		Unusable      bool       `json:"unusable"`
	} `json:"status,omitempty"`
}

func (l *legalHold) wire() (datastorage.LegalHold, error) {
	id, err := uuid.Parse(l.Metadata.Name)
	if err != nil || l.Status == nil {
		return datastorage.LegalHold{}, errors.New("unusable answer: a hold without id or status")
	}
	return datastorage.LegalHold{
		HoldId: id, CorrelationId: l.Spec.CorrelationID, Filter: l.Spec.Filter, Reason: l.Spec.Reason,
		PlacedBy: l.Status.PlacedBy, PlacedAt: l.Status.PlacedAt,
		ReleasedBy: l.Status.ReleasedBy, ReleasedAt: l.Status.ReleasedAt, ReleaseReason: l.Status.ReleaseReason, Unusable: l.Status.Unusable,
	}, nil
}

func (a aggregated) place(ctx context.Context, sent datastorage.LegalHoldRequest) (datastorage.LegalHold, error) {
	object := legalHold{TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}}
	object.Metadata.Name = sent.HoldId.String()
	if sent.CorrelationId != nil {
		object.Spec.CorrelationID = *sent.CorrelationId
	}
	object.Spec.Filter, object.Spec.Reason = sent.Filter, sent.Reason
	body, err := json.Marshal(object)
	if err != nil {
		return datastorage.LegalHold{}, fmt.Errorf("place a hold: %w", err)
	}
	return one(a.client.Post().AbsPath(holdsPath).SetHeader("Content-Type", "application/json").Body(body).Do(ctx), "place a hold", "create on legalholds")
}

// one reads an answer with one hold.
func one(answer rest.Result, what, permission string) (datastorage.LegalHold, error) {
	text, err := connection.Answer(answer)
	if err != nil {
		return datastorage.LegalHold{}, connection.Explain(err, what, permission) //nolint:wrapcheck // says what
	}
	var made legalHold
	if err := json.Unmarshal(text, &made); err != nil {
		return datastorage.LegalHold{}, fmt.Errorf("%s: unusable answer: %w", what, err)
	}
	hold, err := made.wire()
	if err != nil {
		return datastorage.LegalHold{}, fmt.Errorf("%s: %w", what, err)
	}
	return hold, nil
}

func (a aggregated) list(ctx context.Context, name string, released bool) ([]datastorage.LegalHold, error) {
	query := url.Values{}
	if name != "" {
		query.Set("correlation_id", name)
	}
	if released {
		query.Set("released", "true")
	}
	text, err := connection.Answer(a.client.Get().RequestURI(holdsPath+"?"+query.Encode()).SetHeader("Accept", "application/json").Do(ctx))
	if err != nil {
		return nil, connection.Explain(err, "list holds", "list on legalholds") //nolint:wrapcheck // says what
	}
	var page struct {
		Items []legalHold `json:"items"`
	}
	if err := json.Unmarshal(text, &page); err != nil {
		return nil, fmt.Errorf("list holds: unusable answer: %w", err)
	}
	found := make([]datastorage.LegalHold, len(page.Items))
	for i := range page.Items {
		if found[i], err = page.Items[i].wire(); err != nil {
			return nil, fmt.Errorf("list holds: %w", err)
		}
	}
	return found, nil
}

func (a aggregated) release(ctx context.Context, name, reason string) ([]datastorage.LegalHold, error) {
	found, err := a.list(ctx, name, false)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errNone(name)
	}
	query := url.Values{"reason": {reason}}
	var released []datastorage.LegalHold
	var failed []error
	for _, h := range found {
		answer := a.client.Delete().RequestURI(holdsPath + "/" + h.HoldId.String() + "?" + query.Encode()).Do(ctx)
		done, err := one(answer, "release hold "+h.HoldId.String(), "delete on legalholds")
		if err != nil {
			failed = append(failed, err)
			continue
		}
		released = append(released, done)
	}
	return released, errors.Join(failed...)
}
