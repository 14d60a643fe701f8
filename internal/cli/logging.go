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

// AddTo registers --log-level and --log-format. What is set already is their
// default; else info and json are.
func (l *LogFlags) AddTo(flags *pflag.FlagSet) {
	flags.StringVar(&l.Level, "log-level", cmp.Or(l.Level, "info"), "debug, info, warn or error")
	flags.StringVar(&l.Format, "log-format", cmp.Or(l.Format, "json"), "json or console")
}

// New makes the logger, or returns a UsageError for an unknown level or format.
func (l *LogFlags) New(out io.Writer) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(l.Level)
	if err != nil {
		return nil, Usagef("--log-level %q: want debug, info, warn or error", l.Level)
	}
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	config.TimeKey = "time"
	config.MessageKey = "message"
	var encoder zapcore.Encoder
	switch l.Format {
	case "json":
		encoder = zapcore.NewJSONEncoder(config)
	case "console":
		encoder = zapcore.NewConsoleEncoder(config)
	default:
		return nil, Usagef("--log-format %q: want json or console", l.Format)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(out)), level)), nil
}
