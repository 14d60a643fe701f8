package aggregated

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/accesslog"
	"kubernaut.ai/services/datastorage/internal/acknowledgement"
	"kubernaut.ai/services/datastorage/internal/httpapi"
)

const kindAcknowledgement = "Acknowledgement"

// Acknowledgement is the record that somebody has taken note of events that will
// not be stored. Its name is the id of the event that records it.
type Acknowledgement struct {
	metav1.TypeMeta `json:",inline"`

	Metadata metav1.ObjectMeta      `json:"metadata"`
	Spec     AcknowledgementSpec    `json:"spec"`
	Status   *AcknowledgementStatus `json:"status,omitempty"`
}

// AcknowledgementSpec says which events.
type AcknowledgementSpec struct {
	// Recorder is the authenticated name under which the events were sent.
	Recorder string   `json:"recorder"`
	EventIDs []string `json:"eventIDs"`
	Reason   string   `json:"reason"`
}

// AcknowledgementStatus says who acknowledged, and when.
type AcknowledgementStatus struct {
	AcknowledgedBy string           `json:"acknowledgedBy"`
	AcknowledgedAt metav1.MicroTime `json:"acknowledgedAt"`
}

func newAcknowledgement(r *acknowledgement.Record) Acknowledgement {
	made := Acknowledgement{
		TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kindAcknowledgement},
		Metadata: objectMeta(r.ID.String(), r.At),
		Spec:     AcknowledgementSpec{Recorder: r.Recorder, EventIDs: make([]string, len(r.EventIDs)), Reason: r.Reason},
		Status:   &AcknowledgementStatus{AcknowledgedBy: r.User.Name, AcknowledgedAt: metav1.NewMicroTime(r.At)},
	}
	for i, id := range r.EventIDs {
		made.Spec.EventIDs[i] = id.String()
	}
	return made
}

func (a *api) acknowledge(c echo.Context) error {
	if err := onlyIgnored(c.Request().URL, "fieldManager", "fieldValidation"); err != nil {
		return err
	}
	var sent Acknowledgement
	err := readObject(c, kindAcknowledgement, &sent, func() object { return object{sent.TypeMeta, sent.Metadata, sent.Status != nil} })
	if err != nil {
		return err
	}
	if sent.Metadata.Name != "" {
		return unreadable(kindAcknowledgement, "metadata must have no name: it is the id that the server gives")
	}
	request, bad := acknowledgement.NewRequest(sent.Spec.Recorder, sent.Spec.EventIDs, sent.Spec.Reason)
	if len(bad) > 0 {
		return unusable(kindAcknowledgement, bad)
	}
	record, err := a.config.Acknowledgements.Create(c.Request().Context(), request, httpapi.User(c.Request().Context()))
	switch {
	case errors.As(err, new(*acknowledgement.UserError)):
		return httpapi.DeniedUser(err) //nolint:wrapcheck // a problem
	case err != nil:
		return httpapi.Problem(err) //nolint:wrapcheck // a problem
	}
	return c.JSON(http.StatusCreated, newAcknowledgement(&record))
}

func (a *api) acknowledged(c echo.Context) error {
	return a.observed(kindGet, func(c echo.Context, asked *accesslog.Read) error {
		if err := onlyIgnored(c.Request().URL); err != nil {
			return err
		}
		id, err := objectID(c, "acknowledgement")
		if err != nil {
			return err
		}
		asked.Filters = []accesslog.Filter{{Name: "event_id", Value: id.String()}}
		record, err := a.config.Acknowledgements.Get(c.Request().Context(), id)
		switch {
		case errors.Is(err, acknowledgement.ErrNotFound):
			return problem.New(http.StatusNotFound, "there is no acknowledgement %s", id)
		case err != nil:
			return httpapi.Problem(err)
		}
		asked.Events = 1
		return c.JSON(http.StatusOK, newAcknowledgement(&record))
	}, c)
}
