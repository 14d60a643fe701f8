package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"kubernaut.ai/bench/ratio"
	"kubernaut.ai/internal/devstack/supervise"
	gateway "kubernaut.ai/services/gateway/app"
)

const (
	// maxPeakMiB is the memory that a deployed Gateway takes.
	maxPeakMiB = 384
	// The program, and how it is deployed, seen from the folder of this module.
	gatewayProgram = "../bin/gateway"
	gatewayFolder  = "../deploy/kustomize/base/gateway"
	startPatience  = time.Minute
)

// measureMemory sends the most expensive bodies that the limits allow from many
// connections, each for a few rounds, and looks at the process's peak memory.
func (g *gateways) measureMemory(ctx context.Context, report *ratio.Report) (err error) {
	dir, err := supervise.Temporary(ctx, "bench-gateway")
	if err != nil {
		return fmt.Errorf("start the Gateway: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	process, url, err := g.startProcess(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end(ctx, process)) }()
	peak := 0.0
	bodies := worstBodies(gateway.Defaults())
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		answers, err := g.flood(ctx, url, bodies[name])
		if err != nil {
			return fmt.Errorf("send %s: %w", name, err)
		}
		if peak, err = peakMiB(process.PID()); err != nil {
			return err
		}
		report.Figuref("memory: peak %.0f MiB after %s, answers %s", peak, name, answers)
	}
	report.AtMost("gateway-rss-mib", peak, maxPeakMiB)
	return nil
}

// startProcess starts the Gateway's program as it is deployed, but for
// addresses, and authentication.
func (g *gateways) startProcess(ctx context.Context, dir *supervise.Dir) (*supervise.Process, string, error) {
	program, err := filepath.Abs(gatewayProgram)
	if err != nil {
		return nil, "", fmt.Errorf("start the Gateway: %w", err)
	}
	if _, err := os.Stat(program); err != nil {
		return nil, "", fmt.Errorf("find the Gateway's program, run `make build` first: %w", err)
	}
	config, err := filepath.Abs(filepath.Join(gatewayFolder, "config.yaml"))
	if err != nil {
		return nil, "", fmt.Errorf("start the Gateway: %w", err)
	}
	limit, err := deployedMemoryLimit()
	if err != nil {
		return nil, "", err
	}
	token := dir.Join("token")
	if err := os.WriteFile(token, []byte("none"), 0o600); err != nil {
		return nil, "", fmt.Errorf("start the Gateway: %w", err)
	}
	process, err := supervise.Start(dir, supervise.Spec{
		Name: "gateway", Path: program, WorkingDir: dir.Path(),
		Args: []string{
			"serve", "--config=" + config, "--auth=none", "--listen=" + anyPort, "--management-listen=" + anyPort,
			"--kubeconfig=" + g.plane.Kubeconfig(), "--datastorage-url=" + g.dataStorageURL, "--datastorage-token-file=" + token,
			"--audit-spool=" + dir.Join("spool"),
		},
		Env: append(os.Environ(), "GOMEMLIMIT="+limit),
	})
	if err != nil {
		return nil, "", fmt.Errorf("start the Gateway: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := process.WaitFor(ctx, `"ready"`); err != nil {
		return nil, "", errors.Join(fmt.Errorf("start the Gateway: %w", err), end(ctx, process))
	}
	found := apiAddress.FindStringSubmatch(process.Output())
	if found == nil {
		return nil, "", errors.Join(fmt.Errorf("the Gateway did not say where its API is: %s", process.Output()), end(ctx, process))
	}
	return process, found[1] + signalsPath, nil
}

// apiAddress is in the message that the Gateway is ready.
var apiAddress = regexp.MustCompile(`"api":\s*"(http[^"]+)"`)

// end stops the process. What it had accepted last may be lost.
func end(ctx context.Context, process *supervise.Process) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopPatience)
	defer cancel()
	if err := process.Stop(ctx); err != nil {
		return fmt.Errorf("stop the Gateway: %w", err)
	}
	return nil
}

