package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kubernaut.ai/internal/kube"
)

// all is what stands for every event type or namespace.
const all = "*"

// The rights of a line.
const (
	rightRead  = "read"
	rightWrite = "write"
	rightHold  = "hold"
	rightErase = "erase"
)

// reservedNames begin the names of callers that only Kubernaut itself has.
const reservedNames = "kubernaut:"

// grants are what a line of a token file permits.
type grants struct{ rights, types, namespaces []string }

// missing names what a line lacks for an action, or returns "".
func (g grants) missing(action Action, where Scope) string {
	if where != (Scope{}) {
		return g.missingNamespace(where)
	}
	right := action.right()
	switch {
	case action.acknowledges() && (slices.Contains(g.rights, rightRead) || slices.Contains(g.rights, rightWrite)):
		return ""
	case !slices.Contains(g.rights, right):
		return right + " to rights="
	case right != rightWrite || slices.Contains(g.types, all):
		return ""
	case action.Name == "":
		return all + " to types="
	case !slices.Contains(g.types, action.Name):
		return action.Name + " to types="
	}
	return ""
}

func (g grants) missingNamespace(where Scope) string {
	switch {
	case slices.Contains(g.namespaces, all):
		return ""
	case where.everywhere:
		return all + " to namespaces="
	case !slices.Contains(g.namespaces, where.namespace):
		return where.namespace + " to namespaces="
	}
	return ""
}

// right is the right that an action needs.
func (a Action) right() string {
	switch {
	case a.Resource == "legalholds":
		return rightHold
	case a.Resource == "erasures":
		return rightErase
	case slices.Contains([]string{"get", "list", "watch"}, a.Verb):
		return rightRead
	default:
		return rightWrite
	}
}

// acknowledges reports whether the action reads an acknowledgement: the store that
// it is for reads it with the token that it writes with.
func (a Action) acknowledges() bool { return a.Resource == "acknowledgements" && a.Verb == "get" }

// parseTokens reads a token file. A line has a name, the hex SHA-256 of a token,
// and what its bearer may do, separated by white space:
//
//	auditor   SHA256  rights=read
//	shop      SHA256  rights=read,write types=shop,billing
//	platform  SHA256  rights=write types=*  namespaces=*
//	team      SHA256  namespaces=shop,shop-staging
//	counsel   SHA256  rights=read,hold
//	privacy   SHA256  rights=read,erase
//
// rights are about audit events: read, write, hold (legal holds), erase. types are the first parts of the
// types of events that the caller may write. namespaces are those that it may
// report signals about. * stands for all. Empty lines and lines that start with #
// are ignored. The keys of the result are hashes.
func parseTokens(text string) (map[string]Caller, error) {
	callers := map[string]Caller{}
	for i, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		key, caller, err := parseCaller(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if other, taken := callers[key]; taken {
			if other.Name == caller.Name {
				return nil, fmt.Errorf("line %d: %q has this token on another line already: keep one of them", i+1, caller.Name)
			}
			return nil, fmt.Errorf("line %d: %q has the token of %q: the audit trail could not tell them apart", i+1, caller.Name, other.Name)
		}
		callers[key] = caller
	}
	if len(callers) == 0 {
		return nil, errors.New("lists no caller")
	}
	return callers, nil
}

// The first fields of a line.
const (
	fieldName = iota
	fieldHash
	fieldGrants
)

// parseCaller reads the fields of a line. The key is the token's hash.
func parseCaller(fields []string) (key string, caller Caller, err error) {
	if len(fields) < fieldGrants {
		return "", Caller{}, errors.New("want a name, the hex SHA-256 of a token, and what its bearer may do, as in rights=read")
	}
	caller.Name = fields[fieldName]
	if strings.HasPrefix(caller.Name, reservedNames) {
		return "", Caller{}, fmt.Errorf("%q: names that begin with %s are reserved", caller.Name, reservedNames)
	}
	hash, err := hex.DecodeString(fields[fieldHash])
	if err != nil || len(hash) != sha256.Size {
		return "", Caller{}, fmt.Errorf("%q's second column is not a hex SHA-256 (make it with sha256sum)", caller.Name)
	}
	if caller.grants, err = parseGrants(fields[fieldGrants:]); err != nil {
		return "", Caller{}, fmt.Errorf("%q: %w", caller.Name, err)
	}
	return hex.EncodeToString(hash), caller, nil
}

func parseGrants(fields []string) (grants, error) {
	var g grants
	lists := map[string]struct {
		to    *[]string
		check func(string) error
	}{
		"rights":     {&g.rights, checkRight},
		"types":      {&g.types, checkType},
		"namespaces": {&g.namespaces, kube.CheckNamespace},
	}
	for _, field := range fields {
		name, value, isPair := strings.Cut(field, "=")
		list, known := lists[name]
		switch {
		case !isPair:
			return grants{}, fmt.Errorf("%q: want rights=, types= or namespaces= with a list, without white space in it", field)
		case !known:
			return grants{}, fmt.Errorf("%s=: unknown, want rights=, types= or namespaces=", name)
		case *list.to != nil:
			return grants{}, fmt.Errorf("%s=: given twice", name)
		}
		for item := range strings.SplitSeq(value, ",") {
			if item != all || name == "rights" {
				if err := list.check(item); err != nil {
					return grants{}, fmt.Errorf("%s=: %q: %w", name, item, err)
				}
			}
			*list.to = append(*list.to, item)
		}
	}
	return g, g.check()
}

// check refuses lines that say half of something.
func (g grants) check() error {
	writes := slices.Contains(g.rights, rightWrite)
	switch {
	case len(g.rights) == 0 && len(g.namespaces) == 0:
		return errors.New("may do nothing: want rights=read, rights=write with types=, or namespaces=")
	case writes && len(g.types) == 0:
		return errors.New("rights=write needs types=: the first parts of the event types that the caller may write, or *")
	case !writes && len(g.types) > 0:
		return errors.New("types= needs rights=write")
	}
	return nil
}

func checkRight(right string) error {
	if !slices.Contains([]string{rightRead, rightWrite, rightHold, rightErase}, right) {
		return errors.New("want read, write, hold or erase")
	}
	return nil
}

// checkType checks the first part of an event type.
func checkType(first string) error {
	if first == "" || strings.Trim(first, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
		return errors.New("want the first part of an event type, as gateway of gateway.signal.received, or *")
	}
	return nil
}
