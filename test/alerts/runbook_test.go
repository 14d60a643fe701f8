package alerts_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	"github.com/prometheus/prometheus/rules"
)

var (
	heading     = regexp.MustCompile(`(?m)^##+ (.+)$`)
	punctuation = regexp.MustCompile(`[^a-z0-9_ -]`)
	block       = regexp.MustCompile("(?ms)^ *```[a-z]*\n(.*?)^ *```")
	inline      = regexp.MustCompile("`((?:kubectl|kubernaut)[ \n][^`]+)`")
	// changes are commands that a person runs after having understood, of which a spec runs
	// those that repair its cause, and those that need an object or an operator of the reader's.
	changes = regexp.MustCompile(`\bkubectl( -n \S+)? (delete|patch|apply|create)\b|\| kubectl apply|stores (acknowledge|quarantine (show|retry))|policy test DIR|targets test|kubernaut (retry|close|pause|resume)\b|get\s+certificates|get events.audit.kubernaut.ai EVENT|^kubectl get trails.audit.kubernaut.ai$`)
	// harmless is what kubectl says about commands that work.
	harmless = regexp.MustCompile(`(?m)^(No resources found.*|Defaulted container .*|Found \d+ pods, using .*|Warning: .* is not namespace scoped.*)\n*`)
)

// runbookTimeout bounds one section.
const runbookTimeout = time.Minute

// section is the part of a page that an alert names.
func section(a *rules.Alert) string {
	GinkgoHelper()
	page, anchor, found := strings.Cut(a.Annotations.Get("runbook_url"), "#")
	Expect(found).To(BeTrue(), "runbook_url names a section")
	text, err := os.ReadFile(filepath.Join(projectDir, page))
	Expect(err).NotTo(HaveOccurred())
	at := heading.FindAllSubmatchIndex(text, -1)
	for i, m := range at {
		end := len(text)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		own := punctuation.ReplaceAllString(strings.ToLower(string(text[m[2]:m[3]])), "")
		if strings.ReplaceAll(own, " ", "-") == anchor {
			return string(text[m[1]:end])
		}
	}
	Fail("no section " + anchor)
	return ""
}

// commands are those of a section: each block is one script, without prompts and output.
func commands(text string) []string {
	blocks := block.FindAllStringSubmatch(text, -1)
	all := make([]string, 0, len(blocks))
	for _, found := range blocks {
		all = append(all, prompted(found[1]))
	}
	for _, found := range inline.FindAllStringSubmatch(block.ReplaceAllString(text, ""), -1) {
		all = append(all, strings.ReplaceAll(found[1], "\n", " "))
	}
	return all
}

