package metrics

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"kubernaut.ai/services/datastorage/internal/database"
)

// database shows the state of the database and the connections to it.
func (m *Metrics) database(db *database.Pools) {
	gauge := func(name, help string, labels prometheus.Labels, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Name: "database_" + name, Help: help, ConstLabels: labels,
		}, value))
	}
	for use, pool := range map[string]*pgxpool.Pool{"ingest": db.Ingest, "probe": db.Probe, "query": db.Query} {
		labels := prometheus.Labels{"pool": use}
		gauge("connections_in_use", "Connections to the database that are in use, by pool.", labels, func() float64 { return float64(pool.Stat().AcquiredConns()) })
		gauge("connections_idle", "Connections to the database that wait for use, by pool.", labels, func() float64 { return float64(pool.Stat().IdleConns()) })
		gauge("connections_max", "Bound on the connections to the database, by pool.", labels, func() float64 { return float64(pool.Stat().MaxConns()) })
	}
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: namespace, Name: "queries_without_connection_total", Help: "Queries that were answered 503, because all connections for queries were in use.",
	}, func() float64 { return float64(db.Busy()) }))
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Namespace: namespace, Name: "database_vanished_clients_total",
		Help: "Transactions that this replica ended, because the client that stored events in them had sent nothing for 5 s.",
	}, func() float64 { return float64(db.Watch.Ended()) }))
	is := func(holds func() bool) func() float64 {
		return func() float64 {
			if holds() {
				return 1
			}
			return 0
		}
	}
	gauge("up", "1 while the database answers.", nil, is(func() bool { s := db.Watch.State(); return s == database.Up || s == database.ReadOnly }))
	gauge("writable", "1 while the database answers and takes writes.", nil, is(func() bool { return db.Watch.State() == database.Up }))
	gauge("replicates_asynchronously", "1 if the database has standbys and a commit waits for none of them: a failover can lose acknowledged events.",
		nil, is(func() bool { return db.Watch.Replication() == database.Asynchronous }))
	m.erasures(db.Watch)
}

// erasures shows the requests that wait for maintenance, which may not run and then says nothing.
func (m *Metrics) erasures(watch *database.Watch) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Name: "erasures_pending", Help: "Requests for erasures that wait for maintenance.",
		}, func() float64 { return float64(watch.Erasures().Waiting) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Name: "erasures_oldest_request_timestamp_seconds",
			Help: "When the erasure that waits longest was asked for, in Unix seconds. 0 if none waits.",
		}, func() float64 {
			oldest := watch.Erasures().Oldest
			if oldest.IsZero() {
				return 0
			}
			return float64(oldest.UnixMilli()) / float64(time.Second/time.Millisecond)
		}),
	)
}
