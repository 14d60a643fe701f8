// Package auditclient is what the services share to use the audit library.
package auditclient

import (
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

// Logger lets the audit library, which logs with slog, write to a service's log.
func Logger(log *zap.Logger) *slog.Logger {
	return slog.New(zapslog.NewHandler(log.Core(),
		zapslog.WithName(log.Name()),
		zapslog.AddStacktraceAt(slog.LevelError+1), // an error of the sink or the disk is no defect of the program
	))
}
