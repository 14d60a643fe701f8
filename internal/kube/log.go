package kube

import (
	"github.com/go-logr/zapr"
	"go.uber.org/zap"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
)

// LogTo sends what Kubernetes' libraries log to log. Their loggers are global:
// a program calls it once, before it starts anything.
func LogTo(log *zap.Logger) {
	logger := zapr.NewLogger(log.Named("kubernetes"))
	klog.SetLogger(logger)
	ctrllog.SetLogger(logger)
}

// Quiet drops controller-runtime's progress reports, unless debug messages are
// logged; its errors stay.
func Quiet(log *zap.Logger) *zap.Logger {
	if log.Core().Enabled(zap.DebugLevel) {
		return log
	}
	return log.WithOptions(zap.IncreaseLevel(zap.WarnLevel))
}
