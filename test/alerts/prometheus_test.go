package alerts_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

const (
	// interval is that of the PodMonitor, between scrapes and between evaluations.
	interval = 30 * time.Second
	// seldom is for specs that take many scrapes. The shortest range of a rule, and a look back, have two of them.
	seldom = 2 * time.Minute
	// widest is the longest range of a rule, with one exception.
	widest = time.Hour
	// quietTime is longer than any rule waits, with its range.
	quietTime = widest + 20*time.Minute

	lookback       = 5 * time.Minute // Prometheus' default
	maxSamples     = 1_000_000
	blockSpan      = 240 * time.Hour // one block: nothing is compacted
	scrapesTimeout = 10 * time.Second
)

// target is something with metrics.
type target struct {
	url    string
	labels map[string]string // as the relabeling of its PodMonitor makes them
	client *http.Client

	series map[string]labels.Labels // of the last scrape
}

// monitor is a Prometheus whose time the spec decides.
type monitor struct {
	site   *siteState
	now    time.Time
	every  time.Duration // between scrapes and between evaluations
	db     *tsdb.DB
	groups []*rules.Group
	names  map[string]bool // of the metrics seen
	kept   map[string]bool // of the metrics that rules select; others are not stored
}

// watch makes a Prometheus that scrapes a site, from now on, and evaluates the rules of
// some alerts. Without any, it evaluates all.
func watch(ctx context.Context, s *siteState, alerts ...string) *monitor {
	GinkgoHelper()
	options := tsdb.DefaultOptions()
	options.MinBlockDuration, options.MaxBlockDuration = blockSpan.Milliseconds(), blockSpan.Milliseconds()
	db, err := tsdb.Open(GinkgoT().TempDir(), promslog.NewNopLogger(), prometheus.NewRegistry(), options, nil)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(db.Close)
	language := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{
		Logger: promslog.NewNopLogger(), MaxSamples: maxSamples, Timeout: time.Minute, LookbackDelta: lookback,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: language,
	})
	DeferCleanup(engine.Close)
	manager := rules.NewManager(&rules.ManagerOptions{
		NameValidationScheme: model.UTF8Validation, ExternalURL: &url.URL{}, QueryFunc: rules.EngineQueryFunc(engine, db),
		NotifyFunc: func(context.Context, string, ...*rules.Alert) {}, Context: context.WithoutCancel(ctx),
		AppendableV2: db, Queryable: db, Registerer: prometheus.NewRegistry(), Parser: language,
		Logger: promslog.NewNopLogger(), // step checks the rules' errors
	})
	groups, errs := manager.LoadGroups(interval, labels.EmptyLabels(), "", nil, false, ruleFile(alerts...))
	Expect(errs).To(BeEmpty())
	m := &monitor{site: s, now: time.Now(), every: interval, db: db, names: map[string]bool{}, kept: map[string]bool{}}
	for _, group := range groups {
		m.groups = append(m.groups, group)
		for _, rule := range group.Rules() {
			for _, name := range selected(rule.Query()) {
				m.kept[name] = true
			}
		}
	}
	return m
}

// step scrapes everything, evaluates all rules, and advances the time, which the clocks of
// the site follow.
func (m *monitor) step(ctx context.Context) {
	GinkgoHelper()
	appender := m.db.AppenderV2(ctx)
	for _, t := range m.site.targets() {
		m.scrape(ctx, appender, t)
	}
	Expect(appender.Commit()).To(Succeed())
	for _, group := range m.groups {
		group.Eval(ctx, m.now)
		for _, rule := range group.Rules() {
			Expect(rule.LastError()).NotTo(HaveOccurred(), rule.Name())
		}
	}
	m.now = m.now.Add(m.every)
	m.site.advance(m.every)
}

// scrape stores the samples of a target, and marks as stale what it has no more.
func (m *monitor) scrape(ctx context.Context, appender storage.AppenderV2, t *target) {
	GinkgoHelper()
	at := m.now.UnixMilli()
	put := func(series labels.Labels, v float64) {
		GinkgoHelper()
		_, err := appender.Append(0, series, 0, at, v, nil, nil, storage.AppendV2Options{})
		Expect(err).NotTo(HaveOccurred(), series.String())
	}
	up, before := 1.0, t.series
	t.series = map[string]labels.Labels{}
	text, kind, err := t.read(ctx)
	if err != nil {
		up = 0
	} else {
		t.parse(text, kind, m.keeps, put)
	}
	for key, series := range before {
		if _, there := t.series[key]; !there {
			put(series, math.Float64frombits(value.StaleNaN))
		}
	}
	if m.keeps("up") {
		put(t.labeled(labels.FromStrings(model.MetricNameLabel, "up")), up)
	}
}

// keeps notes a metric, and reports whether a rule selects it.
func (m *monitor) keeps(name string) bool {
	m.names[name] = true
	return m.kept[name]
}

// read asks for the metrics as Prometheus does.
func (t *target) read(ctx context.Context) (text []byte, kind string, err error) {
	ctx, cancel := context.WithTimeout(ctx, scrapesTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, t.url, nil)
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Accept", "text/plain;version=0.0.4")
	request.Header.Set("Accept-Encoding", "identity") // cheaper on one machine
	response, err := t.client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, "", errors.New(response.Status)
	}
	text, err = io.ReadAll(response.Body)
	return text, response.Header.Get("Content-Type"), err
}

// parse reports the samples of an answer that are kept: the API server has thousands.
func (t *target) parse(text []byte, kind string, keeps func(name string) bool, put func(labels.Labels, float64)) {
	GinkgoHelper()
	p, err := textparse.New(kept(text, keeps), kind, labels.NewSymbolTable(), textparse.ParserOptions{FallbackContentType: "text/plain"})
	Expect(err).NotTo(HaveOccurred())
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		Expect(err).NotTo(HaveOccurred())
		if entry != textparse.EntrySeries {
			continue
		}
		var series labels.Labels
		p.Labels(&series)
		_, _, v := p.Series()
		series = t.labeled(series)
		t.series[series.String()] = series
		put(series, v)
	}
}

// kept are the lines of the samples that are kept. The parser takes as long for the others as for these.
func kept(text []byte, keeps func(name string) bool) []byte {
	var lines []byte
	for line := range bytes.Lines(text) {
		if line[0] == '#' {
			continue
		}
		if end := bytes.IndexAny(line, "{ "); end > 0 && keeps(string(line[:end])) {
			lines = append(lines, line...)
		}
	}
	return lines
}

// labeled adds the target's labels. What the target itself says under these names is
// renamed, as Prometheus does without honor_labels.
func (t *target) labeled(series labels.Labels) labels.Labels {
	builder := labels.NewBuilder(series)
	for name, v := range t.labels {
		if own := series.Get(name); own != "" {
			builder.Set(model.ExportedLabelPrefix+name, own)
		}
		builder.Set(name, v)
	}
	return builder.Labels()
}