// deployedMemoryLimit is the GOMEMLIMIT of a deployed Gateway.
func deployedMemoryLimit() (string, error) {
	const file, variable = gatewayFolder + "/statefulset.yaml", "GOMEMLIMIT"
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("find how the Gateway is deployed: %w", err)
	}
	var set appsv1.StatefulSet
	if err := yaml.UnmarshalStrict(text, &set); err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	for i := range set.Spec.Template.Spec.Containers {
		for _, v := range set.Spec.Template.Spec.Containers[i].Env {
			if v.Name == variable {
				return v.Value, nil
			}
		}
	}
	return "", fmt.Errorf("read %s: no container has the variable %s", file, variable)
}

// peakMiB is the largest resident set that a process had.
func peakMiB(pid int) (float64, error) {
	file := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("read the peak of the Gateway's memory: %w", err)
	}
	found := peakLine.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("read the peak of the Gateway's memory: %s has no VmHWM", file)
	}
	kib, err := strconv.Atoi(string(found[1]))
	if err != nil {
		return 0, fmt.Errorf("read the peak of the Gateway's memory: %w", err)
	}
	return float64(kib) / 1024, nil
}

var peakLine = regexp.MustCompile(`VmHWM:\s*(\d+) kB`)

// floodRounds is for how many rounds a body is sent.
const floodRounds = 2

// flood sends a body from one connection, and then from many, and returns how
// often each status was the answer. The first is always read, also if the many
// take each other's memory.
func (g *gateways) flood(ctx context.Context, url string, body []byte) (string, error) {
	senders := newSenders(manySenders)
	defer senders.CloseIdleConnections()
	alone, answer, err := post(ctx, senders, url, body)
	if err != nil {
		return "", err
	}
	if alone == http.StatusServiceUnavailable {
		return "", fmt.Errorf("a body that comes alone was answered with %d: %s", alone, answer)
	}
	var mu sync.Mutex
	answers := map[int]int{alone: 1}
	group, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for range manySenders {
		group.Go(func() error {
			for time.Since(start) < floodRounds*g.round && ctx.Err() == nil {
				// The Gateway may end a connection whose upload it has no memory for: status 0.
				status, _, _ := post(ctx, senders, url, body)
				mu.Lock()
				answers[status]++
				mu.Unlock()
			}
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return "", err //nolint:wrapcheck // of the whole program
	}
	var text []string
	for _, status := range slices.Sorted(maps.Keys(answers)) {
		text = append(text, fmt.Sprintf("%d: %d", status, answers[status]))
	}
	return strings.Join(text, ", "), nil
}

// worstBodies are the most expensive ones that the limits of a Gateway allow.
func worstBodies(o gateway.Options) map[string][]byte {
	size, signals := int(o.MaxBodyBytes), o.MaxSignals
	const first = `{"status":"firing","labels":{"alertname":"A"}}`
	repeat := func(text string, bytes int) string { return strings.Repeat(text, bytes/len(text)) }
	each := func(labels func(alert int) string) string {
		var alerts strings.Builder
		for i := range signals {
			fmt.Fprintf(&alerts, `,{"status":"firing","labels":{"alertname":"A%d",%s}}`, i, labels(i))
		}
		return alerts.String()[1:]
	}
	large := `"x":"` + strings.Repeat("x", size/signals-100) + `"`
	var small strings.Builder
	for i := 0; small.Len() < size/signals-100; i++ {
		fmt.Fprintf(&small, `,"l%d":"v"`, i)
	}
	bodies := map[string]string{
		"alerts with a large label":      `{"alerts":[` + each(func(int) string { return large }) + `],"version":"4"}`,
		"alerts with many labels":        `{"alerts":[` + each(func(int) string { return small.String()[1:] }) + `],"version":"4"}`,
		"one alert with a large label":   `{"alerts":[{"status":"firing","labels":{"alertname":"A","x":"` + strings.Repeat("x", size-1000) + `"}}],"version":"4"}`,
		"one alert with many labels":     `{"alerts":[{"status":"firing","labels":{` + repeat(`"":"",`, size-1000) + `"alertname":"A"}}],"version":"4"}`,
		"many labels of the group":       `{"groupLabels":{` + repeat(`"":"",`, size-1000) + `"a":""},"alerts":[` + first + `],"version":"4"}`,
		"one alert before empty alerts":  `{"alerts":[` + first + repeat(`,{}`, size-1000) + `],"version":"4"}`,
		"a body of nothing but brackets": repeat(`[`, size),
	}
	all := make(map[string][]byte, len(bodies))
	for name, body := range bodies {
		all[name] = []byte(body)
	}
	return all
}
