package main

import (
	"strings"
	"testing"
)

const source = `package p

// A method and a function of one name.
func (s *Store[T]) send(n int) error {
	if n > s.most { // too many
		return errMany
	}
	s.total += n
	return s.write(n,
		s.total)
}

func send() { other() }
`

func TestChange(t *testing.T) {
	for name, tc := range map[string]struct {
		edit       edit
		want, gone string
		err        string
	}{
		"an expression":             {edit: swap("Store.send", "n > s.most", "n < 0"), want: "if n < 0 { // too many", gone: "s.most"},
		"across lines and comments": {edit: swap("Store.send", "{ return errMany }\ns.total += n", "{}"), want: "if n > s.most {}", gone: "+="},
		"in another formatting":     {edit: swap("Store.send", "s.write ( n,s.total )", "nil"), want: "return nil\n}"},
		"a statement left out":      {edit: drop("Store.send", "s.total += n"), gone: "+="},
		"a statement first":         {edit: begin("send", "s.total = 0"), want: "func send() {\ns.total = 0\n other() }"},
		"a declaration":             {edit: declare("send", "type added int"), want: "other() }\n\ntype added int\n"},
		"the function of the name":  {edit: swap("send", "other()", "none()"), want: "func send() { none() }"},
		"twice":                     {edit: swap("Store.send", "n", "m"), err: "occur 3 times"},
		"never":                     {edit: swap("Store.send", "other()", "none()"), err: "occur 0 times"},
		"part of a token":           {edit: swap("Store.send", "err", "nil"), err: "occur 0 times"},
		"in no function":            {edit: swap("Store.receive", "n", "m"), err: "no such function"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.edit.change(source)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want one that contains %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(got, tc.want) || tc.gone != "" && strings.Contains(got, tc.gone) {
				t.Errorf("changed to:\n%s\nwant %q, not %q", got, tc.want, tc.gone)
			}
		})
	}
}
