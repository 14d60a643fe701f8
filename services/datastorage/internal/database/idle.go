package database

import (
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// idleLimit closes connections that come back while enough others are idle.
type idleLimit struct {
	most int32
	// pool is set once, right after the pool was made.
	pool atomic.Pointer[pgxpool.Pool]
}

func (l *idleLimit) keep(*pgx.Conn) bool {
	pool := l.pool.Load()
	return pool == nil || pool.Stat().IdleConns() < l.most
}
