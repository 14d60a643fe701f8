package accesslog

// sums are the open entries of a kind of requests. Those of one kind cannot take the room of another: denied requests
// of unknown callers, which cost nothing but a connection, leave reads and known callers as they are.
type sums struct {
	// most bounds the entries that tell callers and requests apart; beyond it, each caller has one entry for all
	// others, and beyond as many as others of these, all callers have one together.
	most, others int
	open         map[key]*entry
}

// entry finds or makes an entry within the bounds. The caller holds the log's lock.
func (s *sums) entry(k key, made func() *entry) *entry {
	if e, known := s.open[k]; known {
		return e
	}
	if len(s.open) >= s.most {
		k.kind, k.shape = kindOthers, ""
		if e, known := s.open[k]; known {
			return e
		}
	}
	everybody := len(s.open) >= s.most+s.others
	if everybody {
		k = key{kind: kindOthers}
		if e, known := s.open[k]; known {
			return e
		}
	}
	e := made()
	if k.kind == kindOthers {
		e.widen(everybody)
	}
	s.open[k] = e
	return e
}

// take returns the entries, and begins again.
func (s *sums) take() map[key]*entry {
	taken := s.open
	s.open = map[key]*entry{}
	return taken
}
