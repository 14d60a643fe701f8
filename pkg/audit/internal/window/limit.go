package window

// ProbeInterval is how long a limit is in force before larger batches are tried
// again, in nanoseconds.
const ProbeInterval = 600_000_000_000

// Exceeded notes that a batch of so many bytes, of several events, was too large
// for the way to the sink. It reports whether that is news, and the limit from
// now on: half of that, unless it was lower.
func (w *Window[E]) Exceeded(bytes int, now int64) (first bool, limit int) {
	first = w.limit == 0
	half := max(bytes/2, 1)
	if first || half < w.limit {
		w.limit = half
	}
	w.probeAt = now + ProbeInterval
	return first, w.limit
}

// Limit is the size of a batch that the way to the sink is known to take, in
// bytes; 0 without one.
func (w *Window[E]) Limit() int { return w.limit }

// Probe doubles the limit when it is time to. It reports whether there is none
// from now on.
func (w *Window[E]) Probe(now int64) (lifted bool) {
	if w.limit == 0 || now < w.probeAt {
		return false
	}
	w.probeAt = now + ProbeInterval
	if w.limit *= 2; w.limit >= w.limits.Bytes {
		w.limit = 0
	}
	return w.limit == 0
}

// maxBytes is the size of the largest batch.
func (w *Window[E]) maxBytes() int {
	if w.limit > 0 {
		return min(w.limit, w.limits.Bytes)
	}
	return w.limits.Bytes
}