// prompted leaves of a session what a person has typed.
func prompted(script string) string {
	if !strings.HasPrefix(strings.TrimSpace(script), "$ ") {
		return script
	}
	var typed []string
	continues := false
	for line := range strings.Lines(script) {
		command, prompt := strings.CutPrefix(line, "$ ")
		if prompt || continues {
			typed = append(typed, command)
			continues = strings.HasSuffix(strings.TrimSpace(line), `\`)
		}
	}
	return strings.Join(typed, "")
}

// reader replaces what a runbook calls by example.
type reader struct {
	site *siteState
	// about is the service whose pod is POD.
	about *service
	// values replace placeholders, and are variables of the shell if they begin with $.
	values map[string]string
	// tolerates is a pattern of complaints that are part of the finding.
	tolerates string
}

// looks runs the commands of an alert's runbook that change nothing, and expects of what
// they print together what the runbook promises.
func (r *reader) looks(ctx context.Context, a *rules.Alert, shows types.GomegaMatcher) {
	GinkgoHelper()
	r.site.fill(ctx)
	r.site.flush(ctx)
	var seen strings.Builder
	ran := 0
	for _, script := range commands(section(a)) {
		if kept := withoutChanges(script); strings.TrimSpace(kept) != "" {
			seen.WriteString(r.run(ctx, kept))
			ran++
		}
	}
	Expect(ran).NotTo(BeZero(), "commands of %s", a.Annotations.Get("runbook_url"))
	Expect(seen.String()).To(shows)
}

// flushTimeout is for stores that cannot reach DataStorage.
const flushTimeout = "1s"

// flush lets the services store what they can.
func (s *siteState) flush(ctx context.Context) {
	GinkgoHelper()
	for _, one := range s.services {
		if isDeployment(one.name) {
			continue // it keeps nothing
		}
		ask(ctx, http.MethodPost, one.management+"/audit/flush?timeout="+flushTimeout, "")
	}
}

// repairs runs the one command of an alert's runbook that has a text.
func (r *reader) repairs(ctx context.Context, a *rules.Alert, with string) string {
	GinkgoHelper()
	r.site.fill(ctx)
	var found []string
	for _, script := range commands(section(a)) {
		if strings.Contains(script, with) {
			found = append(found, script)
		}
	}
	Expect(found).To(HaveLen(1), "commands with %q", with)
	return r.run(ctx, found[0])
}

// withoutChanges leaves out the lines of a script that change something.
func withoutChanges(script string) string {
	var kept []string
	for line := range strings.Lines(script) {
		if !changes.MatchString(line) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// run runs a script as a person with all rights does, and returns what it prints. A search
// that finds nothing is no failure: several alerts share a section.
func (r *reader) run(ctx context.Context, script string) string {
	GinkgoHelper()
	ctx, cancel := context.WithTimeout(ctx, runbookTimeout)
	defer cancel()
	script = r.concrete(ctx, script)
	dir := GinkgoT().TempDir()
	shell := exec.CommandContext(ctx, "bash", "-c", script)
	shell.Dir = dir
	bin, err := filepath.Abs(filepath.Join(projectDir, "bin"))
	Expect(err).NotTo(HaveOccurred())
	shell.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+dir, "KUBECONFIG="+env.Kubeconfig)
	for name, v := range r.values {
		if variable, is := strings.CutPrefix(name, "$"); is {
			shell.Env = append(shell.Env, variable+"="+v)
		}
	}
	output, complaints := filepath.Join(dir, ".output"), filepath.Join(dir, ".complaints")
	shell.Stdout, err = os.Create(output)
	Expect(err).NotTo(HaveOccurred())
	shell.Stderr, err = os.Create(complaints)
	Expect(err).NotTo(HaveOccurred())
	// What a script starts in the background ends with it.
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	shell.Cancel = func() error { return syscall.Kill(-shell.Process.Pid, syscall.SIGKILL) }
	Expect(shell.Start()).To(Succeed())
	_ = shell.Wait() // grep fails where there is nothing to find
	_ = syscall.Kill(-shell.Process.Pid, syscall.SIGKILL)
	Expect(ctx.Err()).NotTo(HaveOccurred(), script)
	printed, err := os.ReadFile(output)
	Expect(err).NotTo(HaveOccurred())
	complained, err := os.ReadFile(complaints)
	Expect(err).NotTo(HaveOccurred())
	GinkgoWriter.Printf("$ %s\n%s%s\n", script, printed, complained)
	left := harmless.ReplaceAllString(string(complained), "")
	if r.tolerates != "" {
		left = regexp.MustCompile("(?m)^.*"+r.tolerates+".*\n?").ReplaceAllString(left, "")
	}
	Expect(strings.TrimSpace(left)).To(BeEmpty(), script)
	return string(printed)
}

// concrete replaces the platform's namespace, the pod, and ports.
func (r *reader) concrete(ctx context.Context, script string) string {
	GinkgoHelper()
	replace := []string{"kubernaut-system", r.site.namespace}
	if r.site.workflows != "" {
		replace = append(replace, "kubernaut-workflows", r.site.workflows)
	}
	if one := r.about; one != nil {
		local := freePort(ctx)
		replace = append(replace, "POD:9090", one.pod+":"+portOf(one.management), "POD 9090:", one.pod+" "+local+":", "localhost:9090", "localhost:"+local, "POD", one.pod)
	}
	for name, v := range r.values {
		if !strings.HasPrefix(name, "$") {
			replace = append(replace, name, v)
		}
	}
	return strings.NewReplacer(replace...).Replace(script)
}

func freePort(ctx context.Context) string {
	GinkgoHelper()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", anyPort)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	Expect(err).NotTo(HaveOccurred())
	return port
}

// fill gives workloads without pods one each, behind which the suite's services are, so
// that commands find what a deployment has. They are not scraped.
func (s *siteState) fill(ctx context.Context) {
	GinkgoHelper()
	there := map[string]bool{}
	for _, one := range s.services {
		there[one.name] = true
	}
	for _, one := range []*service{
		{name: gatewayName, management: env.ManagementURLs[0], control: env.ControlURLs[0]},
		{name: storageName, management: env.DataStorage.ManagementURL},
		{name: processingName, management: env.ManagementURLs[1], control: env.ControlURLs[1]},
	} {
		if !there[one.name] && !s.filled[one.name] {
			one.log = &journal{}
			s.startPod(ctx, one)
			s.filled[one.name] = true
		}
	}
}
