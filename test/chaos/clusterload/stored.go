package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/test/testenv/cluster"
	"kubernaut.ai/test/verdict"
)

const (
	// The trial database of the overlay, its first user, and the Secret with the password.
	databasePod, databasePort               = "postgres-0", 5432
	databaseUser, databaseName, passwordKey = "datastorage", "audit", "password"
	databaseSecret                          = "datastorage-database"
)

// check compares what was acknowledged with what the database has. Each row must be
// in a batch, which maintenance sees to after an older version stored it.
func (l *eventLoad) check(ctx context.Context, result *verdict.Result) error {
	conn, closeIt, err := connect(ctx, l.env)
	if err != nil {
		return fmt.Errorf("read stored events: %w", err)
	}
	defer closeIt()
	var unfinished int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM audit_events WHERE batch_id IS NULL OR commitment IS NULL`).Scan(&unfinished); err != nil {
		return fmt.Errorf("read stored events: %w", err)
	}
	if unfinished > 0 {
		return fmt.Errorf("%d events of the older version are not complete: wait for maintenance", unfinished)
	}
	rows, err := conn.Query(ctx, `SELECT event_id, count(*) FROM audit_events WHERE event_type = $1 GROUP BY event_id`, eventType)
	if err != nil {
		return fmt.Errorf("read stored events: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	stored := make(map[uuid.UUID]bool, len(l.acknowledged))
	var id uuid.UUID
	var times int
	if _, err = pgx.ForEachRow(rows, []any{&id, &times}, func() error {
		stored[id] = true
		result.AddStored(times, id.String(), "event")
		return nil
	}); err != nil {
		return fmt.Errorf("read stored events: %w", err)
	}
	for id := range l.acknowledged {
		result.Accepted++
		if !stored[id] {
			result.AddLost(id.String(), "event")
		}
	}
	return nil
}

// connect connects to the trial database as its first user. The caller closes it.
func connect(ctx context.Context, env *cluster.Env) (conn *pgx.Conn, closeIt func(), err error) {
	var secret corev1.Secret
	if err := env.Get(ctx, client.ObjectKey{Namespace: cluster.System, Name: databaseSecret}, &secret); err != nil {
		return nil, nil, fmt.Errorf("password of the database: %w", err)
	}
	address, stop, err := env.ForwardPort(ctx, cluster.System, databasePod, databasePort)
	if err != nil {
		return nil, nil, err
	}
	at := url.URL{
		Scheme: "postgres", Host: address, User: url.UserPassword(databaseUser, string(secret.Data[passwordKey])),
		Path: databaseName, RawQuery: "sslmode=disable",
	}
	if conn, err = pgx.Connect(ctx, at.String()); err != nil {
		stop()
		return nil, nil, fmt.Errorf("connect to the database: %w", err)
	}
	return conn, func() {
		_ = conn.Close(context.WithoutCancel(ctx))
		stop()
	}, nil
}
