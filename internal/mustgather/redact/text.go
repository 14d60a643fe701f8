package redact

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
)

const redacted = "[redacted]"

// maxHeldLines bounds the lines of a private key.
const maxHeldLines = 200

// Redactor removes secrets. It is safe for concurrent use.
type Redactor struct {
	rules *ruleSet
	key   [sha256.Size]byte
	// harmless are lines without secrets: the objects of a cluster share most of theirs.
	harmless known
	// Sensitive keeps the payloads of signals in objects. Secrets never stay.
	Sensitive bool
}

// New makes a Redactor with a hash key of its own.
func New() (*Redactor, error) {
	rules, err := gitleaksRules()
	if err != nil {
		return nil, err
	}
	r := &Redactor{rules: rules}
	_, _ = rand.Read(r.key[:]) // never fails
	return r, nil
}

var (
	keyBegins = regexp.MustCompile(`-----BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File-`)
	keyEnds   = regexp.MustCompile(`-----END [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----|Private-MAC: [0-9a-f]+`)
	wholeKey  = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|$)`)
	timestamp = regexp.MustCompile(`^[0-9][0-9T:.+-]*Z? `)
	base64End = regexp.MustCompile(`[A-Za-z0-9+/=]{40,}$`)
	base64Row = regexp.MustCompile(`^[ \t]*[A-Za-z0-9+/=]*$`)
)

// Text replaces what looks like a secret in a text of any number of lines. Texts
// of many megabytes take linear time.
func (r *Redactor) Text(text string) string { //nolint:gocognit // one pass with one state
	var out strings.Builder
	out.Grow(len(text))
	// A private key may have a line each for its parts: lines are held back until its end shows that they belong to it.
	var held []string
	inside, certificate := false, false
	emit := func(line string) {
		body := strings.TrimSuffix(line, "\n")
		if certificate && base64Row.MatchString(timestamp.ReplaceAllString(body, "")) {
			out.WriteString(line)
			return
		}
		if strings.Contains(body, "-----BEGIN CERTIFICATE-----") {
			certificate = true
		}
		if strings.Contains(body, "-----END CERTIFICATE-----") {
			certificate = false
		}
		out.WriteString(r.line(body))
		out.WriteString(line[len(body):])
	}
	// Without an end, all lines go that may be part of a key.
	release := func() {
		for _, line := range held {
			body := timestamp.ReplaceAllString(strings.TrimSuffix(line, "\n"), "")
			if !base64Row.MatchString(body) && !base64End.MatchString(body) {
				emit(line)
			}
		}
		held, inside = nil, false
	}
	for line := range strings.Lines(text) {
		if inside {
			if end := keyEnds.FindStringIndex(line); end != nil {
				held, inside = nil, false
				if rest := line[end[1]:]; strings.TrimSpace(rest) != "" {
					emit(rest)
				}
				continue
			}
			if held = append(held, line); len(held) >= maxHeldLines {
				release()
			}
			continue
		}
		if begin := beginsOfKeys(line); begin != nil {
			inside = !keyEnds.MatchString(line[begin[len(begin)-1][1]:])
		}
		emit(line)
	}
	release()
	return out.String()
}

// hash stands for a value that may be secret.
func (r *Redactor) hash(value string) string {
	const shown = 4 // bytes
	mac := hmac.New(sha256.New, r.key[:])
	_, _ = mac.Write([]byte(value)) // never fails
	return "[hashed " + hex.EncodeToString(mac.Sum(nil)[:shown]) + "]"
}

// beginsOfKeys are the places in a line where private keys begin.
func beginsOfKeys(line string) [][]int {
	if !strings.Contains(line, "PRIVATE KEY") && !strings.Contains(line, "PuTTY-User-Key-File-") {
		return nil
	}
	return keyBegins.FindAllStringIndex(line, -1)
}

// line replaces secrets in one line.
func (r *Redactor) line(s string) string {
	if len(s) < 4 { //nolint:mnd // too short for a name and its value
		return s
	}
	if r.harmless.has(s) {
		return s
	}
	safe := r.scrub(s)
	if safe == s {
		r.harmless.add(s)
	}
	return safe
}

func (r *Redactor) scrub(s string) string {
	if strings.Contains(s, "PRIVATE KEY") {
		s = wholeKey.ReplaceAllLiteralString(s, redacted)
	}
	if strings.Contains(s, "://") {
		s = scrubURLs(s)
	}
	return scrubRandom(scrubShapes(r.rules.scrub(s)))
}

// asciiLower is strings.ToLower for ASCII: offsets stay, whatever the bytes.
func asciiLower(s string) string {
	at := strings.IndexFunc(s, func(c rune) bool { return c >= 'A' && c <= 'Z' })
	if at < 0 {
		return s
	}
	out := []byte(s)
	for i := at; i < len(out); i++ {
		if c := out[i]; c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return string(out)
}

var (
	userInfo = regexp.MustCompile(`^[^\] \t"'<>(){}\[\\/?#@]+@`)
	// oddUserInfo has a password with characters that should have been escaped.
	oddUserInfo = regexp.MustCompile(`^[^\] \t"'<>(){}\[\\/?#@:]*:[^ \t"'<>]*@`)
)

// scrubURLs replaces the user information in URLs.
func scrubURLs(s string) string {
	var out strings.Builder
	for {
		at := strings.Index(s, "://")
		if at < 0 {
			return out.String() + s
		}
		out.WriteString(s[:at+3])
		s = s[at+3:]
		match := userInfo.FindString(s)
		if match == "" {
			match = oddUserInfo.FindString(s)
		}
		if match != "" {
			out.WriteString(redacted + "@")
			s = s[len(match):]
		}
	}
}

// certificateBase64 begins a certificate in base64.
const certificateBase64 = "LS0tLS1CRUdJTiBDRVJU"

// scrubRandom replaces texts that look random: long, of upper and lower case and digits, without anything that words
// have between them. Digests, ids and names, which have lower case only, stay.
func scrubRandom(s string) string {
	const shortest = 32
	var out strings.Builder
	done, begin := 0, 0
	for i := 0; i <= len(s); i++ {
		if i < len(s) && isTokenByte(s[i]) {
			continue
		}
		if word := s[begin:i]; len(word) >= shortest && !strings.HasPrefix(word, certificateBase64) && looksGenerated(word) {
			out.WriteString(s[done:begin] + redacted)
			done = i
		}
		begin = i + 1
	}
	if done == 0 {
		return s
	}
	return out.String() + s[done:]
}

func isTokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '_' || c == '=' || c == '-'
}

func looksGenerated(word string) bool {
	const least, bits = 5, 4.2
	upper, lower, digits := 0, 0, 0
	for i := range len(word) {
		switch c := word[i]; {
		case c >= 'A' && c <= 'Z':
			upper++
		case c >= 'a' && c <= 'z':
			lower++
		case c >= '0' && c <= '9':
			digits++
		}
	}
	return upper >= least && lower >= least && digits > 0 && entropy(word) >= bits
}
