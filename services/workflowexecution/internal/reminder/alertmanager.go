package reminder

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"kubernaut.ai/internal/cli"
)

const (
	// postTimeout bounds a post, with its connection.
	postTimeout = 10 * time.Second
	// maxQueued bounds the alerts that wait to be posted.
	maxQueued = 256
	// maxTokenBytes and maxAnswer bound what is read of a token's file and of an answer.
	maxTokenBytes = 64 << 10
	maxAnswer     = 1 << 10
)

// The results of an alert.
const (
	resultSent    = "sent"
	resultFailed  = "failed"
	resultDropped = "dropped"
)

// Flags say where Alertmanager is. Without an URL, no alert is posted.
type Flags struct {
	// URL is the base URL of Alertmanager.
	URL string
	// TokenFile holds the bearer token, and CAFile the authorities that may have signed its
	// certificate. Both are read for each post; empty means no token, and the system's authorities.
	TokenFile, CAFile string
}

// Declare declares --alertmanager-url, --alertmanager-token-file and --alertmanager-ca-file.
// The files are paths, not secrets.
func (f *Flags) Declare(flags *cli.Flags) {
	flags.String(&f.URL, "alertmanager-url", "", "URL of an Alertmanager that is told of proposals that nobody decides on; none: no alerts")
	flags.String(&f.TokenFile, "alertmanager-token-file", "", "file with the bearer token for Alertmanager, read for each post; none: send no token")
	flags.String(&f.CAFile, "alertmanager-ca-file", "", "PEM file with the authority of Alertmanager's certificate, read for each post; none: the system's")
}

// Check checks the flags. The error is a *cli.UsageError that names the flag.
func (f *Flags) Check() error {
	if f.URL == "" {
		if f.TokenFile != "" || f.CAFile != "" {
			return cli.Usagef("--alertmanager-token-file and --alertmanager-ca-file need --alertmanager-url")
		}
		return nil
	}
	u, err := url.Parse(f.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return cli.Usagef("--alertmanager-url: want a base URL without credentials, as in http://alertmanager.monitoring:9093")
	}
	if f.TokenFile != "" {
		if _, err := token(f.TokenFile); err != nil {
			return cli.Usagef("--alertmanager-token-file: %w", err)
		}
	}
	if f.CAFile != "" {
		if u.Scheme != "https" {
			return cli.Usagef("--alertmanager-ca-file needs an https URL in --alertmanager-url")
		}
		if _, err := authorities(f.CAFile); err != nil {
			return cli.Usagef("--alertmanager-ca-file: %w", err)
		}
	}
	return nil
}

// alert is an alert as the API v2 of Alertmanager takes it.
type alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
}

// Alertmanager posts alerts. Whoever has one to post never waits for it.
type Alertmanager struct {
	flags     Flags
	userAgent string
	log       *zap.Logger
	queue     chan alert
	results   *prometheus.CounterVec
	failing   bool // the last post failed; only Run uses it
}

// NewAlertmanager makes a client, and registers its metric. The flags are checked.
func NewAlertmanager(flags Flags, userAgent string, log *zap.Logger, registerer prometheus.Registerer) (*Alertmanager, error) {
	a := &Alertmanager{
		flags: flags, userAgent: userAgent, log: log, queue: make(chan alert, maxQueued),
		results: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "workflowexecution_reminder_alerts_total",
			Help: "Alerts about proposals that wait, by result (sent, failed, or dropped because too many wait to be posted).",
		}, []string{"result"}),
	}
	for _, result := range []string{resultSent, resultFailed, resultDropped} {
		a.results.WithLabelValues(result).Add(0)
	}
	if err := registerer.Register(a.results); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return a, nil
}

// Run posts alerts until ctx ends.
func (a *Alertmanager) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case first := <-a.queue:
			batch := []alert{first}
			for len(a.queue) > 0 {
				batch = append(batch, <-a.queue)
			}
			a.tell(ctx, len(batch), a.post(ctx, batch))
		}
	}
}

// send leaves an alert to Run. It is posted again at each later look at the proposal, so that
// one that is dropped, or that Alertmanager does not take, is only late.
func (a *Alertmanager) send(one alert) {
	if a.flags.URL == "" {
		return
	}
	select {
	case a.queue <- one:
	default:
		a.results.WithLabelValues(resultDropped).Inc()
	}
}

// tell counts a post, and logs the first failure and its end.
func (a *Alertmanager) tell(ctx context.Context, alerts int, err error) {
	result := resultSent
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		result = resultFailed
		if !a.failing {
			a.log.Warn("Alertmanager is not told of proposals that wait: check --alertmanager-url, its token and its certificate; it is tried again every minute",
				zap.String("url", a.flags.URL), zap.Error(err))
		}
	case a.failing:
		a.log.Info("Alertmanager is told of proposals that wait again", zap.String("url", a.flags.URL))
	}
	a.failing = err != nil
	a.results.WithLabelValues(result).Add(float64(alerts))
}

// post posts alerts. Posts are rare, so each has its own connection.
func (a *Alertmanager) post(ctx context.Context, alerts []alert) error {
	body, err := json.Marshal(alerts)
	if err != nil {
		return fmt.Errorf("encode alerts: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	address, err := url.JoinPath(a.flags.URL, "api/v2/alerts")
	if err != nil {
		return fmt.Errorf("post alerts: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post alerts: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", a.userAgent)
	if a.flags.TokenFile != "" {
		text, err := token(a.flags.TokenFile)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer "+text)
	}
	client, err := a.client()
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("post alerts: %w", err)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("post alerts: read the answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("post alerts: %s: %q", response.Status, answer)
	}
	return nil
}

func (a *Alertmanager) client() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.flags.CAFile != "" {
		pool, err := authorities(a.flags.CAFile)
		if err != nil {
			return nil, err
		}
		config.RootCAs = pool
	}
	return &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true},
		// A redirected POST may arrive as a GET; the server is where it was configured to be.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

func token(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxTokenBytes))
	if err = errors.Join(err, file.Close()); err != nil {
		return "", fmt.Errorf("read token: %w", err)
	}
	found := strings.TrimSpace(string(text))
	if found == "" {
		return "", fmt.Errorf("token file %s is empty", path)
	}
	return found, nil
}

func authorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s contains no PEM certificate", path)
	}
	return pool, nil
}
