// Package redacttest has the secrets that the tests of redaction plant.
package redacttest

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// Canary is a secret of one kind, as it is found in the field.
type Canary struct {
	Kind string
	// Text has the secret in its usual surroundings; Secret must not remain of it.
	Text, Secret string
}

// Canaries returns one secret of each kind. Their values are made from seed.
func Canaries(seed string) []Canary { //nolint:funlen // a list
	next := 0
	random := func(alphabet string, n int) string {
		next++
		var out strings.Builder
		for block := byte(0); out.Len() < n; block++ {
			digest := sha256.Sum256(append([]byte(seed), byte(next&0xff), block))
			for _, b := range digest {
				out.WriteByte(alphabet[int(b)%len(alphabet)])
			}
		}
		return out.String()[:n]
	}
	const lower, upper, digits = "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	mixed := func(n int) string { return "aB3dE" + random(lower+upper+digits, n-5) }
	hexed := func(n int) string { return "a1" + random(digits+"abcdef", n-2) }
	var all []Canary
	add := func(kind, before, secret, after string) {
		all = append(all, Canary{kind, before + secret + after, secret})
	}
	add("Slack webhook", "https://hooks.slack.com/services/", "T"+random(upper+digits, 8)+"/B"+random(upper+digits, 8)+"/"+mixed(24), "")
	add("Discord webhook", "https://discord.com/api/webhooks/", random(digits, 18)+"/"+mixed(68), "")
	add("Teams webhook", "https://example.webhook.office.com/webhookb2/", hexed(8)+"-"+hexed(4)+"@"+hexed(8)+"/IncomingWebhook/"+hexed(32), "")
	add("Google Chat webhook", "https://chat.googleapis.com/v1/spaces/AAAA/messages?key=", mixed(39), "")
	add("Mattermost webhook", "https://chat.example.com/hooks/", random(lower+digits, 26), "")
	add("Telegram bot", "https://api.telegram.org/bot", random("123456789", 9)+":"+mixed(35), "/sendMessage")
	add("PagerDuty key", "routing_key: ", hexed(32), "")
	add("Opsgenie key", "api_key: ", hexed(8)+"-"+hexed(4)+"-"+hexed(4)+"-"+hexed(4)+"-"+hexed(12), "")
	add("GitHub fine-grained token", "", "github_pat_"+mixed(22)+"_"+mixed(59), "")
	add("GitHub token", "cloned with ", "ghp_"+mixed(36), "")
	add("GitLab token", "", "glpat-"+mixed(20), "")
	add("Docker auth", `{"auths":{"registry.example.com":{"auth":"`, base64.StdEncoding.EncodeToString([]byte("robot:"+random(lower+digits, 12))), `"}}}`)
	add("bcrypt", "admin:", "$2y$10$"+mixed(53), "")
	add("SHA-512 crypt", "root:", "$6$"+mixed(8)+"$"+mixed(86), ":19000:")
	add("argon2", "", "$argon2id$v=19$m=65536,t=3,p=4$"+mixed(22)+"$"+mixed(43), "")
	add("JWT", "", "eyJhbGciOiJSUzI1NiJ9."+"eyJzdWIiOiIx"+mixed(20)+"."+mixed(43), "")
	add("private key", "-----BEGIN EC PRIVATE KEY-----\n", mixed(64), "\n-----END EC PRIVATE KEY-----")
	add("private key in one line", `{"key":"-----BEGIN PRIVATE KEY-----\n`, mixed(64), `\n-----END PRIVATE KEY-----\n"}`)
	add("PGP private key", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n", mixed(64), "\n-----END PGP PRIVATE KEY BLOCK-----")
	add("SSH private key in base64", "ssh: ", "LS0tLS1CRUdJTiBPUEVOU1NIIFBSSVZBVEUgS0VZ"+mixed(40), "")
	add("AWS access key", "", "AKIA"+random(upper+"234567", 16), "")
	add("AWS secret key", "aws_secret_access_key = ", mixed(40), "")
	add("AWS secret key alone", "", mixed(40), "")
	add("user and password in a URL", "https://robot:", random(lower+digits, 14), "@git.example.com/a.git")
	add("password in a DSN", "Server=db;User Id=kn;Password=", random(lower+digits, 14), ";")
	add("password in a connection string", "host=db user=kn password=", random(lower+digits, 14), " dbname=audit")
	add("Basic header", "Authorization: Basic ", base64.StdEncoding.EncodeToString([]byte("robot:"+random(lower+digits, 12))), "")
	add("Bearer header", "curl -H 'Authorization: Bearer ", mixed(30), "' https://example.com")
	add("cookie", "Cookie: session=", mixed(32), "")
	add("curl user", "curl -u robot:", random(lower+digits, 14), " https://example.com/x")
	add("Stripe key", "", "sk_live_"+mixed(24), "")
	add("SendGrid key", "", "SG."+mixed(22)+"."+mixed(43), "")
	add("Google API key", "", "AIza"+mixed(35), "")
	add("npm token", "//registry.npmjs.org/:_authToken=", "npm_"+mixed(36), "")
	add("Vault token", "", "hvs."+mixed(95), "")
	add("Azure storage key", "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=", mixed(86)+"==", ";EndpointSuffix=core.windows.net")
	add("Azure SAS", "https://a.blob.core.windows.net/b?sv=2026-01-01&sig=", mixed(43), "%3D&se=x")
	add("Kubernetes bootstrap token", "kubeadm join --discovery ", "a1"+random(lower+digits, 4)+".b2"+random(lower+digits, 14), "")
	add("age key", "", "AGE-SECRET-KEY-1"+random("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58), "")
	add("Slack token", "", "xoxb-"+random(digits, 12)+"-"+random(digits, 12)+"-"+mixed(24), "")
	add("OpenAI key", "", "sk-proj-"+mixed(48), "")
	add("Grafana token", "", "glsa_"+mixed(32)+"_"+hexed(8), "")
	add(".netrc", "machine git.example.com login robot password ", random(lower+digits, 14), "")
	add(".pgpass", "db.example.com:5432:audit:kn:", random(lower+digits, 14), "")
	add("one-time password", "otpauth://totp/a?secret=", random(upper+"234567", 32), "&issuer=b")
	add("SCRAM verifier", "", "SCRAM-SHA-256$4096:"+mixed(22)+"==$"+mixed(43)+"=:"+mixed(43)+"=", "")
	add("WireGuard key", "PrivateKey = ", mixed(43)+"=", "")
	return all
}
