package memory

import "go.uber.org/zap"

// Report tells log, once, when the budget begins to refuse requests, and when it
// has memory again. Call it before the first account is opened.
func (b *Budget) Report(use, flag string, log *zap.Logger) {
	log = log.With(zap.String(labelUse, use), zap.Int64("bytes", b.size))
	b.report = func(exhausted bool) {
		if exhausted {
			log.Warn("memory is in use: requests are refused with 503 until others have finished; "+
				"if that happens often, raise "+flag+" and GOMEMLIMIT, or add replicas", zap.Int("callers", len(b.callers)))
			return
		}
		log.Info("memory is free again: requests are taken")
	}
}

// noteRefusal and noteRelease are called with the mutex.
func (b *Budget) noteRefusal() {
	b.refused++
	if !b.exhausted {
		b.exhausted = true
		if b.report != nil {
			b.report(true)
		}
	}
}

func (b *Budget) noteRelease() {
	const quarter = 4 // as little in use, so that there is not a line for each request
	if b.exhausted && b.used <= b.size/quarter {
		b.exhausted = false
		if b.report != nil {
			b.report(false)
		}
	}
}
