package wire

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// ProblemMediaType is the media type of problem details (RFC 9457). A refusal without it is not DataStorage's.
const ProblemMediaType = "application/problem+json"

// ProblemTypeBase is the beginning of each problem's type; a slug follows.
const ProblemTypeBase = "https://kubernaut.ai/problems/"

// NewProblem makes a problem for a status; its type and title are the status' own name.
func NewProblem(status int, detail string) Problem {
	title := http.StatusText(status)
	return Problem{Type: ProblemTypeBase + slug(title), Title: title, Status: status, Detail: detail}
}

// ValidationProblem makes a 400 that names each wrong field and why.
func ValidationProblem(fields map[string]string, detail string) Problem {
	return Problem{
		Type: ProblemTypeBase + "validation-error", Title: "Validation Error", Status: http.StatusBadRequest,
		Detail: detail, FieldErrors: fields,
	}
}

// ProblemText returns what a problem document says for people: its detail, or else its title. It is empty if body is
// no such document.
func ProblemText(body []byte) string {
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil {
		return ""
	}
	if p.Detail != "" {
		return p.Detail
	}
	return p.Title
}

// FieldText says in one sentence what is wrong with the fields, in the order of their names: all of them, or at most
// the first ones and how many more there are.
func FieldText(fields map[string]string, most int) string {
	names := slices.Sorted(maps.Keys(fields))
	more := 0
	if most > 0 && len(names) > most {
		more = len(names) - most
		names = names[:most]
	}
	parts := make([]string, 0, len(names)+1)
	for _, name := range names {
		parts = append(parts, name+" "+fields[name])
	}
	if more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, "; ")
}

func slug(title string) string {
	out := make([]byte, 0, len(title))
	for i := range len(title) {
		switch c := title[i]; {
		case c >= 'A' && c <= 'Z':
			out = append(out, c+'a'-'A')
		case c == ' ':
			out = append(out, '-')
		case c != '\'':
			out = append(out, c)
		}
	}
	return string(out)
}
