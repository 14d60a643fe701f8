// Package source keeps the target rules in force that a ConfigMap holds. A
// ConfigMap that cannot be used is rejected, and what was in force stays.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kubernaut.ai/pkg/audit/wire"
	"kubernaut.ai/services/gateway/internal/target/rules"
)

// Key is the key of the ConfigMap that holds the rules.
const Key = "rules.yaml"

// prefix is that of the names of the ConfigMap's rules.
const prefix = "configmap"

// ReasonRejected is the reason of the Kubernetes event of a rejected ConfigMap.
const ReasonRejected = "TargetRulesRejected"

// maxEventMessage bounds the message of a Kubernetes event, in bytes; the API
// server takes 1 KiB.
const maxEventMessage = 1000

// Options of a Source. All fields are required.
type Options struct {
	// Base are the rules that are tried after those of the ConfigMap.
	Base *rules.Set
	// Use puts rules in force.
	Use func(*rules.Set)
	// Writer creates Kubernetes events.
	Writer     client.Writer
	Clock      clock.PassiveClock
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Source puts the rules of a ConfigMap in force. Its metrics are
//
//	gateway_target_rules_rejected         1 while the ConfigMap of the rules is unusable
//	gateway_target_rules_loads_total{result}  versions of the ConfigMap: accepted, rejected, removed
type Source struct {
	Options

	rejected prometheus.Gauge
	loads    *prometheus.CounterVec

	mu   sync.Mutex
	last string // guarded by mu: the ConfigMap's UID and content that were seen last
}

// New returns a source. The rules of base are in force until there is a ConfigMap.
func New(o Options) (*Source, error) {
	s := &Source{
		Options: o,
		rejected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gateway_target_rules_rejected", Help: "1 while the ConfigMap of the target rules is unusable and older rules are in force.",
		}),
		loads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_target_rules_loads_total", Help: "Versions of the ConfigMap of the target rules, by result.",
		}, []string{"result"}),
	}
	for _, result := range []string{"accepted", "rejected", "removed"} {
		s.loads.WithLabelValues(result)
	}
	if err := errors.Join(o.Registerer.Register(s.rejected), o.Registerer.Register(s.loads)); err != nil {
		return nil, fmt.Errorf("register metrics of target rules: %w", err)
	}
	return s, nil
}

// Changed takes a new version of the ConfigMap.
func (s *Source) Changed(ctx context.Context, configMap *corev1.ConfigMap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, ok := configMap.Data[Key]
	seen := fmt.Sprint(configMap.UID, ok, content)
	if seen == s.last {
		return // something else has changed
	}
	s.last = seen
	log := s.Log.With(zap.String("configmap", configMap.Name), zap.String("resource_version", configMap.ResourceVersion))
	set, err := s.parse(content, ok)
	if err != nil {
		s.rejected.Set(1)
		s.loads.WithLabelValues("rejected").Inc()
		log.Error("the target rules are unusable; older rules stay in force", zap.Error(err))
		if err := s.event(ctx, configMap, err); err != nil {
			log.Warn("could not create a Kubernetes event about the target rules", zap.Error(err))
		}
		return
	}
	s.Use(set)
	s.rejected.Set(0)
	s.loads.WithLabelValues("accepted").Inc()
	log.Info("target rules are in force", zap.Int("rules", len(set.Rules())-len(s.Base.Rules())))
}

// Removed takes the removal of the ConfigMap.
func (s *Source) Removed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = ""
	s.Use(s.Base)
	s.rejected.Set(0)
	s.loads.WithLabelValues("removed").Inc()
	s.Log.Info("the ConfigMap of the target rules was removed; its rules are no longer in force")
}

func (s *Source) parse(content string, ok bool) (*rules.Set, error) {
	if !ok {
		return nil, fmt.Errorf("the ConfigMap has no key %s", Key) //nolint:err113 // only reported
	}
	return rules.Parse(prefix, []byte(content), s.Base) //nolint:wrapcheck // says where
}

// event tells about a rejected version, once for all replicas.
func (s *Source) event(ctx context.Context, configMap *corev1.ConfigMap, why error) error {
	message := wire.Truncate("the older target rules stay in force: "+why.Error(), maxEventMessage)
	digest := sha256.Sum256([]byte(string(configMap.UID) + "/" + configMap.ResourceVersion))
	now := metav1.NewTime(s.Clock.Now())
	event := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: configMap.Namespace, Name: configMap.Name + "." + hex.EncodeToString(digest[:8]),
		},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: "v1", Kind: "ConfigMap", Namespace: configMap.Namespace, Name: configMap.Name,
			UID: configMap.UID, ResourceVersion: configMap.ResourceVersion,
		},
		Type: corev1.EventTypeWarning, Reason: ReasonRejected, Message: message,
		Source:         corev1.EventSource{Component: "kubernaut-gateway"},
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
	if err := s.Writer.Create(ctx, event); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("create event: %w", err)
	}
	return nil
}
