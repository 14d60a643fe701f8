package spool

import (
	"fmt"
	"slices"
	"strings"

	"kubernaut.ai/pkg/audit"
)

// maxDetail bounds SpoolDamage.Detail, in bytes.
const maxDetail = 2000

// damage is what could not be read when the spool was opened.
type damage struct {
	events int
	// lost are the positions of the events.
	lost   intervals
	bytes  int64
	places []string
}

// assess determines what is lost and was not reported by an earlier process: of
// the events that were not terminal, and of the bytes.
func (s *Spool) assess(results []scanned, accounted intervals) {
	for i, g := range s.segments {
		missing := g.lostFrom(s.released + 1).without(accounted).without(results[i].partial)
		events := int(missing.count()) //nolint:gosec // see maxGap
		tail := i == len(s.segments)-1 && results[i].unreadable > 0
		if events == 0 && !tail && g.unread == 0 {
			continue
		}
		s.damage.events += events
		s.damage.lost = append(s.damage.lost, missing...)
		s.damage.bytes += results[i].unreadable
		place := fmt.Sprintf("%s: %d events lost, %d bytes unreadable", g.name(), events, results[i].unreadable)
		if cause := results[i].cause; cause != nil {
			place += ": " + cause.Error()
		}
		s.damage.places = append(s.damage.places, place)
	}
	s.damage.lost = mergeIntervals(s.damage.lost)
}

// with describes the damage of the log together with that of the quarantine.
func (d *damage) with(quarantine damage) audit.SpoolDamage {
	return audit.SpoolDamage{
		Events: d.events + quarantine.events,
		Bytes:  d.bytes + quarantine.bytes,
		Detail: joinDetail(slices.Concat(d.places, quarantine.places)),
	}
}

func joinDetail(places []string) string {
	var b strings.Builder
	for i, place := range places {
		if b.Len()+len(place) > maxDetail {
			fmt.Fprintf(&b, "; and %d more", len(places)-i)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(place)
	}
	return b.String()
}
