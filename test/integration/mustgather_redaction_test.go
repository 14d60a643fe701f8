//go:build integration

package integration_test

import (
	"context"
	"encoding/base64"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubernaut.ai/api/v1alpha1"
	"kubernaut.ai/internal/mustgather/redact"
	"kubernaut.ai/test/testenv"
)

// canaries are unique texts in everything that must-gather collects about a request.
type canaries struct {
	id   string
	logs string // directory
	// secrets must never be in an archive, payloads only with --show-sensitive,
	// public texts always. The keys describe where the text was put.
	secrets, payloads, public map[string]string
}

// in returns a new canary for a location.
func in(location string, of map[string]string) string {
	of[location] = aName()
	return of[location]
}

// placeCanaries puts canaries wherever secrets may be, for a request that has been processed.
func placeCanaries(ctx context.Context) canaries {
	GinkgoHelper()
	c := canaries{id: env.CorrelationID(), secrets: map[string]string{}, payloads: map[string]string{}, public: map[string]string{}}

	rr := env.Request(c.id)
	rr.Spec.OriginalPayload = `{"note":"` + in("payload of a request", c.payloads) + `"}`
	rr.Spec.ProviderData = `{"note":"` + in("provider data of a request", c.payloads) + `"}`
	rr.Spec.Annotations = map[string]string{"runbook": in("annotation of a signal", c.payloads)}
	rr.Spec.Labels = map[string]string{"team": in("label of a signal", c.public)}
	Expect(env.Create(ctx, rr)).To(Succeed())
	Expect(testenv.WaitFor(ctx, env, rr, testenv.InPhase(v1alpha1.RemediationClassified))).To(Succeed())
	decoded[any](storeJSON(ctx, env.DataStorage.URL, storeEvents, anEvent(c.id, fields{
		"is_sensitive": true, "event_data": fields{"note": in("sensitive event", c.payloads)}, "error_message": in("error of a sensitive event", c.payloads),
	})), 201)
	decoded[any](storeJSON(ctx, env.DataStorage.URL, storeEvents, anEvent(c.id, fields{"event_data": fields{
		"note":  in("event", c.public),
		"token": in("token in an event", c.secrets),
		"spec":  fields{"annotations": fields{"a": in("annotation in an event", c.payloads)}, "originalPayload": in("payload in an event", c.payloads)},
		"url":   "postgres://kubernaut:" + in("URL in an event", c.secrets) + "@db/audit",
	}})), 201)
	_, err := env.AuditTrail(ctx, c.id)
	Expect(err).NotTo(HaveOccurred())

	c.placeObjects(ctx)
	c.placeLogs()
	return c
}

func (c *canaries) placeObjects(ctx context.Context) {
	GinkgoHelper()
	value := in("secret", c.secrets)
	c.secrets["secret, encoded"] = base64.StdEncoding.EncodeToString([]byte(value))
	meta := metav1.ObjectMeta{Name: c.id, Labels: map[string]string{"app.kubernetes.io/part-of": "kubernaut"}}
	create(ctx,
		&corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"url": []byte(value)}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: c.id, Annotations: map[string]string{
			"kubectl.kubernetes.io/last-applied-configuration": `{"data":{"note":"` + in("last applied configuration", c.secrets) + `"}}`,
			"example.com/db-password":                          in("annotation", c.secrets),
			"example.com/note":                                 in("public annotation", c.public),
		}}, Data: map[string]string{
			"config.yaml": "# " + in("comment", c.public) + "\ndatabase-url: postgres://kubernaut:" + in("URL in a config map", c.secrets) +
				"@db:5432/audit\nclient-secret: '" + in("secret in a config map", c.secrets) + " and more'\n",
			"password": in("password in a config map", c.secrets),
			"tls": "-----BEGIN EC PRIVATE KEY-----\n" + in("private key in a config map", c.secrets) +
				"\n-----END EC PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n" + in("certificate", c.public) + "\n-----END CERTIFICATE-----\n",
		}},
		&corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "service", Image: "localhost/service",
			Args: []string{
				"serve", "--token", in("argument", c.secrets), "--password=" + in("argument with its flag", c.secrets),
				"--note=" + in("public argument", c.public), "--database-url=host=db password=" + in("connection string", c.secrets),
			},
			Env: []corev1.EnvVar{
				{Name: "DATABASE_PASSWORD", Value: in("variable", c.secrets)},
				{Name: "DATASTORAGE_DATABASE_URL", Value: "postgres://kubernaut:" + in("URL in a variable", c.secrets) + "@db/audit"},
				{Name: "SIGNING_KEY_FILE", Value: "/etc/" + in("path in a variable", c.public)},
			},
		}}}},
		eventAbout(c.id, "cannot log in at postgres://kubernaut:"+in("Kubernetes event", c.secrets)+"@db/audit "+in("message of a Kubernetes event", c.public)),
	)
}

