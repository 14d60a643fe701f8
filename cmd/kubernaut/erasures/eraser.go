package erasures

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kubernaut.ai/api/datastorage"
	"kubernaut.ai/cmd/kubernaut/connection"
)

// eraser is who carries erasures out.
type eraser interface {
	// preview returns a page of events that can be erased; cursor is that of the page before.
	preview(ctx context.Context, filter datastorage.EventFilter, cursor string) (datastorage.ErasurePreview, error)
	request(ctx context.Context, sent datastorage.ErasureRequest) (datastorage.Erasure, error)
	// get waits for the end of an open erasure, for at most so long.
	get(ctx context.Context, id uuid.UUID, wait time.Duration) (datastorage.Erasure, error)
	// list returns a page, newest first, and the cursor of the next one.
	list(ctx context.Context, cursor string) (found []datastorage.Erasure, next string, err error)
}

// longestWait is how long one request waits for the end of an erasure.
const longestWait = 30 * time.Second

// open makes the eraser that the flags select.
func (o *options) open() (eraser, error) {
	client, server, err := o.Open()
	switch {
	case err != nil:
		return nil, err //nolint:wrapcheck // names the flag
	case client != nil:
		return direct{client}, nil
	}
	return aggregated{server}, nil
}

const (
	doPreview = "find events to erase"
	doRequest = "request an erasure"
	doGet     = "read an erasure"
	doList    = "list erasures"
)

// direct is DataStorage itself.
type direct struct {
	client *datastorage.ClientWithResponses
}

func (d direct) preview(ctx context.Context, filter datastorage.EventFilter, cursor string) (found datastorage.ErasurePreview, err error) {
	sent := datastorage.ErasurePreviewRequest{Filter: filter}
	if cursor != "" {
		sent.Cursor = &cursor
	}
	answer, err := d.client.PreviewErasureWithResponse(ctx, sent)
	switch {
	case err != nil:
		return found, fmt.Errorf("%s: %w", doPreview, err)
	case answer.JSON200 == nil:
		return found, connection.Refused(doPreview, answer.HTTPResponse, answer.Body) //nolint:wrapcheck // says what
	}
	return *answer.JSON200, nil
}

func (d direct) request(ctx context.Context, sent datastorage.ErasureRequest) (made datastorage.Erasure, err error) {
	answer, err := d.client.RequestErasureWithResponse(ctx, sent)
	switch {
	case err != nil:
		return made, fmt.Errorf("%s: %w", doRequest, err)
	case answer.JSON202 == nil:
		return made, connection.Refused(doRequest, answer.HTTPResponse, answer.Body) //nolint:wrapcheck // says what
	}
	return *answer.JSON202, nil
}

func (d direct) get(ctx context.Context, id uuid.UUID, wait time.Duration) (found datastorage.Erasure, err error) {
	seconds := int(min(wait, longestWait) / time.Second)
	answer, err := d.client.GetErasureWithResponse(ctx, id, &datastorage.GetErasureParams{Wait: &seconds})
	switch {
	case err != nil:
		return found, fmt.Errorf("%s: %w", doGet, err)
	case answer.JSON200 == nil:
		return found, connection.Refused(doGet, answer.HTTPResponse, answer.Body) //nolint:wrapcheck // says what
	}
	return *answer.JSON200, nil
}

func (d direct) list(ctx context.Context, cursor string) (found []datastorage.Erasure, next string, err error) {
	params := &datastorage.ListErasuresParams{}
	if cursor != "" {
		params.Cursor = &cursor
	}
	answer, err := d.client.ListErasuresWithResponse(ctx, params)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("%s: %w", doList, err)
	case answer.JSON200 == nil:
		return nil, "", connection.Refused(doList, answer.HTTPResponse, answer.Body) //nolint:wrapcheck // says what
	}
	return answer.JSON200.Erasures, answer.JSON200.NextCursor, nil
}

// aggregated is DataStorage behind the API server.
type aggregated struct{ client rest.Interface }

const (
	apiVersion   = connection.Group + "/v1"
	erasuresPath = "/apis/" + apiVersion + "/erasures"
	previewsPath = "/apis/" + apiVersion + "/erasurepreviews"
	jsonMedia    = "application/json"
)

// heldEvent and the following types are objects as the API server's clients see them.
type heldEvent struct {
	EventID uuid.UUID `json:"eventID"`
	HoldID  uuid.UUID `json:"holdID"`
}

type previewObject struct {
	metav1.TypeMeta `json:",inline"`

	Spec struct {
		Filter   datastorage.EventFilter `json:"filter"`
		Continue string                  `json:"continue,omitempty"`
	} `json:"spec"`
	Status *struct {
		EventIDs     []uuid.UUID `json:"eventIDs"`
		Held         []heldEvent `json:"held"`
		Continue     string      `json:"continue"`
		ScannedUntil *time.Time  `json:"scannedUntil"`
	} `json:"status,omitempty"`
}

