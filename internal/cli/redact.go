package cli

import (
	"regexp"

	"github.com/spf13/pflag"
)

const redacted = "[redacted]"

// credentials are what no flag's value may show: the user information of a URL,
// and passwords in URLs and in lists of key=value.
var credentials = regexp.MustCompile(`://[^/?#\s]*@|(?i:\bpassword\s*=)`)

// shown is a flag's value for logs and errors.
func shown(f *pflag.Flag, value string) string {
	if value != "" && (isSecret(f) || credentials.MatchString(value)) {
		return redacted
	}
	return value
}

// Effective lists the flags' values for the log line at start, without secrets.
func Effective(flags *pflag.FlagSet) map[string]string {
	values := map[string]string{}
	flags.VisitAll(func(f *pflag.Flag) {
		if !builtIn(f.Name) {
			values[f.Name] = shown(f, f.Value.String())
		}
	})
	return values
}
