package tlsfiles

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The results of tls_reloads_total.
const (
	resultSuccess = "success"
	resultFailure = "failure"
)

// fileMetrics are those of one set of files.
type fileMetrics struct {
	notAfter, up *prometheus.Desc
	reloads      *prometheus.CounterVec
}

func newFileMetrics(server string) *fileMetrics {
	labels := prometheus.Labels{"server": server}
	m := &fileMetrics{
		notAfter: prometheus.NewDesc("tls_certificate_not_after_seconds", "When a certificate expires, in Unix time.", []string{"certificate"}, labels),
		up:       prometheus.NewDesc("tls_files_up", "Whether the TLS files as they are now can be used.", nil, labels),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tls_reloads_total", Help: "How often changed TLS files were read, by result.", ConstLabels: labels,
		}, []string{"result"}),
	}
	for _, result := range []string{resultSuccess, resultFailure} {
		m.reloads.WithLabelValues(result)
	}
	return m
}

func (m *fileMetrics) describe(to chan<- *prometheus.Desc) {
	to <- m.notAfter
	to <- m.up
	m.reloads.Describe(to)
}

// collect leaves out certificates without a time.
func (m *fileMetrics) collect(to chan<- prometheus.Metric, failing bool, notAfter map[string]time.Time) {
	for certificate, at := range notAfter {
		if !at.IsZero() {
			to <- prometheus.MustNewConstMetric(m.notAfter, prometheus.GaugeValue, float64(at.Unix()), certificate)
		}
	}
	up := 1.0
	if failing {
		up = 0
	}
	to <- prometheus.MustNewConstMetric(m.up, prometheus.GaugeValue, up)
	m.reloads.Collect(to)
}
