package cli

import (
	"cmp"
	"io"

	"github.com/spf13/pflag"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// LogFlags are the logging flags of a program.
type LogFlags struct {
	Level  string
	Format string
}

// AddTo registers --log-level and --log-format. Their defaults are the present
// values, else info and json.
func (l *LogFlags) AddTo(set *pflag.FlagSet) {
	var f Flags
	f.String(&l.Level, "log-level", cmp.Or(l.Level, "info"), "least severe level to log: debug, info, warn or error",
		OneOf("debug", "info", "warn", "error"))
	f.String(&l.Format, "log-format", cmp.Or(l.Format, "json"), "format of the log: json or console", OneOf("json", "console"))
	f.AddTo(set)
}

// New makes the logger. The error is a UsageError.
func (l *LogFlags) New(out io.Writer) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(l.Level)
	if err != nil {
		return nil, Usagef("--log-level: %w", err)
	}
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.TimeKey = "time"
	config.MessageKey = "message"
	encoder := zapcore.NewJSONEncoder(config)
	if l.Format == "console" {
		encoder = zapcore.NewConsoleEncoder(config)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(out)), level)), nil
}
