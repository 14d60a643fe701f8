package redact

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"

	ahocorasick "github.com/BobuSumisu/aho-corasick"
	"github.com/pelletier/go-toml/v2"
	gitleaks "github.com/zricethezav/gitleaks/v8/config"
)

// leftOut are gitleaks' rules that we do not use: generic-api-key only works with its list of allowed words,
// which lets secrets pass; the others are matched by rules of our own that also find what is incomplete.
var leftOut = []string{"generic-api-key", "jwt", "private-key"}

// rule is what we use of a rule of gitleaks. Its allow list is left out on purpose: an example key in a log is no loss.
type rule struct {
	ID          string
	Regex       string
	Path        string
	SecretGroup int
	Entropy     float64
	Keywords    []string

	compile func() *regexp.Regexp
}

// ruleSet finds what may be in a line by the words in it.
type ruleSet struct {
	rules []*rule
	words *ahocorasick.Trie
	// of are the numbers of what a word stands for: scrubPairs, a rule of our own, or one of gitleaks.
	of [][]int
}

// The numbers that a word stands for: 0 is scrubPairs, then our own rules, then those of gitleaks.
const pairNumber = 0

// gitleaksRules reads the rules that are part of the gitleaks module. We use the rules without its scanner, which is
// made for repositories and would add forty modules. A rule is compiled when its word is first seen.
var gitleaksRules = sync.OnceValues(func() (*ruleSet, error) {
	var file struct{ Rules []*rule }
	if err := toml.Unmarshal([]byte(gitleaks.DefaultConfig), &file); err != nil {
		return nil, fmt.Errorf("read the rules of gitleaks: %w", err)
	}
	set := &ruleSet{}
	var words []string
	index := map[string]int{}
	add := func(number int, hints []string) {
		for _, word := range hints {
			word = strings.ToLower(word)
			at, known := index[word]
			if !known {
				at = len(words)
				index[word] = at
				words = append(words, word)
				set.of = append(set.of, nil)
			}
			set.of[at] = append(set.of[at], number)
		}
	}
	add(pairNumber, pairHints)
	for i := range ownRules {
		add(1+i, ownRules[i].hints)
	}
	for _, r := range file.Rules {
		// A rule with a path is about files of a repository.
		if r.Regex == "" || r.Path != "" || slices.Contains(leftOut, r.ID) {
			continue
		}
		if len(r.Keywords) == 0 {
			return nil, fmt.Errorf("rule %s of gitleaks has no keyword", r.ID)
		}
		r.compile = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(r.Regex) })
		add(1+len(ownRules)+len(set.rules), r.Keywords)
		set.rules = append(set.rules, r)
	}
	set.words = ahocorasick.NewTrieBuilder().AddStrings(words).Build()
	return set, nil
})

// scrub replaces the secrets that rules find in a line.
func (s *ruleSet) scrub(line string) string {
	var found, pairs []int
	lower := asciiLower(line)
	s.words.Walk([]byte(lower), func(end, length, word int64) bool {
		for _, number := range s.of[word] {
			if number == pairNumber {
				pairs = append(pairs, int(end-length+1))
			}
			if !slices.Contains(found, number) {
				found = append(found, number)
			}
		}
		return true
	})
	slices.Sort(found)
	for _, number := range found {
		switch {
		case number == pairNumber:
			slices.Sort(pairs)
			line = scrubPairs(line, lower, pairs)
		case number <= len(ownRules):
			line = ownRules[number-1].scrub(line)
		default:
			line = s.rules[number-1-len(ownRules)].scrub(line)
		}
	}
	return line
}

func (r *rule) scrub(line string) string {
	var out strings.Builder
	end := 0
	for _, match := range r.compile().FindAllStringSubmatchIndex(line, -1) {
		from, to := r.secret(match)
		if from < end || from == to || line[from:to] == redacted || r.Entropy > 0 && entropy(line[from:to]) <= r.Entropy {
			continue
		}
		out.WriteString(line[end:from])
		out.WriteString(redacted)
		end = to
	}
	if end == 0 {
		return line
	}
	return out.String() + line[end:]
}

// secret returns the place of the secret in a match: the group that the rule names, else the first one, else all of it.
func (r *rule) secret(match []int) (from, to int) {
	if group := 2 * r.SecretGroup; group > 0 && group < len(match) && match[group] >= 0 { //nolint:mnd // two indexes a group
		return match[group], match[group+1]
	}
	for group := 2; group < len(match); group += 2 { //nolint:mnd // likewise
		if match[group] >= 0 && match[group] < match[group+1] {
			return match[group], match[group+1]
		}
	}
	return match[0], match[1]
}

// entropy is that of Shannon, in bits a byte.
func entropy(text string) float64 {
	var counts [256]int
	for i := range len(text) {
		counts[text[i]]++
	}
	bits := 0.0
	for _, n := range counts {
		if n > 0 {
			share := float64(n) / float64(len(text))
			bits -= share * math.Log2(share)
		}
	}
	return bits
}
