package alertmanager

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"time"

	"kubernaut.ai/internal/devstack/supervise"
)

const (
	program = "prometheus-alertmanager"
	// patience bounds its start.
	patience = 30 * time.Second
)

// listening is what the program logs once it answers, with the port that it chose.
var listening = regexp.MustCompile(`msg="Listening on" address=(127\.0\.0\.1:\d+)`)

// settings notify a receiver at once, and of each change after a second.
const settings = `{
  "route": {"receiver": "spec", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"},
  "receivers": [{"name": "spec", "webhook_configs": [{"url": %q, "send_resolved": true}]}]
}`

// Server is a real Alertmanager, from Debian's package prometheus-alertmanager.
type Server struct {
	// URL of its API.
	URL string

	dir  *supervise.Dir
	proc *supervise.Process
}

// StartServer starts an Alertmanager that notifies a webhook.
func StartServer(ctx context.Context, webhook string) (*Server, error) {
	dir, err := supervise.Temporary(ctx, "alertmanager")
	if err != nil {
		return nil, fmt.Errorf("prepare Alertmanager: %w", err)
	}
	s := &Server{dir: dir}
	if err := s.start(ctx, webhook); err != nil {
		return nil, errors.Join(err, s.Stop(ctx))
	}
	return s, nil
}

// Stop ends it and removes its folder.
func (s *Server) Stop(ctx context.Context) error {
	var err error
	if s.proc != nil {
		err = s.proc.Stop(ctx)
	}
	return errors.Join(err, s.dir.Close())
}

// Shown is an alert as its API shows it.
type Shown struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Status      struct {
		State string `json:"state"`
	} `json:"status"`
}

// Alerts are the alerts with a label that fire, according to its API.
func (s *Server) Alerts(ctx context.Context, label, value string) ([]Shown, error) {
	address := s.URL + "/api/v2/alerts?filter=" + url.QueryEscape(fmt.Sprintf("%s=%q", label, value))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask Alertmanager: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask Alertmanager: %w", err)
	}
	var alerts []Shown
	err = errors.Join(json.NewDecoder(response.Body).Decode(&alerts), response.Body.Close())
	if err != nil || response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask Alertmanager: %s: %w", response.Status, err)
	}
	return alerts, nil
}

func (s *Server) start(ctx context.Context, webhook string) error {
	config := s.dir.Join("alertmanager.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, settings, webhook), 0o600); err != nil {
		return fmt.Errorf("configure Alertmanager: %w", err)
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return fmt.Errorf("start Alertmanager: install the package %s: %w", program, err)
	}
	s.proc, err = supervise.Start(s.dir, supervise.Spec{Name: program, Path: path, Args: []string{
		"--config.file=" + config, "--storage.path=" + s.dir.Join("data"), "--web.listen-address=127.0.0.1:0", "--cluster.listen-address=",
	}})
	if err != nil {
		return fmt.Errorf("start Alertmanager: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.proc.WaitFor(ctx, `msg="Listening on"`); err != nil {
		return fmt.Errorf("start Alertmanager: %w", err)
	}
	found := listening.FindStringSubmatch(s.proc.Output())
	if found == nil {
		return fmt.Errorf("start Alertmanager: it does not say where it listens%s", s.proc.LastLines())
	}
	s.URL = "http://" + found[1]
	return nil
}
