package redact

import "regexp"

// ownRule finds what neither gitleaks nor the names of values find.
type ownRule struct {
	hints []string // in lower case; a line without any of them has nothing to find
	find  *regexp.Regexp
	// with replaces a match.
	with string
}

func (o *ownRule) scrub(line string) string { return o.find.ReplaceAllString(line, o.with) }

var ownRules = []ownRule{
	// Callers.
	{[]string{"bearer ", "bearer+"}, regexp.MustCompile(`(?i)\b(bearer[ +]+)([a-z0-9._~+/=-]{21,}|[a-z0-9._~+/=-]*[0-9][a-z0-9._~+/=-]*)`), "${1}" + redacted},
	{[]string{"basic ", "basic+"}, regexp.MustCompile(`\b([Bb]asic[ +]+)[A-Za-z0-9+/_-]{8,}={0,2}`), "${1}" + redacted},
	{[]string{"eyj"}, regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){1,4}`), redacted},
	{[]string{"eyj"}, regexp.MustCompile(`\beyJ[A-Za-z0-9+/_-]{24,}={0,2}`), redacted}, // JSON in base64
	{[]string{`"auth`}, regexp.MustCompile(`(\\*"(?:auth|identitytoken|registrytoken)\\*"[ \t]*:[ \t]*\\*")[^"\\]+`), "${1}" + redacted},
	{[]string{"auth:"}, regexp.MustCompile(`\b(auth:[ \t]+)["']?[A-Za-z0-9+/]{8,}={1,2}["']?`), "${1}" + redacted},
	{[]string{"login"}, regexp.MustCompile(`\b(login[ \t]+[^ \t]+[ \t]+password[ \t]+)[^ \t"']+`), "${1}" + redacted}, // .netrc
	{[]string{" -u"}, regexp.MustCompile(`( -u[ \t]*["']?[A-Za-z0-9._@-]+:)[^ \t"']+`), "${1}" + redacted},

	// Hashes of passwords.
	{[]string{"$2", "$1$", "$5$", "$6$", "$7$", "$y$", "$gy$", "$apr1$", "$argon2", "$scrypt$", "$pbkdf2", "$sha1$"}, regexp.MustCompile(`\$(?:2[abxy]?|1|5|6|7|y|gy|apr1|argon2(?:id|i|d)|scrypt|pbkdf2[-a-z0-9]*|sha1)\$[A-Za-z0-9./$=,+_-]{8,}`), redacted},
	{[]string{"{sha", "{ssha"}, regexp.MustCompile(`\{(?:S?SHA|SHA-?(?:256|512)|SSHA(?:256|512))\}[A-Za-z0-9+/]{16,}={0,2}`), redacted},
	{[]string{"scram-sha-256$"}, regexp.MustCompile(`SCRAM-SHA-256\$[^ \t"']+`), redacted},
	{[]string{"md5"}, regexp.MustCompile(`\bmd5[0-9a-f]{32}\b`), redacted},

	// Keys and tokens by their shape.
	{[]string{"ls0tls1crudjt"}, regexp.MustCompile(`LS0tLS1CRUdJTi(?:A|B(?:[ABD-Z]|C[B-Z]|F))[A-Za-z0-9+/=]{5,}`), redacted},
	{[]string{"akia"}, regexp.MustCompile(`\bAKIA[0-9A-Z]{16,}`), redacted},
	{[]string{"asia"}, regexp.MustCompile(`\bASIA[0-9A-Z]{16,}`), redacted},
	{[]string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"}, regexp.MustCompile(`gh[pousr]_[A-Za-z0-9_-]{12,}|github_pat_[A-Za-z0-9_]{12,}`), redacted},
	{[]string{"glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "glsoat-", "glffct-"}, regexp.MustCompile(`gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct)-[A-Za-z0-9_-]{11,}`), redacted},
	{[]string{"xoxa-", "xoxb-", "xoxe-", "xoxp-", "xoxr-", "xoxs-"}, regexp.MustCompile(`xox[abeprs]-[A-Za-z0-9-]{11,}`), redacted},
	{[]string{"xapp-"}, regexp.MustCompile(`xapp-[A-Za-z0-9-]{11,}`), redacted},
	{[]string{"sk_", "sk-", "rk_", "rk-", "pk_", "pk-"}, regexp.MustCompile(`\b[srp]k[-_](?:live|test|prod|proj|ant|svcacct|admin|or)[-_][A-Za-z0-9_-]{10,}`), redacted},
	{[]string{"hvs.", "hvb.", "hvr."}, regexp.MustCompile(`\bhv[sbr]\.[A-Za-z0-9_-]{20,}`), redacted},
	{[]string{"npm_"}, regexp.MustCompile(`\bnpm_[A-Za-z0-9]{30,}`), redacted},
	{[]string{"sg."}, regexp.MustCompile(`\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}`), redacted},
	{[]string{"aiza"}, regexp.MustCompile(`\bAIza[A-Za-z0-9_-]{30,}`), redacted},
	{[]string{"gocspx-"}, regexp.MustCompile(`\bGOCSPX-[A-Za-z0-9_-]{20,}`), redacted},
	{[]string{"ya29."}, regexp.MustCompile(`\bya29\.[A-Za-z0-9_-]{20,}`), redacted},
	{[]string{"age-secret-key-"}, regexp.MustCompile(`(?i)AGE-SECRET-KEY-[A-Z0-9-]{20,}`), redacted},
	{[]string{"k10"}, regexp.MustCompile(`\bK10[0-9a-f]{64}::[^ \t"']+`), redacted}, // k3s

	// Addresses that are secrets themselves: what follows the host goes.
	{[]string{"hook"}, regexp.MustCompile(`(https?://[^ \t"'/<>]+)/[^ \t"'<>?]*hooks?[^ \t"'<>]*`), "${1}/" + redacted},
	{[]string{"hook"}, regexp.MustCompile(`(https?://[^ \t"'/<>]*hook[^ \t"'/<>]*)/[^ \t"'<>]+`), "${1}/" + redacted},
	{[]string{"chat.googleapis.com"}, regexp.MustCompile(`(https?://chat\.googleapis\.com)/[^ \t"'<>]+`), "${1}/" + redacted},
	{[]string{"api.telegram.org"}, regexp.MustCompile(`(https?://api\.telegram\.org)/[^ \t"'<>]+`), "${1}/" + redacted},
	{[]string{"pagerduty.com"}, regexp.MustCompile(`(https?://events\.[a-z.]*pagerduty\.com)/[^ \t"'<>]*integration[^ \t"'<>]+`), "${1}/" + redacted},
	{[]string{"logic.azure.com"}, regexp.MustCompile(`(https?://[^ \t"'/<>]*logic\.azure\.com[:0-9]*)/[^ \t"'<>]+`), "${1}/" + redacted},
	{[]string{"hc-ping.com"}, regexp.MustCompile(`(https?://hc-ping\.com)/[^ \t"'<>]+`), "${1}/" + redacted},
	{[]string{"?"}, regexp.MustCompile(`(?i)([?&](?:sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token|x-goog-signature|key|apikey|code|auth|sas|hmac)=)[^ \t"'&<>]+`), "${1}" + redacted},
}

// Shapes that have no hint.
var (
	passFile = regexp.MustCompile(`((?:^|[ \t"'])[A-Za-z0-9._*-]+:(?:[0-9]{2,5}|\*):[A-Za-z0-9_*-]+:[A-Za-z0-9_*-]*[A-Za-z_*-][A-Za-z0-9_*-]*:)[^ \t:"']{4,}`)
	botToken = regexp.MustCompile(`\b[0-9]{8,10}:[A-Za-z0-9_-]{35}\b`)
)

// scrubShapes replaces secrets between colons and dots. It looks closer only where there are enough digits.
func scrubShapes(s string) string {
	const botDigits, portDigits = 8, 3
	bot, port, bootstrap := false, false, false
	digits := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
			continue
		case c == ':':
			bot = bot || digits >= botDigits
			port = port || digits >= portDigits && i > digits && s[i-digits-1] == ':'
		case c == '*':
			port = port || i > 0 && s[i-1] == ':'
		case c == '.':
			bootstrap = bootstrap || isBootstrap(s, i)
		}
		digits = 0
	}
	if bot {
		s = botToken.ReplaceAllLiteralString(s, redacted)
	}
	if port {
		s = passFile.ReplaceAllString(s, "${1}"+redacted)
	}
	if bootstrap {
		s = bootstrapToken.ReplaceAllStringFunc(s, func(word string) string {
			if isBootstrap(word, bootstrapID) {
				return redacted
			}
			return word
		})
	}
	return s
}

const bootstrapID, bootstrapSecret = 6, 16

var bootstrapToken = regexp.MustCompile(`\b[a-z0-9]{6}\.[a-z0-9]{16}\b`)

// isBootstrap reports whether the dot at i is that of a bootstrap token of Kubernetes. Many names have its shape: both
// parts must have digits.
func isBootstrap(s string, i int) bool {
	return i >= bootstrapID && i+bootstrapSecret < len(s) &&
		mixed(s[i-bootstrapID:i]) && mixed(s[i+1:i+1+bootstrapSecret])
}

// mixed reports whether a text has lower case letters and digits, and nothing else.
func mixed(s string) bool {
	letters, digits := 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z':
			letters++
		case c >= '0' && c <= '9':
			digits++
		}
	}
	return letters > 0 && digits > 0 && letters+digits == len(s)
}
