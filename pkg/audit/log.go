package audit

import (
	"context"
	"log/slog"
)

// log logs a change of state. Called without the lock: a handler may call the store.
func (s *Store) log(level slog.Level, message string, attrs ...slog.Attr) {
	s.logger.LogAttrs(context.Background(), level, message, attrs...)
}

// errorAttr is an error as an attribute; nothing if it is nil.
func errorAttr(err error) slog.Attr {
	if err == nil {
		return slog.Attr{}
	}
	return slog.Any("error", err)
}
