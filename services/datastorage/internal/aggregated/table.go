package aggregated

import (
	"encoding/json"
	"mime"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"kubernaut.ai/services/datastorage/internal/httpapi"
	"kubernaut.ai/services/datastorage/internal/query"
)

// wantsTable reports whether the client prefers a table, as kubectl get does
// without an output format.
func wantsTable(c echo.Context) bool {
	first, _, _ := strings.Cut(c.Request().Header.Get(echo.HeaderAccept), ",")
	media, parameters, err := mime.ParseMediaType(first)
	return err == nil && media == echo.MIMEApplicationJSON &&
		parameters["as"] == "Table" && parameters["g"] == metav1.GroupName && parameters["v"] == "v1"
}

// eventTable shows events as kubectl prints them.
var eventTable = form{before: tableHead(), item: tableRow, metadata: listMeta}

const (
	// The types of columns, as OpenAPI names them.
	columnText   = "string"
	columnNumber = "integer"
	// formatName is the format of a column that has the name of the object.
	formatName = "name"
)

func tableHead() string {
	return tableStart([]metav1.TableColumnDefinition{
		columnName,
		{Name: "Time", Type: columnText},
		{Name: "Type", Type: columnText},
		{Name: "Outcome", Type: columnText},
		{Name: "Correlation", Type: columnText},
		{Name: "Actor", Type: columnText, Priority: 1},
		{Name: "Recorded by", Type: columnText, Priority: 1},
	})
}

// columnName has the name of the object.
var columnName = metav1.TableColumnDefinition{Name: "Name", Type: columnText, Format: formatName}

// rowObject is what a row has of its object, which was made at a time.
func rowObject(id uuid.UUID, created time.Time) runtime.RawExtension {
	return runtime.RawExtension{Object: &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: metav1.SchemeGroupVersion.String(), Kind: "PartialObjectMetadata"},
		ObjectMeta: objectMeta(id.String(), created),
	}}
}

// tableStart is a table's text before its first row.
func tableStart(definitions []metav1.TableColumnDefinition) string {
	columns, err := json.Marshal(definitions)
	if err != nil {
		panic(err) // texts and numbers can be encoded
	}
	return `{"apiVersion":"` + metav1.SchemeGroupVersion.String() + `","kind":"Table","columnDefinitions":` + string(columns) + `,"rows":[`
}

func tableRow(_ *httpapi.Page, e *query.Stored) any {
	return metav1.TableRow{
		Cells:  []any{e.ID.String(), e.Timestamp.Format(time.RFC3339), e.Type, string(e.Outcome), e.CorrelationID, e.ActorID, e.RecordedBy},
		Object: rowObject(e.ID, e.ReceivedAt),
	}
}
