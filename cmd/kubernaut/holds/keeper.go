package holds

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/connection"
)

// keeper is where holds are.
type keeper interface {
	place(ctx context.Context, sent datastorage.LegalHoldRequest) (datastorage.LegalHold, error)
	// list returns a page of holds, newest first. It has at most those that the selection's limit allows.
	list(ctx context.Context, s selection) (page, error)
	// release returns the holds that were released, also beside an error.
	release(ctx context.Context, name, reason string) ([]datastorage.LegalHold, error)
}

// selection of holds.
type selection struct {
	// name is a correlation id or the id of a hold; "" selects all.
	name     string
	released bool
	limit    int
	cursor   string
}

// page of a list. Its cursor is "" at the end of the list.
type page struct {
	holds  []datastorage.LegalHold
	cursor string
}

// listAll follows the pages of a list, as far as maxListed.
func listAll(ctx context.Context, at keeper, s selection) (all page, err error) {
	for {
		found, err := at.list(ctx, s)
		if err != nil {
			return all, err
		}
		all.holds, all.cursor = append(all.holds, found.holds...), found.cursor
		if s.cursor = found.cursor; s.cursor == "" || len(all.holds) >= maxListed {
			return all, nil
		}
	}
}

// open makes the keeper that the flags select.
func (o *options) open() (keeper, error) {
	client, server, err := o.Open()
	switch {
	case err != nil:
		return nil, err //nolint:wrapcheck // names the flag
	case client != nil:
		return direct{client}, nil
	}
	return aggregated{server}, nil
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
		return datastorage.LegalHold{}, connection.Refused("place a hold", answer.HTTPResponse, answer.Body) //nolint:wrapcheck // says what
	}
	return *answer.JSON201, nil
}

func (d direct) list(ctx context.Context, s selection) (page, error) {
	var cursor *string
	if s.cursor != "" {
		cursor = &s.cursor
	}
	if s.name == "" {
		answer, err := d.client.ListLegalHoldsWithResponse(ctx, &datastorage.ListLegalHoldsParams{Released: &s.released, Limit: &s.limit, Cursor: cursor})
		switch {
		case err != nil:
			return page{}, fmt.Errorf("list holds: %w", err)
		case answer.JSON200 == nil:
			return page{}, connection.Refused("list holds", answer.HTTPResponse, answer.Body) //nolint:wrapcheck // says what
		}
		return page{answer.JSON200.LegalHolds, answer.JSON200.NextCursor}, nil
	}
	answer, err := d.client.GetLegalHoldsWithResponse(ctx, s.name, &datastorage.GetLegalHoldsParams{Limit: &s.limit, Cursor: cursor})
	switch {
	case err != nil:
		return page{}, fmt.Errorf("list holds: %w", err)
	case answer.StatusCode() == http.StatusNotFound:
		return page{}, nil
	case answer.JSON200 == nil:
		return page{}, connection.Refused("list holds", answer.HTTPResponse, answer.Body) //nolint:wrapcheck // says what
	}
	found := page{cursor: answer.JSON200.NextCursor}
	for _, h := range answer.JSON200.LegalHolds {
		if s.released || h.ReleasedAt == nil {
			found.holds = append(found.holds, h)
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
		return nil, connection.Refused("release a hold", answer.HTTPResponse, answer.Body) //nolint:wrapcheck // says what
	}
	return answer.JSON200.LegalHolds, nil
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
	var made legalHold
	if err := connection.Read(answer, what, permission, &made); err != nil {
		return datastorage.LegalHold{}, err //nolint:wrapcheck // says what
	}
	hold, err := made.wire()
	if err != nil {
		return datastorage.LegalHold{}, fmt.Errorf("%s: %w", what, err)
	}
	return hold, nil
}

func (a aggregated) list(ctx context.Context, s selection) (page, error) {
	query := url.Values{"limit": {strconv.Itoa(s.limit)}}
	if s.name != "" {
		query.Set("correlation_id", s.name)
	}
	if s.released {
		query.Set("released", "true")
	}
	if s.cursor != "" {
		query.Set("continue", s.cursor)
	}
	var list struct {
		Metadata metav1.ListMeta `json:"metadata"`
		Items    []legalHold     `json:"items"`
	}
	call := a.client.Get().RequestURI(holdsPath+"?"+query.Encode()).SetHeader("Accept", "application/json")
	if err := connection.Read(call.Do(ctx), "list holds", "list on legalholds", &list); err != nil {
		return page{}, err //nolint:wrapcheck // says what
	}
	found := page{holds: make([]datastorage.LegalHold, len(list.Items)), cursor: list.Metadata.Continue}
	for i := range list.Items {
		var err error
		if found.holds[i], err = list.Items[i].wire(); err != nil {
			return page{}, fmt.Errorf("list holds: %w", err)
		}
	}
	return found, nil
}

func (a aggregated) release(ctx context.Context, name, reason string) ([]datastorage.LegalHold, error) {
	found, err := listAll(ctx, a, selection{name: name, limit: pageSize})
	if err != nil {
		return nil, err
	}
	if len(found.holds) == 0 {
		return nil, errNone(name)
	}
	query := url.Values{"reason": {reason}}
	var released []datastorage.LegalHold
	var failed []error
	for _, h := range found.holds {
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
