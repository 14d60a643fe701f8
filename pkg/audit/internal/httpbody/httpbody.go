// Package httpbody reads the bodies of HTTP responses within a bound.
package httpbody

import (
	"errors"
	"fmt"
	"io"
	"net/http"
)

// MaxBytes is the largest body that is read: 10,000 ids, or as many problems of single events, fit.
const MaxBytes = 8 << 20

// ErrTooLarge means that a body has more than MaxBytes.
var ErrTooLarge = fmt.Errorf("response is larger than %d bytes", MaxBytes)

// Read reads the whole body, so that the connection can be used again, and closes it.
func Read(response *http.Response) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, MaxBytes+1))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("read response: %w", err)
	}
	if len(body) > MaxBytes {
		return nil, ErrTooLarge
	}
	return body, nil
}
