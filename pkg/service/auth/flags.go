package auth

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/spf13/pflag"
	"k8s.io/utils/clock"

	"kubernaut.ai/pkg/service"
	"kubernaut.ai/pkg/service/problem"
)

// The modes of --auth.
const (
	ModeNone      = "none"
	ModeTokenFile = "token-file"
)

// Flags are the authentication flags of a service.
type Flags struct {
	Mode          string
	File          string
	AllowInsecure bool
}

// AddTo registers --auth, --auth-token-file and --auth-none-beyond-loopback.
func (f *Flags) AddTo(flags *pflag.FlagSet) {
	flags.StringVar(&f.Mode, "auth", ModeNone, "who may call: none (loopback addresses only) or token-file")
	flags.StringVar(&f.File, "auth-token-file", "", "file with a caller's name and the hex SHA-256 of its token on each line, for --auth token-file")
	flags.BoolVar(&f.AllowInsecure, "auth-none-beyond-loopback", false, "allow --auth none on an address that others can reach")
}

// New makes the authenticator for a server that listens on address (the value
// of the flag named addressFlag). Unusable flags are a service.UsageError.
func (f *Flags) New(addressFlag, address string, c clock.PassiveClock) (Authenticator, error) {
	loopback, err := service.ParseAddress(addressFlag, address)
	if err != nil {
		return nil, fmt.Errorf("authentication: %w", err)
	}
	switch f.Mode {
	case ModeNone:
		if f.File != "" {
			return nil, service.Usagef("--auth-token-file is given but --auth is none: use --auth token-file")
		}
		if !loopback && !f.AllowInsecure {
			return nil, service.Usagef("--auth none with --%s %s would let everybody in: listen on 127.0.0.1, use --auth token-file, or say --auth-none-beyond-loopback", addressFlag, address)
		}
		return None{}, nil
	case ModeTokenFile:
		if f.File == "" {
			return nil, service.Usagef("--auth token-file needs --auth-token-file FILE")
		}
		a, err := NewTokenFile(f.File, c)
		if err != nil {
			return nil, &service.UsageError{Err: err}
		}
		return a, nil
	default:
		return nil, service.Usagef("--auth %q: want none or token-file", f.Mode)
	}
}

// Middleware lets a request pass with its caller in the context, or answers 401.
func Middleware(a Authenticator) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			caller, err := a.Authenticate(c.Request())
			switch {
			case errors.Is(err, ErrUnauthenticated):
				c.Response().Header().Set("WWW-Authenticate", `Bearer realm="kubernaut"`)
				p := problem.New(http.StatusUnauthorized, "show a known bearer token in the Authorization header")
				p.Cause = err
				return p
			case err != nil:
				return fmt.Errorf("authenticate: %w", err)
			}
			c.SetRequest(c.Request().WithContext(WithCaller(c.Request().Context(), caller)))
			return next(c)
		}
	}
}
