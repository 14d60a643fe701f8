package database_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"kubernaut.ai/services/datastorage/internal/database"
)

func TestWhatAnotherAttemptMayFindChangedIsTransient(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		err  error
		want bool
	}{
		"refused":          {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, true},
		"unknown name":     {&net.DNSError{Err: "no such host", Name: "postgres"}, true},
		"starting":         {&pgconn.PgError{Code: "57P03"}, true},
		"explained":        {database.Explain(&pgx.ConnConfig{}, &pgconn.PgError{Code: "57P03"}), true},
		"full":             {&pgconn.PgError{Code: "53300"}, true},
		"hung up":          {fmt.Errorf("connect: %w", io.EOF), true},
		"hung up early":    {fmt.Errorf("connect: %w", io.ErrUnexpectedEOF), true},
		"wrong password":   {fmt.Errorf("connect: %w", &pgconn.PgError{Code: "28P01"}), false},
		"no such database": {&pgconn.PgError{Code: "3D000"}, false},
		"no TLS":           {errors.New("server refused TLS connection"), false},
	} {
		if got := database.Transient(test.err); got != test.want {
			t.Errorf("%s: transient is %t, want %t", name, got, test.want)
		}
	}
}