func (c *canaries) placeLogs() {
	GinkgoHelper()
	now := time.Now().UTC().Format(time.RFC3339Nano)
	jwt := "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0." + in("JWT in a log", c.secrets) + "aaaaaaaa"
	c.logs = logOf("gateway.log",
		now+` {"msg":"`+in("message of a log", c.public)+`","correlation_id":"`+c.id+`","password":"`+in("password in a log", c.secrets)+`"}`,
		now+" Authorization: Bearer "+in("bearer token in a log", c.secrets)+" for "+c.id,
		now+" "+c.id+" has "+jwt,
		now+" "+c.id+" connects to postgres://kubernaut:"+in("URL in a log", c.secrets)+"@db/audit",
		now+" -----BEGIN RSA PRIVATE KEY-----", in("private key in a log", c.secrets), now+" "+in("end of a private key in a log", c.secrets), "-----END RSA PRIVATE KEY-----",
		now+" last words "+in("last words", c.public),
	)
}

var _ = Describe("must-gather's redaction", func() {
	DescribeTable("removes secrets and keeps everything else", func(text, want string) {
		Expect(redacted(text)).To(Equal(want))
	},
		Entry("prose", "the token is fine; secret: not found", "the token is fine; secret: not found"),
		Entry("an error about a token", "read token: open /var/run/secrets/token: no such file", "read token: open /var/run/secrets/token: no such file"),
		Entry("names of secrets", "secretName: tls\n  secretKeyRef: {key: url}", "secretName: tls\n  secretKeyRef: {key: url}"),
		Entry("files of secrets", "--token-file=/x --signing-key=/etc/k/key token=/var/run/t", "--token-file=/x --signing-key=/etc/k/key token=/var/run/t"),
		Entry("a URL", "at postgres://kn:hunter2@db:5432/audit?a=b", "at postgres://[redacted]@db:5432/audit?a=b"),
		Entry("a URL with an unescaped password", `"postgres://kn:h/u@n?t@db/audit"`, `"postgres://[redacted]@db/audit"`),
		Entry("a URL with a token alone", "https://ghost@example.com/x", "https://[redacted]@example.com/x"),
		Entry("a URL without a secret", "http://10.0.0.1:8080/a?b=c mail me@example.com", "http://10.0.0.1:8080/a?b=c mail me@example.com"),
		Entry("a connection string", "host=db password=hunter2 user=kn", "host=db password=[redacted] user=kn"),
		Entry("a URL's parameter", "http://h/x?api_key=abc&y=1", "http://h/x?api_key=[redacted]&y=1"),
		Entry("JSON", `{"password":"hun\"ter2","n":1}`, `{"password":"[redacted]","n":1}`),
		Entry("JSON with empty and other values", `{"token":"","secret":null,"ok":true}`, `{"token":"","secret":null,"ok":true}`),
		Entry("JSON in JSON", `{"m":"{\"token\":\"abc\",\"n\":1}"}`, `{"m":"{\"token\":\"[redacted]\",\"n\":1}"}`),
		Entry("YAML", "a: 1\n  client-secret: two words # note\nb: 2", "a: 1\n  client-secret: [redacted]\nb: 2"),
		Entry("YAML in single quotes", "password: 'it''s long'", "password: [redacted]"),
		Entry("a map of Go", "map[password:hunter2 user:kn]", "map[password:[redacted] user:kn]"),
		Entry("a flag with its value", "run --auth-token abc --level debug", "run --auth-token [redacted] --level debug"),
		Entry("a header", "Authorization: Basic a2F0emU=", "Authorization: [redacted]"),
		Entry("headers in JSON", `{"Authorization":["Bearer abc"],"Accept":["*/*"]}`, `{"Authorization":[redacted],"Accept":["*/*"]}`),
		Entry("a bearer token", "sent Bearer A1b2C3d4 to it", "sent Bearer [redacted] to it"),
		Entry("prose about bearer tokens", "the bearer token is missing", "the bearer token is missing"),
		Entry("a JWT", "got eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl.", "got [redacted]."),
		Entry("a private key", "a\n-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nb", "a\n[redacted]\nb"),
		Entry("a private key in one line", `{"k":"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n"}`, `{"k":"[redacted]\n"}`),
		Entry("a private key in base64", "tls.key: LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0tCk1JSUU=", "tls.key: [redacted]"),
		Entry("a private key without an end", "-----BEGIN PRIVATE KEY-----\nMIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSk\nMIIE\nsome words", "[redacted]\nsome words"),
		Entry("a certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"),
		Entry("keys of a cloud", "AKIAIOSFODNN7EXAMPLE", "[redacted]"),
		Entry("redacted text", "password=[redacted] token: [redacted]", "password=[redacted] token: [redacted]"),
		Entry("bytes that are not UTF-8", "a\xff\xfeb password=\xff", "a\xff\xfeb password=[redacted]"),
	)
})

// redacted removes the secrets of a text.
func redacted(text string) string {
	GinkgoHelper()
	r, err := redact.New()
	Expect(err).NotTo(HaveOccurred())
	return r.Text(text)
}
