package httpserver

import (
	"strings"

	"github.com/labstack/echo/v4"
)

// RequestID returns a middleware that names each request in the response's X-Request-ID: with the client's own id if
// it is safe in a log, or else with one from newID.
func RequestID(newID func() string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			id := c.Request().Header.Get(echo.HeaderXRequestID)
			if !isRequestID(id) {
				id = newID()
			}
			c.Response().Header().Set(echo.HeaderXRequestID, id)
			return next(c)
		}
	}
}

// isRequestID accepts the usual forms: UUIDs, trace ids, base64, names with a host and a port.
func isRequestID(id string) bool {
	const most = 128
	return id != "" && len(id) <= most && strings.IndexFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.:+/=@", r)
	}) < 0
}
