package redact

import (
	"regexp"
	"slices"
	"strings"
)

// secretWords are the ends of names whose values are secret.
const secretWords = `passwords?|passwd|passphrase|passcode|pwd|secret|token|credentials?|` +
	`(?:api|access|account|private|signing|encryption|routing|integration|service|master|shared|storage|license|webhook|auth|` +
	`session|hmac|client|app|application|subscription|consumer|deploy|decryption|secret|admin|ssh|sas|hash|jwt|cookie|` +
	`publish|ingest|write|read|preshared|wg)[-_.]?key|` +
	`secret[-_.]?access[-_.]?key|authorization|cookie|dsn|_auth|webhook[-_.]?ur[li]|slack[-_.]?(?:api[-_.]?)?ur[li]|` +
	`connection[-_.]?string|session[-_.]?id|sessionid`

// pairHints are parts of all secretWords: a line without them has no pairs.
var pairHints = []string{
	"passw", "passphrase", "passcode", "pwd", "secret", "token", "credential", "key", "authorization", "cookie", "dsn", "_auth", "webhook", "slack", "connection", "session",
}

var (
	pair       = regexp.MustCompile(`(?:` + secretWords + `)["'\\]*[ \t]*(?:[=:]|[ \t][^ \t])`) // in lower case
	secretName = regexp.MustCompile(`(?i)(?:` + secretWords + `)$`)

	flagBefore    = regexp.MustCompile(`(?:^|[ \t"'\[,])--?[A-Za-z0-9._-]+[ \t]+$`)
	nothing       = regexp.MustCompile(`^(?:true|false|null|nil|none|\[redacted\])(?:[\] \t,;"'&}]|$)`)
	filePath      = regexp.MustCompile(`^["']?/(?:etc|var|run|tmp|home|root|mnt|opt|tls|certs|secrets)/[A-Za-z0-9._/-]*["']?(?:[ \t,;}]|$)`)
	quotedStart   = regexp.MustCompile(`^\\*["']`)
	wholeLine     = regexp.MustCompile(`(?i)(?:authorization|cookie)["'\\]*[ \t]*[=:]$`)
	certainName   = regexp.MustCompile(`(?i)(?:passwords?|passwd|passphrase|pwd|api[-_.]?key)["'\\]*[ \t]*.$`)
	lineBegins    = regexp.MustCompile(`^(?:[0-9][0-9T:.+-]*Z? )?[ \t-]*["']?[A-Za-z0-9_./-]*["']?[ \t]*:$`)
	value         = regexp.MustCompile("^[^ \t\"'&]+")
	generatedWord = regexp.MustCompile(`^[A-Za-z0-9+/_=.~-]+[,;)]?$`)
	hasDigit      = regexp.MustCompile(`[0-9]`)
	hasLetter     = regexp.MustCompile(`[A-Za-z]`)
)

// isSecretName reports whether a field of this name holds a secret.
func isSecretName(name string) bool {
	lower := asciiLower(name)
	return slices.ContainsFunc(pairHints, func(hint string) bool { return strings.Contains(lower, hint) }) && secretName.MatchString(name)
}

// The regular expression of a pair is slow: it is tried only around the hints.
const (
	// beforeHint and afterHint are what one of secretWords can have before and from the beginning of its hint.
	beforeHint, afterHint = len("subscription-"), len("connection-string")
	// besides are the bytes between a name and its separator.
	besides = "\"'\\ \t"
)

// findPair finds the first pair that begins at from or later, and has one of the hints that begin at hints, in order.
func findPair(lower string, from int, hints []int) []int {
	next, _ := slices.BinarySearch(hints, from)
	for _, hint := range hints[next:] {
		end := hint
		for end < len(lower) && end <= hint+afterHint && isNameByte(lower[end]) {
			end++
		}
		// A name ends before its separator.
		if end == len(lower) || strings.IndexByte(besides+"=:", lower[end]) < 0 {
			continue
		}
		for end < len(lower) && strings.IndexByte(besides, lower[end]) >= 0 {
			end++
		}
		begin := max(from, hint-beforeHint)
		end = min(len(lower), end+2) //nolint:mnd // a separator may have two bytes
		if match := pair.FindStringIndex(lower[begin:end]); match != nil {
			return []int{begin + match[0], begin + match[1]}
		}
	}
	return nil
}

// isNameByte reports whether secretWords can have a byte.
func isNameByte(c byte) bool { return c >= 'a' && c <= 'z' || c == '-' || c == '_' || c == '.' }

// scrubPairs replaces the values of name=value, name: value, "name":"value" and --name value. lower is s in lower case;
// hints are the places of pairHints in it, in order.
func scrubPairs(s, lower string, hints []int) string {
	var out strings.Builder
	for {
		done := len(lower) - len(s)
		match := findPair(lower, done, hints)
		if match == nil {
			return out.String() + s
		}
		name := s[:match[1]-done]
		separator := name[len(name)-1]
		if separator != '=' && separator != ':' { // a flag and its value, or prose
			name = name[:len(name)-1]
			separator = 0
			if flagBefore.MatchString(name) {
				separator = '='
			}
		}
		s = s[len(name):]
		out.WriteString(name)
		if separator == 0 {
			continue
		}
		if from, length := findValue(out.String(), s, separator); length > 0 {
			out.WriteString(s[:from] + redacted)
			s = s[from+length:]
		}
	}
}

// findValue finds the secret that follows a name and a separator in s. Its length is zero if there is none.
func findValue(before, s string, separator byte) (from, length int) {
	from = len(s) - len(strings.TrimLeft(s, " \t"))
	word := s[from:]
	if word == "" || nothing.MatchString(word) || filePath.MatchString(word) {
		return 0, 0
	}
	yaml := separator == ':' && lineBegins.MatchString(before)
	if open := quotedStart.FindString(word); open != "" && (strings.HasSuffix(open, `"`) || !yaml) {
		// The quotes stay, so that JSON stays JSON.
		return from + len(open), quotedLength(word) - 2*len(open) //nolint:mnd // both quotes
	}
	switch {
	case word[0] == '[' && strings.Contains(word, "]"):
		return from, strings.Index(word, "]") + 1
	case wholeLine.MatchString(before):
		return from, len(word)
	case yaml: // all of the line, as in a YAML file
		if strings.ContainsRune("{|>&", rune(word[0])) {
			return 0, 0
		}
		return from, len(word)
	}
	length = len(strings.TrimRight(value.FindString(word), `\`)) // the escape of a quote that follows
	if separator == ':' && from > 0 && !certainName.MatchString(before) && !looksRandom(word[:length]) {
		return 0, 0 // prose, as in "read token: no such file"
	}
	return from, length
}

// quotedLength returns the length of the quoted text at the start of s, however deep its quotes are escaped.
func quotedLength(s string) int {
	depth := len(s) - len(strings.TrimLeft(s, `\`))
	mark := s[depth]
	for at := depth + 1; at < len(s); at++ {
		if s[at] != mark {
			continue
		}
		slashes := 0
		for s[at-1-slashes] == '\\' {
			slashes++
		}
		if slashes <= depth {
			return at + 1
		}
	}
	return len(s) + depth + 1 // its end was cut off
}

func looksRandom(word string) bool {
	const least = 16
	return len(word) >= least && hasDigit.MatchString(word) && hasLetter.MatchString(word) && generatedWord.MatchString(word) && word[0] != '/'
}
