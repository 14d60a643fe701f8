package aggregated

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/internal/auth"
	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/acknowledgement"
	"kubernaut.ai/services/datastorage/internal/httpapi"
)

const (
	kindAcknowledgement = "Acknowledgement"
	// maxBody of an acknowledgement: a thousand ids take 40 kB.
	maxBody = 256 << 10
)

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
	sent, err := readAcknowledgement(c)
	if err != nil {
		return err
	}
	request, bad := acknowledgement.NewRequest(sent.Spec.Recorder, sent.Spec.EventIDs, sent.Spec.Reason)
	if len(bad) > 0 {
		return unusable(bad)
	}
	caller := auth.CallerFrom(c.Request().Context())
	record, err := a.config.Acknowledgements.Create(c.Request().Context(), request,
		acknowledgement.User{Name: caller.Name, UID: caller.UID, Groups: caller.Groups})
	switch {
	case errors.As(err, new(*acknowledgement.UserError)):
		return problem.New(http.StatusForbidden, "%v", err)
	case err != nil:
		return httpapi.Problem(err) //nolint:wrapcheck // a problem
	}
	return c.JSON(http.StatusCreated, newAcknowledgement(&record))
}

// unusable names the fields of the spec that are wrong.
func unusable(bad map[string]string) error {
	fields := make(map[string]string, len(bad))
	reasons := make([]string, 0, len(bad))
	for _, field := range sortedKeys(bad) {
		fields["spec."+field] = bad[field]
		reasons = append(reasons, "spec."+field+" "+bad[field])
	}
	return problem.Validation(fields, "the acknowledgement is not usable: %s", strings.Join(reasons, "; "))
}

func readAcknowledgement(c echo.Context) (*Acknowledgement, error) {
	r := c.Request()
	if media, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)); err != nil || media != echo.MIMEApplicationJSON {
		return nil, problem.New(http.StatusUnsupportedMediaType, "send an acknowledgement as %s", echo.MIMEApplicationJSON)
	}
	text, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, maxBody))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, problem.New(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes: acknowledge fewer events at once", maxBody)
	case err != nil:
		return nil, problem.New(http.StatusBadRequest, "the body ended early: %v", err)
	}
	sent, err := decode(text)
	if err != nil {
		return nil, problem.Validation(nil, "the body is not an acknowledgement: %v", err)
	}
	return sent, nil
}

func decode(text []byte) (*Acknowledgement, error) {
	var sent Acknowledgement
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&sent); err != nil {
		return nil, err //nolint:wrapcheck // wrapped by the caller
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	if sent.APIVersion != apiVersion || sent.Kind != kindAcknowledgement {
		return nil, fmt.Errorf("want apiVersion %s and kind %s", apiVersion, kindAcknowledgement)
	}
	if slices.ContainsFunc([]string{sent.Metadata.Name, sent.Metadata.GenerateName, sent.Metadata.Namespace}, func(s string) bool { return s != "" }) {
		return nil, errors.New("metadata must have no name and no namespace: the name is the id that the server gives")
	}
	if sent.Status != nil {
		return nil, errors.New("status is the server's")
	}
	return &sent, nil
}

func (a *api) acknowledged(c echo.Context) error {
	return a.observed(kindGet, func(c echo.Context) error {
		if err := onlyIgnored(c.Request().URL); err != nil {
			return err
		}
		id, err := objectID(c, "acknowledgement")
		if err != nil {
			return err
		}
		record, err := a.config.Acknowledgements.Get(c.Request().Context(), id)
		switch {
		case errors.Is(err, acknowledgement.ErrNotFound):
			return problem.New(http.StatusNotFound, "there is no acknowledgement %s", id)
		case err != nil:
			return httpapi.Problem(err)
		}
		return c.JSON(http.StatusOK, newAcknowledgement(&record))
	}, c)
}
