package ratio

import (
	"fmt"
	"runtime"
	"slices"
)

// Trial does its work once and returns its rate, in things a second.
type Trial func() (rate float64, err error)

// Comparison is the outcome of Compare.
type Comparison struct {
	// Ours and Peer are the median rates.
	Ours, Peer float64
	// Ratio is the median over the pairs of our rate divided by the peer's: a
	// machine that is busy for a while slows both sides of a pair.
	Ratio float64
	// Lowest and Highest are the ratios of the worst and the best pair.
	Lowest, Highest float64
}

// Compare runs both trials in pairs, in turns one first and then the other.
// One pair before the first warms both up and does not count. Each trial
// begins with a collected heap.
func Compare(pairs int, ours, peer Trial) (Comparison, error) {
	if pairs < 1 {
		return Comparison{}, fmt.Errorf("compare %d pairs: must be positive", pairs)
	}
	var oursRates, peerRates, ratios []float64
	for pair := -1; pair < pairs; pair++ {
		var rates [2]float64
		trials := [2]Trial{ours, peer}
		for turn := range trials {
			side := (pair + 1 + turn) % 2
			runtime.GC()
			rate, err := trials[side]()
			if err != nil {
				return Comparison{}, err
			}
			rates[side] = rate
		}
		if pair < 0 {
			continue
		}
		oursRates = append(oursRates, rates[0])
		peerRates = append(peerRates, rates[1])
		ratios = append(ratios, rates[0]/rates[1])
	}
	return Comparison{
		Ours: Median(oursRates), Peer: Median(peerRates), Ratio: Median(ratios),
		Lowest: slices.Min(ratios), Highest: slices.Max(ratios),
	}, nil
}

// Median is the middle of the values, or the mean of the two in the middle; 0
// without values. It sorts them.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}
