package audit_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
)

// logbook remembers what a store logs at info and above.
type logbook struct {
	mu      sync.Mutex // guards records
	records []slog.Record
	// on is called for each record, where it is set.
	on func()
}

func (l *logbook) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (l *logbook) Handle(_ context.Context, r slog.Record) error {
	if l.on != nil {
		l.on()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
	return nil
}

func (l *logbook) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l *logbook) WithGroup(string) slog.Handler { return l }

// logger returns a logger that writes here.
func (l *logbook) logger() *slog.Logger { return slog.New(l) }

// lines returns level and message of each record.
func (l *logbook) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := make([]string, 0, len(l.records))
	for i := range l.records {
		lines = append(lines, strings.ToLower(l.records[i].Level.String())+": "+l.records[i].Message)
	}
	return lines
}

// attrs returns the attributes of the records with a message, as text.
func (l *logbook) attrs(message string) []map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []map[string]string
	for i := range l.records {
		if l.records[i].Message != message {
			continue
		}
		attrs := make(map[string]string)
		l.records[i].Attrs(func(a slog.Attr) bool {
			attrs[a.Key] = fmt.Sprint(a.Value)
			return true
		})
		found = append(found, attrs)
	}
	return found
}

// want compares the lines, and ends the test if they differ.
func (l *logbook) want(t *testing.T, lines ...string) {
	t.Helper()
	if got, want := strings.Join(l.lines(), "\n"), strings.Join(lines, "\n"); got != want {
		t.Fatalf("logged:\n%s\nwant:\n%s", got, want)
	}
}
