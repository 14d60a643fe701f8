package ratio

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Report prints what was measured and remembers the bars that were missed. It
// is not safe for concurrent use.
type Report struct {
	out    io.Writer
	missed []string
}

// NewReport makes a report that prints to out.
func NewReport(out io.Writer) *Report { return &Report{out: out} }

// Figuref prints an absolute figure for the curious, on an indented line of its own.
func (r *Report) Figuref(format string, args ...any) {
	_, _ = fmt.Fprintf(r.out, "  "+format+"\n", args...)
}

// AtMost prints a bar that is met by a measurement up to the bound.
func (r *Report) AtMost(name string, measured, bound float64) {
	r.bar(name, hundredths(measured, math.Ceil), "<=", bound, measured <= bound)
}

// AtLeast prints a bar that is met by a measurement from the bound on.
func (r *Report) AtLeast(name string, measured, bound float64) {
	r.bar(name, hundredths(measured, math.Floor), ">=", bound, measured >= bound)
}

// Excused prints a bar from below. A miss is shown with its reason, and not counted.
func (r *Report) Excused(name string, measured, bound float64, reason string) {
	note := ""
	if !(measured >= bound) {
		note = " (missed: " + reason + ")"
	}
	r.line(name, hundredths(measured, math.Floor), ">=", bound, note)
}

// Err names the bars that were missed; nil without any.
func (r *Report) Err() error {
	if len(r.missed) == 0 {
		return nil
	}
	return errors.New("bars missed: " + strings.Join(r.missed, ", "))
}

// bar prints a line. What is not a number meets no bar, because no comparison
// with it is true.
func (r *Report) bar(name string, measured float64, relation string, bound float64, met bool) {
	r.line(name, measured, relation, bound, "")
	if !met {
		r.missed = append(r.missed, name)
	}
}

func (r *Report) line(name string, measured float64, relation string, bound float64, note string) {
	_, _ = fmt.Fprintf(r.out, "ratio %s %.2f bar %s %s%s\n", name, measured, relation, strconv.FormatFloat(bound, 'f', -1, 64), note)
}

// hundredths rounds against the claim, so that a line never reads as met when
// its bar was missed. The tolerance keeps 2.3 from becoming 2.31.
func hundredths(measured float64, round func(float64) float64) float64 {
	scaled := measured * 100
	if nearest := math.Round(scaled); math.Abs(scaled-nearest) < 1e-9*math.Abs(scaled) {
		return nearest / 100
	}
	return round(scaled) / 100
}
