package failures

const (
	// LogPeriod is the period, in nanoseconds, for which the bounds of a Log hold.
	LogPeriod = 60_000_000_000
	// maxLogged is how many failures are named in a period, and maxCounts how many
	// lines count others.
	maxLogged, maxCounts = 20, 5
)

// Log bounds what is logged about failures: the first of each period by name,
// the others as a count. The zero value is ready to use.
type Log struct {
	began         int64
	named, counts int
	// silent are the failures that no line has counted yet.
	silent int
}

// Take returns how many of n failures may be named, and how many others the line
// that counts them has to tell of; 0 for no such line. What is not told is told
// with the next.
func (l *Log) Take(n int, now int64) (named, counted int) {
	if now-l.began >= LogPeriod {
		l.began, l.named, l.counts = now, 0, 0
	}
	named = min(n, maxLogged-l.named)
	l.named += named
	l.silent += n - named
	if l.silent == 0 || l.counts == maxCounts {
		return named, 0
	}
	l.counts++
	counted, l.silent = l.silent, 0
	return named, counted
}
