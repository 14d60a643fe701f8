package aggregated

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/internal/httpserver/problem"
	"kubernaut.ai/services/datastorage/internal/httpapi"
	"kubernaut.ai/services/datastorage/internal/query"
)

// maxBody bounds an object that a client sends: an acknowledgement of a thousand ids takes 40 kB.
const maxBody = 256 << 10

// object is what all objects have that clients send.
type object struct {
	metav1.TypeMeta

	metadata  metav1.ObjectMeta
	hasStatus bool
}

// readObject reads an object of a kind into a variable, of which described tells what all objects have.
func readObject(c echo.Context, kind string, to any, described func() object) error {
	r := c.Request()
	if media, _, err := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)); err != nil || media != echo.MIMEApplicationJSON {
		return problem.New(http.StatusUnsupportedMediaType, "send a %s as %s", kind, echo.MIMEApplicationJSON)
	}
	text, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, maxBody))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return problem.New(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", maxBody)
	case err != nil:
		return problem.New(http.StatusBadRequest, "the body ended early: %v", err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(to); err != nil {
		return unreadable(kind, err.Error())
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return unreadable(kind, "something follows the object")
	}
	switch sent := described(); {
	case sent.APIVersion != apiVersion || sent.Kind != kind:
		return unreadable(kind, fmt.Sprintf("want apiVersion %s and kind %s", apiVersion, kind))
	case sent.metadata.GenerateName != "":
		return unreadable(kind, "metadata must have no generateName: the name is an id")
	case sent.metadata.Namespace != "":
		return unreadable(kind, "metadata must have no namespace: the resource has none")
	case sent.hasStatus:
		return unreadable(kind, "status is the server's")
	}
	return nil
}

func unreadable(kind, why string) error {
	return problem.Validation(nil, "the body is not a usable %s: %s", kind, why)
}

// unusable names the fields of the spec that are wrong.
func unusable(kind string, bad map[string]string) error {
	fields := make(map[string]string, len(bad))
	reasons := make([]string, 0, len(bad))
	for _, field := range sortedKeys(bad) {
		fields["spec."+field] = bad[field]
		reasons = append(reasons, "spec."+field+" "+bad[field])
	}
	return problem.Validation(fields, "the %s is not usable: %s", kind, strings.Join(reasons, "; "))
}

// objectName returns the id that a client gave an object as its name, or a new one.
func objectName(kind, name string) (uuid.UUID, error) {
	if name == "" {
		return uuid.Must(uuid.NewV7()), nil
	}
	id, err := uuid.Parse(name)
	if err != nil || id == uuid.Nil {
		return uuid.Nil, unreadable(kind, "metadata.name must be a UUID, or missing: the server gives one then")
	}
	return id, nil
}

// listForm is how objects are written: as a list, or as a table.
type listForm[T any] struct {
	before string
	item   func(*T) any
}

// writeList adds a page of a list, and where the list goes on.
func writeList[T any](ctx context.Context, to *httpapi.Page, f listForm[T], items []T, next string) error {
	if err := to.Text(ctx, f.before); err != nil {
		return err //nolint:wrapcheck // explained by the page
	}
	separator := ""
	for i := range items {
		if err := errors.Join(to.Text(ctx, separator), to.JSON(ctx, f.item(&items[i]), 0)); err != nil {
			return err
		}
		separator = ","
	}
	return errors.Join(to.Text(ctx, `],"metadata":`), to.JSON(ctx, metav1.ListMeta{Continue: next}, 0), to.Text(ctx, "}"))
}

// The parameters of pages in Kubernetes.
const (
	paramLimit    = "limit"
	paramContinue = "continue"
)

// pageLimit reads the parameter limit. A page may be smaller than what is asked for, and 0 asks for no limit.
func pageLimit(text string) (*int, error) {
	if text == "" || text == "0" {
		return nil, nil //nolint:nilnil // the default
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 0 {
		return nil, errors.New("must be a number")
	}
	return new(min(limit, query.MaxLimit)), nil
}
