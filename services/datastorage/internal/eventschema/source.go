package eventschema

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/utils/clock"
)

// reloadInterval is how often the folder is looked at.
const reloadInterval = 5 * time.Second

// Source holds the schemas in force, and reads the folder again when it has changed. A folder that has
// become unusable changes nothing: the last usable one stays in force. It is a prometheus.Collector of:
//
//	datastorage_event_schemas      schemas that are enforced
//	datastorage_event_schemas_up   whether the folder is usable (1) or not (0)
type Source struct {
	dir   string
	clock clock.WithTicker
	log   *zap.Logger

	current atomic.Pointer[Set]
	up      atomic.Bool

	mu    sync.Mutex
	stamp string // guarded by mu: of what was looked at last

	enforced, usable *prometheus.Desc
}

// NewSource reads the schemas and returns an error if they cannot be used. Without a folder it
// has those of the platform.
func NewSource(dir string, c clock.WithTicker, log *zap.Logger) (*Source, error) {
	s := &Source{
		dir: dir, clock: c, log: log,
		enforced: prometheus.NewDesc("datastorage_event_schemas", "Registered event schemas that are enforced at ingest.", nil, nil),
		usable:   prometheus.NewDesc("datastorage_event_schemas_up", "Whether the folder of event schemas is usable.", nil, nil),
	}
	s.stamp = s.look()
	set, err := Load(dir)
	if err != nil {
		return nil, err
	}
	s.current.Store(set)
	s.up.Store(true)
	return s, nil
}

// Current returns the schemas in force.
func (s *Source) Current() *Set { return s.current.Load() }

// Run follows the folder until the context ends.
func (s *Source) Run(ctx context.Context) error {
	if s.dir == "" {
		<-ctx.Done()
		return nil
	}
	ticker := s.clock.NewTicker(reloadInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			s.refresh()
		}
	}
}

// Describe implements prometheus.Collector.
func (s *Source) Describe(to chan<- *prometheus.Desc) {
	to <- s.enforced
	to <- s.usable
}

// Collect implements prometheus.Collector. It notices a changed folder.
func (s *Source) Collect(to chan<- prometheus.Metric) {
	if s.dir != "" {
		s.refresh()
	}
	up := 0.0
	if s.up.Load() {
		up = 1
	}
	to <- prometheus.MustNewConstMetric(s.enforced, prometheus.GaugeValue, float64(s.Current().countEnforced()))
	to <- prometheus.MustNewConstMetric(s.usable, prometheus.GaugeValue, up)
}

func (s *Source) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	stamp := s.look()
	if stamp == s.stamp {
		return
	}
	s.stamp = stamp
	set, err := Load(s.dir)
	if err != nil {
		if s.up.Swap(false) {
			s.log.Error("event schemas cannot be used; the last usable ones stay in force: correct the files", zap.String("folder", s.dir), zap.Error(err))
		}
		return
	}
	s.current.Store(set)
	s.up.Store(true)
	s.log.Info("event schemas are in force", zap.String("folder", s.dir), zap.Int("enforced", set.countEnforced()))
}

// look returns what tells one state of the folder from another.
func (s *Source) look() string {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for _, entry := range entries {
		info, err := os.Stat(filepath.Join(s.dir, entry.Name())) // a ConfigMap's files are links
		if err != nil {
			_, _ = fmt.Fprintln(&text, entry.Name(), err) // a strings.Builder takes everything
			continue
		}
		_, _ = fmt.Fprintln(&text, entry.Name(), info.ModTime().UnixNano(), info.Size())
	}
	return text.String()
}

func (s *Set) countEnforced() int {
	n := 0
	for _, schema := range s.sorted {
		if schema.Enforced {
			n++
		}
	}
	return n
}
