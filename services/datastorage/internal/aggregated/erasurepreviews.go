package aggregated

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	wire "kubernaut.ai/api/datastorage"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/httpapi"
	"kubernaut.ai/services/datastorage/internal/query"
)

const kindErasurePreview = "ErasurePreview"

// ErasurePreview asks which events an erasure would reach. It is answered and not kept, as a SubjectAccessReview is.
type ErasurePreview struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metav1.ObjectMeta     `json:"metadata"`
	Spec     ErasurePreviewSpec    `json:"spec"`
	Status   *ErasurePreviewStatus `json:"status,omitempty"`
}

// ErasurePreviewSpec selects events.
type ErasurePreviewSpec struct {
	// Filter has the names of the filters of events.
	Filter query.Filter `json:"filter"`
	// Continue is that of the page before.
	Continue string `json:"continue,omitempty"`
	// Limit is the most events of a page, the most there can be by default.
	Limit *int `json:"limit,omitempty"`
}

// ErasurePreviewStatus names the events of a page that can be erased.
type ErasurePreviewStatus struct {
	EventIDs []uuid.UUID `json:"eventIDs"`
	// Held are those of them that legal holds keep.
	Held []HeldEvent `json:"held,omitempty"`
	// Continue goes on; empty at the end.
	Continue string `json:"continue,omitempty"`
	// ScannedUntil is how far the search has come, if it goes on.
	ScannedUntil *time.Time `json:"scannedUntil,omitempty"`
}

func (a *api) previewErasure(c echo.Context) error {
	return a.observed(kindPreview, func(c echo.Context, asked *accesslog.Read) error {
		if err := onlyIgnored(c.Request().URL, "fieldManager", "fieldValidation"); err != nil {
			return err
		}
		var sent ErasurePreview
		err := readObject(c, kindErasurePreview, &sent, func() object { return object{sent.TypeMeta, sent.Metadata, sent.Status != nil} })
		if err != nil {
			return err
		}
		if sent.Metadata.Name != "" {
			return unreadable(kindErasurePreview, "metadata must have no name: it is not kept")
		}
		params, err := sent.Spec.Filter.Params()
		if bad, is := errors.AsType[*query.ParamError](err); is {
			fields := map[string]string{}
			for name, wrong := range bad.Fields {
				fields[strings.TrimSuffix("filter."+name, ".filter")] = wrong
			}
			return unusable(kindErasurePreview, fields)
		}
		limit := query.MaxLimit
		params.Limit, params.Cursor = &limit, sent.Spec.Continue
		if sent.Spec.Limit != nil {
			params.Limit = sent.Spec.Limit
		}
		asked.Filters = httpapi.Filters(params.Filters())
		return a.config.Pages.Search(c, params, func(ctx context.Context, to *httpapi.Page) error {
			found, read, err := httpapi.Erasable(ctx, a.config.Finder, a.config.Erasures, params)
			if err != nil {
				return err //nolint:wrapcheck // explained by the page
			}
			asked.Events = read
			sent.Status = newPreviewStatus(&found)
			return to.JSON(ctx, sent, 0)
		})
	}, c)
}

func newPreviewStatus(found *wire.ErasurePreview) *ErasurePreviewStatus {
	status := &ErasurePreviewStatus{EventIDs: found.EventIds, Continue: found.NextCursor, ScannedUntil: found.ScannedUntil}
	for _, h := range found.Held {
		status.Held = append(status.Held, HeldEvent{EventID: h.EventId, HoldID: h.HoldId})
	}
	return status
}
