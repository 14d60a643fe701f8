package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"
)

// peerVariable holds the address of an answer of DataStorage in the process of the peer.
const peerVariable = "KUBERNAUT_BENCH_PEER"

// startPeer starts a server that reads the events of a trail by bare SQL, and answers with the
// body of DataStorage: a process beside the clients, as DataStorage is.
func startPeer(ctx context.Context, t *trail) (*server, error) {
	return startProcess(ctx, t.database, "", peerVariable+"="+t.url+pathOne+"?correlation_id="+t.someID())
}

// servePeer is the process of that server.
func servePeer(ctx context.Context, database, answer string) error {
	body, err := get(ctx, answer)
	if err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer pool.Close()
	e := echo.New()
	e.GET(pathOne, func(c echo.Context) error {
		//nolint:unqueryvet // the columns of an event, whichever there are
		rows, err := pool.Query(c.Request().Context(), `SELECT * FROM audit_events WHERE correlation_id = $1 ORDER BY coalesce(sort_time, event_timestamp) DESC, event_id DESC LIMIT 51`,
			c.QueryParam("correlation_id"))
		if err != nil {
			return err //nolint:wrapcheck // the client sees it
		}
		found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([][]byte, error) { return row.RawValues(), nil })
		if err != nil || len(found) != eventsPerTrail {
			return fmt.Errorf("%d rows: %w", len(found), err)
		}
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, body)
	})
	return serveUntilEOF(ctx, e)
}
