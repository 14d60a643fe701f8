package mustgather

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// summary is an overview of what is wrong, and of where to continue.
func (r *run) summary(started string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Kubernaut in %s, %s; logs and failures of the last %d minutes.\n", strings.Join(r.Namespaces, " "), started, int(r.Since/time.Minute))
	out.WriteString(`
What to read:
  audit-state.txt, datastorage-state.txt   pending events of the audit stores; the store of events
  timelines/                               requested, failed and stuck requests: audit events, logs, Kubernetes events
  namespaces/NS/events.txt, pods.txt       and a directory for each pod with logs, probes and metrics
  kubernaut.ai/                            all requests as tables
  not-collected.txt                        what could not be collected, and why
  SHA256SUMS                               the checksum of each file: sha256sum -c SHA256SUMS

Requests by phase:
`)
	phases := map[string]int{}
	for i := range r.requests {
		phase := r.requests[i].phase
		if phase == "" {
			phase = "(none)"
		}
		phases[r.requests[i].kind+" "+phase]++
	}
	for _, phase := range slices.Sorted(maps.Keys(phases)) {
		fmt.Fprintf(&out, "%8d  %s\n", phases[phase], phase)
	}
	for _, namespace := range r.Namespaces {
		r.summarizeNamespace(&out, namespace)
	}
	fmt.Fprintf(&out, "\n%s\nNot collected: %d\n", r.files.read("audit-state.txt"), len(r.failures))
	return out.String()
}

func (r *run) summarizeNamespace(out *strings.Builder, namespace string) {
	const warnings, longest = 20, 500
	pods := r.files.read("namespaces/" + namespace + "/pods.txt")
	if pods == "" {
		pods = "none readable\n"
	}
	fmt.Fprintf(out, "\nPods in %s:\n%s\nFailing probes in %s:\n", namespace, indent(pods), namespace)
	for i := range r.pods {
		pod := &r.pods[i]
		if pod.Namespace != namespace || management(pod) == 0 {
			continue
		}
		for _, probe := range []string{"readyz", "healthz"} {
			file := podFolder(pod) + "/management/" + probe + ".json"
			text := r.files.read(file)
			if text != "" && !strings.Contains(text, `"status":"ok"`) && !strings.Contains(text, `"status":"ready"`) {
				fmt.Fprintf(out, "  %s: %s\n", file, strings.TrimSpace(text[:min(len(text), longest)]))
			}
			if text == "" && probe == "readyz" {
				fmt.Fprintf(out, "  %s: no response\n", pod.Name)
			}
		}
	}
	fmt.Fprintf(out, "\nNewest warnings in %s:\n", namespace)
	var found []string
	for line := range strings.Lines(r.files.read("namespaces/" + namespace + "/events.txt")) {
		if fields := strings.Split(line, "\t"); len(fields) > 1 && fields[1] == "Warning" {
			found = append(found, line)
		}
	}
	out.WriteString(indent(strings.Join(found[max(0, len(found)-warnings):], "")))
}

func indent(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString("  " + line)
	}
	return out.String()
}
