package mesh_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/causeway-mesh/causeway/config"
	"github.com/causeway-mesh/causeway/e2e/mesh"
	"github.com/causeway-mesh/causeway/e2e/observe"
	"github.com/causeway-mesh/causeway/e2e/testbed"
)

const (
	prometheusAddr = "127.0.0.1:9090" // inside the observer's site
	proxyAddr      = "127.0.0.1:9091"
	// scrapeEvery is also the step of ranges and the rules' period. A rate looks at some
	// scrapes, as Grafana's $__rate_interval does.
	scrapeEvery  = time.Second
	rateInterval = "5s"
	// dataLimit bounds how long a healthy federation may take to have answers for all.
	dataLimit = 20 * time.Second
)

// watch is a Prometheus beside the federation, from began on.
type watch struct {
	*observe.API
	began time.Time
	// stop ends Prometheus; a second call does nothing.
	stop func()
}

// newWatch starts Prometheus in eu-west's site. It scrapes all three clusters there, through
// a proxy of this program that dials each target in the site that has its address: plain
// HTTP never crosses between clusters.
func (s *scene) newWatch(t *testing.T) *watch {
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("prometheus is not on PATH: apt-get install prometheus, or run `make prometheus`")
	}
	site := s.world.Clusters["eu-west"].Site
	s.scrapeProxy(t, site)
	dir := t.TempDir()
	process, err := s.world.StartProcess(site, testbed.Command{
		Name: "prometheus", Path: path, Env: []string{"GOMAXPROCS=1"},
		Args: []string{
			"--config.file", s.scrapeConfig(t, dir), "--storage.tsdb.path", filepath.Join(dir, "data"),
			"--web.listen-address", prometheusAddr, "--log.level", "warn",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Stop) // it holds files below dir
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: site.Dial}}
	t.Cleanup(client.CloseIdleConnections)
	w := &watch{&observe.API{Base: "http://" + prometheusAddr, HTTP: client}, time.Now(), process.Stop}
	eventually(t, dataLimit, func() string {
		if !process.Running() {
			t.Fatal(process.Err())
		}
		targets, err := w.Targets(t.Context())
		return s.unscraped(targets, err)
	})
	return w
}

// unscraped says what is missing of every operator and gateway being scraped.
func (s *scene) unscraped(targets []observe.ScrapedTarget, err error) string {
	if err != nil {
		return err.Error()
	}
	for _, target := range targets {
		if target.Health != "up" {
			return fmt.Sprintf("%s is %s: %s", target.ScrapeURL, target.Health, target.LastError)
		}
	}
	if want := len(s.world.Clusters) * 2 * mesh.Replicas; len(targets) != want {
		return fmt.Sprintf("%d targets are scraped, want the %d operators and gateways", len(targets), want)
	}
	return ""
}

// scrapeProxy is an HTTP proxy at the site that dials from inside the cluster it dials to.
func (s *scene) scrapeProxy(t *testing.T, at *testbed.Site) {
	l, err := at.Listen("tcp", proxyAddr)
	if err != nil {
		t.Fatal(err)
	}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		target, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, err
		}
		for _, c := range s.world.Clusters {
			if c.Site.Prefix.Contains(target.Addr()) {
				return c.Site.Dial(ctx, network, addr)
			}
		}
		return nil, fmt.Errorf("%s is in no cluster", addr)
	}
	transport := &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 2}
	server := &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: func(*httputil.ProxyRequest) {}, Transport: transport,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}}
	done := make(chan struct{}) // closed once Serve has returned
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done; transport.CloseIdleConnections() })
}