type erasureObject struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		EventIDs []uuid.UUID `json:"eventIDs,omitempty"`
		Reason   string      `json:"reason"`
	} `json:"spec"`
	Status *struct {
		RequestedBy string                    `json:"requestedBy"`
		RequestedAt time.Time                 `json:"requestedAt"`
		Phase       datastorage.ErasureStatus `json:"phase"`
		FinishedAt  *time.Time                `json:"finishedAt"`
		Events      int                       `json:"events"`
		Erased      int                       `json:"erased"`
		Missing     []uuid.UUID               `json:"missing"`
		Held        []heldEvent               `json:"held"`
		Altered     []uuid.UUID               `json:"altered"`
		Own         []uuid.UUID               `json:"own"`
		Unusable    bool                      `json:"unusable"`
	} `json:"status,omitempty"`
}

func (o *erasureObject) wire() (datastorage.Erasure, error) {
	id, err := uuid.Parse(o.Metadata.Name)
	if err != nil || o.Status == nil {
		return datastorage.Erasure{}, errors.New("unusable answer: an erasure without id or status")
	}
	s := o.Status
	return datastorage.Erasure{
		ErasureId: id, EventIds: o.Spec.EventIDs, Reason: o.Spec.Reason, RequestedBy: s.RequestedBy, RequestedAt: s.RequestedAt,
		Status: s.Phase, FinishedAt: s.FinishedAt, Events: s.Events, Erased: s.Erased,
		Missing: s.Missing, Held: wireHeld(s.Held), Altered: s.Altered, Own: s.Own, Unusable: s.Unusable,
	}, nil
}

func wireHeld(held []heldEvent) []datastorage.HeldEvent {
	made := make([]datastorage.HeldEvent, 0, len(held))
	for _, h := range held {
		made = append(made, datastorage.HeldEvent{EventId: h.EventID, HoldId: h.HoldID})
	}
	return made
}

// create sends an object and reads the answer into it.
func (a aggregated) create(ctx context.Context, path, what, permission string, object any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return connection.Read(a.client.Post().AbsPath(path).SetHeader("Content-Type", jsonMedia).Body(body).Do(ctx), what, permission, object) //nolint:wrapcheck // says what
}

func (a aggregated) preview(ctx context.Context, filter datastorage.EventFilter, cursor string) (found datastorage.ErasurePreview, err error) {
	object := previewObject{TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: "ErasurePreview"}}
	object.Spec.Filter, object.Spec.Continue = filter, cursor
	if err := a.create(ctx, previewsPath, doPreview, "create on erasurepreviews", &object); err != nil {
		return found, err
	}
	if object.Status == nil {
		return found, fmt.Errorf("%s: unusable answer: a preview without status", doPreview)
	}
	return datastorage.ErasurePreview{
		EventIds: object.Status.EventIDs, Held: wireHeld(object.Status.Held), NextCursor: object.Status.Continue,
		HasMore: object.Status.Continue != "", ScannedUntil: object.Status.ScannedUntil,
	}, nil
}

func (a aggregated) request(ctx context.Context, sent datastorage.ErasureRequest) (made datastorage.Erasure, err error) {
	object := erasureObject{TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: "Erasure"}}
	object.Metadata.Name = sent.ErasureId.String()
	object.Spec.EventIDs, object.Spec.Reason = sent.EventIds, sent.Reason
	if err := a.create(ctx, erasuresPath, doRequest, "create on erasures", &object); err != nil {
		return made, err
	}
	return object.wire()
}

func (a aggregated) get(ctx context.Context, id uuid.UUID, wait time.Duration) (datastorage.Erasure, error) {
	query := url.Values{"wait": {strconv.Itoa(int(min(wait, longestWait) / time.Second))}}
	var object erasureObject
	call := a.client.Get().RequestURI(erasuresPath+"/"+id.String()+"?"+query.Encode()).SetHeader("Accept", jsonMedia)
	if err := connection.Read(call.Do(ctx), doGet, "get on erasures", &object); err != nil {
		return datastorage.Erasure{}, err //nolint:wrapcheck // says what
	}
	return object.wire()
}

func (a aggregated) list(ctx context.Context, cursor string) (found []datastorage.Erasure, next string, err error) {
	query := url.Values{}
	if cursor != "" {
		query.Set("continue", cursor)
	}
	var page struct {
		Metadata metav1.ListMeta `json:"metadata"`
		Items    []erasureObject `json:"items"`
	}
	call := a.client.Get().RequestURI(erasuresPath+"?"+query.Encode()).SetHeader("Accept", jsonMedia)
	if err := connection.Read(call.Do(ctx), doList, "list on erasures", &page); err != nil {
		return nil, "", err //nolint:wrapcheck // says what
	}
	for i := range page.Items {
		e, err := page.Items[i].wire()
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", doList, err)
		}
		found = append(found, e)
	}
	return found, page.Metadata.Continue, nil
}
