package httpapi

import (
	"context"
	"strings"
	"time"

	"kubernaut.ai/services/datastorage/internal/query"
)

const (
	// ownRecorders begin the names under which Kubernaut itself records.
	ownRecorders = "kubernaut:"
	// maxRecorders bounds the permissions that are checked for an answer.
	maxRecorders = 32
	// recordersTimeout bounds the time that these checks take together.
	recordersTimeout = 2 * time.Second
)

// belonging is whether an event is a part of its trail's story.
type belonging struct {
	// foreign: its recorder may not write events of its type.
	foreign bool
	// unchecked: nobody can tell now.
	unchecked bool
}

// story tells the events of an answer that belong to their trails' story from
// those that somebody else recorded.
type story struct {
	api      *API
	ctx      context.Context //nolint:containedctx // lives as long as one answer
	verdicts map[string]belonging
	spent    time.Duration
	failed   bool // a check had no answer, so the others are not tried
}

func (a *API) newStory(ctx context.Context) *story {
	return &story{api: a, ctx: ctx, verdicts: map[string]belonging{}}
}

func (s *story) of(e *query.Stored) belonging {
	prefix := typePrefix(e.Type)
	switch {
	case strings.HasPrefix(e.RecordedBy, ownRecorders):
		return belonging{foreign: prefix != ownTypes}
	case prefix == ownTypes && e.RecordedBy != "":
		return belonging{foreign: true}
	}
	key := prefix + "\x00" + e.RecordedBy
	if prefix == producerTypes {
		key += "\x00" + e.ProducerID
	}
	if verdict, known := s.verdicts[key]; known {
		return verdict
	}
	if s.failed || len(s.verdicts) == maxRecorders {
		return belonging{unchecked: true}
	}
	verdict := s.check(e, prefix)
	s.verdicts[key] = verdict
	return verdict
}

func (s *story) check(e *query.Stored, prefix string) belonging {
	ctx, cancel := context.WithTimeout(s.ctx, recordersTimeout-s.spent)
	defer cancel()
	start := s.api.config.Clock.Now()
	defer func() { s.spent += s.api.config.Clock.Since(start) }()
	var holds, known bool
	var err error
	if prefix == producerTypes && e.RecordedBy != "" {
		var owner string
		owner, holds, err = s.api.config.Producers.Owner(ctx, e.ProducerID)
		holds, known = holds && owner == e.RecordedBy, true
	} else {
		holds, known, err = s.api.config.Auth.Holds(ctx, e.RecordedBy, createEvents.Named(prefix))
	}
	if err != nil {
		s.failed = true
		return belonging{unchecked: true}
	}
	return belonging{foreign: known && !holds, unchecked: !known}
}
