package main

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"kubernaut.ai/bench/ratio"
)

// survey records the calls of one remediation.
func (r *remediations) survey(ctx context.Context, report *ratio.Report) (_ *survey, err error) {
	record, err := newRecorder(r.servers)
	if err != nil {
		return nil, err
	}
	defer record.close()
	stop, err := r.start(ctx, record.config(), record.storage.URL)
	if err != nil {
		return nil, err
	}
	found := &survey{}
	for range 2 { // the first one fills caches
		target, err := r.newTarget(ctx, shopNamespace)
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		record.take()
		if found.took, err = r.remediate(ctx, target); err != nil {
			return nil, errors.Join(err, stop())
		}
		found.began = r.fired
		found.calls = record.take()
		found.target = target.Name
		if err := r.clean(ctx, target); err != nil {
			return nil, errors.Join(err, stop())
		}
	}
	if err := stop(); err != nil { // stores what is pending
		return nil, err
	}
	found.calls = append(found.calls, record.take()...)
	if err := found.only(); err != nil {
		return nil, err
	}
	found.show(report)
	return found, nil
}

// survey is a remediation whose calls were recorded.
type survey struct {
	calls []*call
	// request and target are the names of the objects.
	request, target string
	began           time.Time // the signal
	took            time.Duration
}

// only keeps the calls of the remediation: those that store its events, but not the deletion, and
// the calls of the API server that began between the signal and the completed request.
func (s *survey) only() error {
	for _, c := range s.calls {
		if c.name == createRequest {
			s.request = identityOf(c.answer).Metadata.Name
		}
	}
	if !requestName.MatchString(s.request) {
		return errors.New("no request was created")
	}
	s.calls = slices.DeleteFunc(s.calls, func(c *call) bool {
		if c.storage {
			return !bytes.Contains(c.body, []byte(s.request)) || c.name == "store signalprocessing.request.deleted"
		}
		return c.began.Before(s.began) || c.began.After(s.began.Add(s.took))
	})
	return nil
}

// show prints how many calls there are of each kind, and how many are needed; if tracing, when
// each began.
func (s *survey) show(report *ratio.Report) {
	counts := map[string]int{}
	for _, c := range s.calls {
		counts[c.key()]++
		if *trace {
			report.Figuref("%7.1f ms + %5.1f ms: %d %s", milliseconds(c.began.Sub(s.began)), milliseconds(c.took), c.status, c.key())
		}
	}
	report.Figuref("%d calls in the %.0f ms of a remediation whose calls are recorded; of each kind, made and needed:", len(s.calls), milliseconds(s.took))
	var keys []string
	for _, n := range neededCalls {
		keys = append(keys, n.key())
		report.Figuref("%4d %4d  %-70s %s", counts[n.key()], min(n.count, counts[n.key()]), n.key(), n.why)
	}
	for _, c := range s.calls {
		if key := c.key(); !slices.Contains(keys, key) {
			keys = append(keys, key)
			made := counts[key]
			if c.storage {
				report.Figuref("%4d %4d  %s", made, made, key)
			} else {
				report.Figuref("%4d    0  %s", made, key)
			}
		}
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
