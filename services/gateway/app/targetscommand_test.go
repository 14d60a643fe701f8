package app_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kubernaut.ai/internal/cli"
	"kubernaut.ai/services/gateway/app"
)

// testTargets runs `targets test` and returns its exit code, output and errors.
func testTargets(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	command := app.TargetsCommand("KUBERNAUT_TEST")
	var stdout, stderr bytes.Buffer
	command.SetOut(&stdout)
	command.SetErr(&stderr)
	code = cli.Execute(t.Context(), command, append([]string{"test"}, args...), &stderr)
	return code, stdout.String(), stderr.String()
}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const queueAlert = `{"labels":{"alertname":"QueueTooLong","namespace":"shop","queue":"orders"}`

func TestTargetsOfAWebhookBodyArePrinted(t *testing.T) {
	t.Parallel()
	rules := file(t, "rules:\n- name: queue\n  target: object(\"Deployment\", labels.queue)\n")
	alerts := file(t, `{"version":"4","alerts":[`+queueAlert+`},{"labels":{"alertname":"Evil\u001b[2J","namespace":"a","pod":"p"}}]}`)
	code, out, errs := testTargets(t, "--rules", rules, "--alerts", alerts)
	want := `ALERT         RULE        TARGET                            NOTE
QueueTooLong  file/queue  Deployment shop/orders (apps/v1)
Evil          pod         Pod a/p (v1)
`
	if code != cli.ExitOK || trimmed(out) != want {
		t.Errorf("exit code %d, %s\n%s\nwant\n%s", code, errs, out, want)
	}
}

// trimmed removes the space at the end of lines.
func trimmed(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func TestTargetsThatAreNotExpectedFail(t *testing.T) {
	t.Parallel()
	expected := `,"target":{"kind":"Deployment","namespace":"shop","name":"orders"},"cluster_objects":[]}`
	code, out, errs := testTargets(t, "--alerts", file(t, "["+queueAlert+expected+"]"))
	if code != cli.ExitFailed || !strings.Contains(out, "abstained: want Deployment shop/orders") ||
		!strings.Contains(errs, "1 of 1 alerts do not have the expected target") {
		t.Errorf("exit code %d, %s\n%s", code, errs, out)
	}
	rules := file(t, "rules:\n- name: queue\n  target: object(\"Deployment\", labels.queue)\n")
	if code, out, errs = testTargets(t, "--rules", rules, "--alerts", file(t, "["+queueAlert+expected+"]")); code != cli.ExitOK {
		t.Errorf("exit code %d, %s\n%s", code, errs, out)
	}
}

func TestUnusableFilesAreUsageErrors(t *testing.T) {
	t.Parallel()
	alerts := file(t, "["+queueAlert+"}]")
	bad := file(t, "rules:\n- name: queue\n  target: nope\n")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no alerts":       {nil, "--alerts"},
		"missing file":    {[]string{"--alerts", "/does/not/exist"}, "--alerts: open /does/not/exist"},
		"no JSON":         {[]string{"--alerts", file(t, "alerts")}, "want a list, or the body of a webhook"},
		"missing rules":   {[]string{"--alerts", alerts, "--rules", "/does/not/exist"}, "--rules: open /does/not/exist"},
		"unusable rules":  {[]string{"--alerts", alerts, "--rules", bad}, "--rules: " + bad + ": line 3, column 11: queue: undeclared reference to 'nope'"},
		"unusable object": {[]string{"--alerts", file(t, "["+queueAlert+`,"cluster_objects":[{}]}]`)}, "alert 0 (QueueTooLong): object 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if code, _, errs := testTargets(t, test.args...); code != cli.ExitUsage || !strings.Contains(errs, test.want) {
				t.Errorf("exit code %d, %s; want %s", code, errs, test.want)
			}
		})
	}
}

func TestAnUnusableRulesFileIsNamedAtStart(t *testing.T) {
	t.Parallel()
	o := usable()
	o.TargetRules = file(t, "rules:\n- name: queue\n  target: nope\n")
	if _, err := app.New(o); err == nil || !strings.Contains(err.Error(), "--target-rules: "+o.TargetRules+": line 3, column 11") {
		t.Errorf("got %v", err)
	}
}
