package trail

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// progressEvery is how often a search says how far it came, and how long it is quiet first.
const progressEvery = 2 * time.Second

// progressOn says on a terminal how far a search came.
func progressOn(notes io.Writer) func(scannedUntil time.Time) {
	if file, ok := notes.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return progressTo(notes, time.Now)
	}
	return func(time.Time) {}
}

func progressTo(notes io.Writer, now func() time.Time) func(scannedUntil time.Time) {
	next := now().Add(progressEvery)
	return func(scannedUntil time.Time) {
		if at := now(); at.After(next) {
			next = at.Add(progressEvery)
			_, _ = fmt.Fprintf(notes, "searching the audit trail: at %s (UTC)\n", scannedUntil.UTC().Format(time.DateTime)) // a terminal that is gone needs no progress
		}
	}
}