// scrapeConfig writes the sample configuration with the real pods as the API servers tell
// them, and the shipped rules.
func (s *scene) scrapeConfig(t *testing.T, dir string) string {
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	at := observe.Place{
		Rules: write("rules.yaml", shipped(t, "prometheus/causeway-rules.yaml")), Proxy: "http://" + proxyAddr, Interval: scrapeEvery.String(),
	}
	for name, c := range s.world.Clusters {
		pods, err := c.Client().CoreV1().Pods(mesh.Namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		targets, err := observe.Targets(pods.Items)
		if err != nil {
			t.Fatal(err)
		}
		at.Clusters = append(at.Clusters, observe.Cluster{Name: name, Targets: write(name+".json", targets)})
	}
	conf, err := observe.Configure(shipped(t, "prometheus/causeway.yaml"), at)
	if err != nil {
		t.Fatal(err)
	}
	return write("prometheus.yaml", conf)
}

func shipped(t *testing.T, name string) []byte {
	t.Helper()
	data, err := config.Observability.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func dashboard(t *testing.T) []observe.Query {
	t.Helper()
	d, err := observe.ReadDashboard(shipped(t, "grafana/region-latency.json"))
	if err != nil {
		t.Fatal(err)
	}
	return d.Queries()
}

// needFault are the queries that have an answer only once something has gone wrong.
func needFault() []string {
	return []string{
		`panel "Failover timeline" A`, `panel "Failovers since the operators began" A`, `annotation "Failovers"`, `annotation "Alerts"`,
		`panel "Failed attempts of gateways to connect" A`, `panel "Failed dials of tunnels" A`,
	}
}

// ask puts a query of the dashboard, over all the time that was watched; trouble says why
// the answer is not what its panel needs.
func (w *watch) ask(t *testing.T, q observe.Query) (trouble string) {
	t.Helper()
	if metric, label, ok := q.LabelValues(); ok {
		values, err := w.LabelValues(t.Context(), metric, label)
		if err != nil {
			t.Fatalf("%s: %v", q.Where, err)
		}
		if slices.Sort(values); !slices.Equal(values, []string{"eu-west", "us-east", "us-west"}) {
			return fmt.Sprintf("%s offers %v", q.Where, values)
		}
		return ""
	}
	expr, err := q.Fill(map[string]string{
		"observer": ".*", "__interval": scrapeEvery.String(), "__rate_interval": rateInterval, "__range": "1m",
	})
	if err != nil {
		t.Fatal(err)
	}
	series, err := w.Range(t.Context(), expr, w.began, time.Now(), scrapeEvery)
	if err != nil {
		t.Fatalf("%s: %v", q.Where, err)
	}
	if len(series) == 0 {
		return fmt.Sprintf("%s has no data: %s", q.Where, expr)
	}
	for _, label := range q.Labels {
		if series[0][label] == "" {
			return fmt.Sprintf("%s shows the label %s, which %v lacks", q.Where, label, series[0])
		}
	}
	return ""
}

// watches proves what must have data in a healthy federation.
func (w *watch) watches(t *testing.T) {
	asked := 0
	for _, q := range dashboard(t) {
		if slices.Contains(needFault(), q.Where) {
			continue
		}
		asked++
		eventually(t, dataLimit, func() string { return w.ask(t, q) })
	}
	for _, pair := range w.rtts(t) {
		t.Log(pair)
	}
	for _, r := range w.rules(t) {
		for _, a := range r.Alerts {
			if a.State == "firing" && a.Labels["severity"] != "info" {
				t.Errorf("all is well and %s fires: %v", r.Name, a)
			}
		}
	}
	t.Logf("%d queries of the dashboard have data", asked)
}

// rtts are the directed pairs of regions, of which the heat map must have every one.
func (w *watch) rtts(t *testing.T) []string {
	t.Helper()
	var pairs []string
	eventually(t, dataLimit, func() string {
		series, err := w.Range(t.Context(), "max by (from, to) (causeway_engine_region_rtt_seconds)", w.began, time.Now(), scrapeEvery)
		if err != nil {
			return err.Error()
		}
		pairs = pairs[:0]
		for _, s := range series {
			pairs = append(pairs, s["from"]+" → "+s["to"])
		}
		if len(pairs) != 6 {
			return fmt.Sprintf("the heat map has %v, want 6 directed pairs", pairs)
		}
		return ""
	})
	return pairs
}

func (w *watch) rules(t *testing.T) []observe.Rule {
	t.Helper()
	rules, err := w.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(rules) == 0 {
		t.Fatal("Prometheus has no rules")
	}
	return rules
}

// metricNames finds our metrics and recorded rules in an expression.
var metricNames = regexp.MustCompile(`\bcauseway[_:][a-z0-9_:]+`)

// watched proves the rest, after neighbours have cut off a region, stopped its gateways
// and its API server. It is the last question: what comes after has the machine to itself.
func (w *watch) watched(t *testing.T) {
	defer w.stop()
	for _, q := range dashboard(t) {
		if trouble := w.ask(t, q); trouble != "" {
			t.Error(trouble)
		}
	}
	fired := map[string]bool{}
	for _, r := range w.rules(t) {
		if r.Health != "ok" {
			t.Errorf("rule %s is %s: %s", r.Name, r.Health, r.LastError)
		}
		w.measured(t, r)
		for _, s := range w.over(t, `ALERTS{alertname="`+r.Name+`"}`) {
			fired[s["alertname"]] = true
		}
	}
	for _, name := range []string{"CausewayPeerDead", "CausewayPeerControlPlaneDown", "CausewayFailover"} {
		if !fired[name] {
			t.Errorf("%s was never true", name)
		}
	}
	w.onPage(t)
	causes := w.over(t, `sum by (from, cause) (causeway_engine_failovers_total{observer="eu-west", service="shop/checkout:80"})`)
	if !slices.ContainsFunc(causes, func(s observe.Series) bool { return s["from"] == "us-east" && strings.HasSuffix(s["cause"], "Down") }) {
		t.Errorf("no failover away from a dead us-east was counted: %v", causes)
	}
	t.Logf("true at some time: %v; failovers: %v", fired, causes)
}

// onPage: everything of ours that was scraped is on the page of metrics.
func (w *watch) onPage(t *testing.T) {
	t.Helper()
	page, err := os.ReadFile("../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	names, err := w.LabelValues(t.Context(), `{__name__=~"causeway_.+"}`, "__name__")
	if err != nil || len(names) == 0 {
		t.Fatalf("no metric of ours was scraped: %v", err)
	}
	for _, name := range names {
		row := func(name string) bool { return bytes.Contains(page, []byte("| `"+name+"` |")) }
		if !row(name) && !row(histogramPart.ReplaceAllString(name, "")) {
			t.Errorf("docs/observability.md does not have %s", name)
		}
	}
}

// histogramPart is what a histogram adds to its name.
var histogramPart = regexp.MustCompile(`_(bucket|sum|count)$`)

// measured: each metric that a rule speaks of exists, and what it records has values.
func (w *watch) measured(t *testing.T, r observe.Rule) {
	t.Helper()
	names := metricNames.FindAllString(r.Query, -1)
	if r.Type == "recording" {
		names = append(names, r.Name)
	}
	if len(names) == 0 {
		t.Errorf("rule %s speaks of no metric of ours: %s", r.Name, r.Query)
	}
	for _, name := range names {
		if len(w.over(t, name)) == 0 {
			t.Errorf("rule %s speaks of %s, which nothing exposes", r.Name, name)
		}
	}
	for _, a := range r.Alerts {
		if text := fmt.Sprint(a.Annotations); strings.Contains(text, "<error") || strings.Contains(text, "<no value>") {
			t.Errorf("rule %s tells %s", r.Name, text)
		}
	}
}

// over asks over all the time that was watched.
func (w *watch) over(t *testing.T, expr string) []observe.Series {
	t.Helper()
	series, err := w.Range(t.Context(), expr, w.began, time.Now(), scrapeEvery)
	if err != nil {
		t.Fatal(err)
	}
	return series
}
