package spool

import (
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

// bridge lets the audit library, which logs with slog, write to a service's log.
func bridge(log *zap.Logger) *slog.Logger {
	return slog.New(zapslog.NewHandler(log.Core(),
		zapslog.WithName(log.Name()),
		zapslog.AddStacktraceAt(slog.LevelError+1), // an error of the sink or the disk is no defect of the program
	))
}
