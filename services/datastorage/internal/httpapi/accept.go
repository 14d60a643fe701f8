package httpapi

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"kubernaut.ai/internal/httpserver/problem"
)

// acceptable refuses a client that takes no JSON (RFC 9110, section 12.5.1): it
// would not understand the answer.
func acceptable(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if r.Method == http.MethodGet && !acceptsJSON(r.Header.Values(echo.HeaderAccept)) {
			return problem.New(http.StatusNotAcceptable, "answers are %s, which %q does not accept: send Accept: %s",
				echo.MIMEApplicationJSON, strings.Join(r.Header.Values(echo.HeaderAccept), ", "), echo.MIMEApplicationJSON)
		}
		return next(c)
	}
}

func acceptsJSON(accept []string) bool {
	if len(accept) == 0 {
		return true
	}
	best, found := -1, 0.0 // the most specific range counts
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		media, parameters, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		specific := -1
		switch media {
		case "*/*":
			specific = 0
		case "application/*":
			specific = 1
		case echo.MIMEApplicationJSON:
			specific = 2
		}
		if specific > best {
			best, found = specific, quality(parameters["q"])
		}
	}
	return best >= 0 && found > 0
}

// acceptsGzip reports whether a client named gzip (RFC 9110, section 12.5.3).
func acceptsGzip(header http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(header.Values(echo.HeaderAcceptEncoding), ","), ",") {
		coding, weight, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), encodingGzip) {
			_, q, _ := strings.Cut(weight, "=")
			return quality(strings.TrimSpace(q)) > 0
		}
	}
	return false
}

// quality is a weight; 1 where there is none, or none that can be read.
func quality(text string) float64 {
	q, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 1
	}
	return q
}
