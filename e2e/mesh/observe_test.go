package mesh_test

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/e2e/observe"
)

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
