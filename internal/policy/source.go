package policy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/utils/clock"

	"kubernaut.ai/api/v1alpha1"
)

// ReloadEvery is how often a Source looks at its directory. The kubelet itself
// takes up to a minute to update a mounted ConfigMap.
const ReloadEvery = 5 * time.Second

// Change is a bundle that a Source found.
type Change struct {
	// Policy identifies the bundle; without a digest if it could not be read.
	Policy v1alpha1.Policy
	// InForce identifies the bundle that decided until now; zero if it is the first.
	InForce v1alpha1.Policy
	// Err says why the bundle is rejected; nil if it is put in force.
	Err error
}

// SourceOptions of a Source. All fields are required, except that an empty Dir
// stands for the built-in policies, which do not change.
type SourceOptions struct {
	Dir string
	// Service is the prefix of the metrics, as in signalprocessing.
	Service string
	// Report is called for each bundle: before it is put in force, or when it is
	// rejected. If it fails, nothing changes, and the next look tries again.
	Report     func(context.Context, Change) error
	Clock      clock.WithTicker
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Source has the policies in force. Its metrics are
//
//	<service>_policy_rejected              1 while the policy directory is unusable and older policies are in force
//	<service>_policy_loads_total{result}   bundles that were found: accepted, rejected
type Source struct {
	options  SourceOptions
	rejected prometheus.Gauge
	loads    *prometheus.CounterVec

	current atomic.Pointer[Set]
	// refused is the content, or the failure to read it, that was rejected last.
	// Owned by Run.
	refused string
}

const (
	resultAccepted = "accepted"
	resultRejected = "rejected"
)

// NewSource loads the policies. It fails if they cannot be used: there is no
// older bundle that could stay in force. Start reports them.
func NewSource(ctx context.Context, o SourceOptions) (*Source, error) {
	s := &Source{
		options: o,
		rejected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: o.Service + "_policy_rejected", Help: "1 while the policy directory is unusable and older policies are in force.",
		}),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: o.Service + "_policy_loads_total", Help: "Policy bundles that were found, by result.",
		}, []string{"result"}),
	}
	s.loads.WithLabelValues(resultAccepted)
	s.loads.WithLabelValues(resultRejected)
	if err := errors.Join(o.Registerer.Register(s.rejected), o.Registerer.Register(s.loads)); err != nil {
		return nil, fmt.Errorf("register metrics of policies: %w", err)
	}
	b, err := s.read()
	if err != nil {
		return nil, err
	}
	set, err := Compile(ctx, b)
	if err != nil {
		return nil, err
	}
	s.current.Store(set)
	return s, nil
}

// Current returns the policies in force. A decision uses one Set for all its parts.
func (s *Source) Current() *Set { return s.current.Load() }

// Start reports the policies that NewSource has loaded. It is called once, before
// anything is decided.
func (s *Source) Start(ctx context.Context) error {
	if err := s.options.Report(ctx, Change{Policy: s.Current().Policy()}); err != nil {
		return fmt.Errorf("report the policies in force: %w", err)
	}
	s.accepted(s.Current().Policy())
	return nil
}

// Run looks at the directory until ctx ends.
func (s *Source) Run(ctx context.Context) error {
	if s.options.Dir == "" {
		<-ctx.Done()
		return nil
	}
	ticker := s.options.Clock.NewTicker(ReloadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C():
			s.look(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// look puts the directory's bundle in force, or rejects it, if it is not the one
// that was seen last.
func (s *Source) look(ctx context.Context) {
	current := s.Current()
	b, err := s.read()
	change := Change{Policy: v1alpha1.Policy{SHA256: b.SHA256, Origin: s.origin()}, InForce: current.Policy()}
	if err != nil {
		s.reject(ctx, change, err.Error(), err)
		return
	}
	content := b.content()
	switch content {
	case current.content:
		if s.refused != "" {
			s.options.Log.Info("the policy directory is usable again, with the policies that are in force")
			s.refused = ""
			s.rejected.Set(0)
		}
		return
	case s.refused:
		return
	}
	set, err := Compile(ctx, b)
	if ctx.Err() != nil {
		return // not the bundle's fault
	}
	if err != nil {
		s.reject(ctx, change, content, err)
		return
	}
	if err := s.options.Report(ctx, change); err != nil {
		s.options.Log.Warn("new policies wait, because they could not be recorded", zap.String("sha256", b.SHA256), zap.Error(err))
		return
	}
	s.current.Store(set)
	s.refused = ""
	s.accepted(set.Policy())
}

func (s *Source) accepted(policy v1alpha1.Policy) {
	s.rejected.Set(0)
	s.loads.WithLabelValues(resultAccepted).Inc()
	s.options.Log.Info("policies are in force", zap.String("origin", policy.Origin), zap.String("sha256", policy.SHA256))
}

// reject keeps the policies in force. seen tells one rejected state of the
// directory from another.
func (s *Source) reject(ctx context.Context, change Change, seen string, why error) {
	if seen == s.refused {
		return
	}
	change.Err = why
	s.rejected.Set(1)
	if err := s.options.Report(ctx, change); err != nil {
		s.options.Log.Warn("the policy directory is unusable, which could not be recorded yet", zap.NamedError("policy_error", why), zap.Error(err))
		return
	}
	s.refused = seen
	s.loads.WithLabelValues(resultRejected).Inc()
	s.options.Log.Error("the policy directory is unusable; older policies stay in force: repair it, and try it with `kubernaut policy test`",
		zap.String("in_force_sha256", change.InForce.SHA256), zap.Error(why))
}

func (s *Source) read() (Bundle, error) {
	if s.options.Dir == "" {
		return BuiltIn()
	}
	return LoadDir(s.options.Dir)
}

func (s *Source) origin() string {
	if s.options.Dir == "" {
		return OriginBuiltIn
	}
	return s.options.Dir
}

// LoadDir reads the .rego files of a directory, whose path is the bundle's origin.
func LoadDir(dir string) (Bundle, error) {
	if _, err := os.Stat(dir); err != nil {
		return Bundle{}, fmt.Errorf("policy directory: %w", err)
	}
	return Load(os.DirFS(dir), ".", dir)
}
