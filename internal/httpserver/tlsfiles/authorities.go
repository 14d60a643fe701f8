package tlsfiles

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/utils/clock"
)

// Authorities watches a client's file of authorities, which the client itself
// reads for each connection. It is a prometheus.Collector of the same metrics as
// Server, with certificate="ca", and logs when an authority has expired. That the
// file cannot be read, the client logs.
type Authorities struct {
	file    string
	clock   clock.PassiveClock
	log     *zap.Logger
	metrics *fileMetrics

	mu      sync.Mutex
	expiry  time.Time // guarded by mu: the first of the last usable file
	expired time.Time // guarded by mu: the expiry that the log has told
	failing bool      // guarded by mu
}

// NewAuthorities watches a file for the server that the client calls.
func NewAuthorities(server, file string, c clock.PassiveClock, log *zap.Logger) *Authorities {
	return &Authorities{file: file, clock: c, log: log.With(zap.String("server", server)), metrics: newFileMetrics(server)}
}

// Describe implements prometheus.Collector.
func (a *Authorities) Describe(to chan<- *prometheus.Desc) { a.metrics.describe(to) }

// Collect implements prometheus.Collector. It reads the file.
func (a *Authorities) Collect(to chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, expiry, err := readAuthorities(a.file)
	switch {
	case err != nil && !a.failing:
		a.metrics.reloads.WithLabelValues(resultFailure).Inc()
	case err == nil && a.failing:
		a.metrics.reloads.WithLabelValues(resultSuccess).Inc()
	}
	a.failing = err != nil
	if err == nil {
		a.expiry = expiry
	}
	if !a.expiry.IsZero() && !a.clock.Now().Before(a.expiry) && !a.expired.Equal(a.expiry) {
		a.expired = a.expiry
		a.log.Warn("an authority has expired", zap.Time("not_after", a.expiry), zap.String("file", a.file),
			zap.String("remedy", "replace the file; it is read again for each connection"))
	}
	a.metrics.collect(to, a.failing, map[string]time.Time{"ca": a.expiry})
}
