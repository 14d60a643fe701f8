package spool

import (
	"cmp"
	"slices"
)

// interval is a stretch of positions of the log, both ends included.
type interval struct{ from, to uint64 }

// intervals are in order, and none touches another.
type intervals []interval

// mergeIntervals puts stretches in order, and those that touch together.
func mergeIntervals(of []interval) intervals {
	of = slices.DeleteFunc(of, func(i interval) bool { return i.from == 0 || i.to < i.from })
	slices.SortFunc(of, func(a, b interval) int { return cmp.Compare(a.from, b.from) })
	var merged intervals
	for _, i := range of {
		if last := len(merged) - 1; last >= 0 && i.from <= merged[last].to+1 {
			merged[last].to = max(merged[last].to, i.to)
			continue
		}
		merged = append(merged, i)
	}
	return merged
}

// newest is the last position of all.
func (v intervals) newest() uint64 {
	if len(v) == 0 {
		return 0
	}
	return v[len(v)-1].to
}

// within gives the parts that are in a stretch.
func (v intervals) within(from, to uint64) intervals {
	first, _ := slices.BinarySearchFunc(v, from, func(i interval, from uint64) int { return cmp.Compare(i.to, from) })
	var parts intervals
	for _, i := range v[first:] {
		if i.from > to {
			break
		}
		parts = append(parts, interval{max(i.from, from), min(i.to, to)})
	}
	return parts
}

// count is the number of positions.
func (v intervals) count() uint64 {
	var n uint64
	for _, i := range v {
		n += i.to - i.from + 1
	}
	return n
}

// without gives what others do not have.
func (v intervals) without(others intervals) intervals {
	var rest intervals
	for _, i := range v {
		for _, o := range others.within(i.from, i.to) {
			if i.from < o.from {
				rest = append(rest, interval{i.from, o.from - 1})
			}
			i.from = o.to + 1
		}
		if i.from <= i.to {
			rest = append(rest, i)
		}
	}
	return rest
}
