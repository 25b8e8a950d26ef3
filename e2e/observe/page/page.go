package page

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric is what a registry says of one of its metrics.
type Metric struct {
	Name, Unit, Help string
	Labels           []string
}

var descText = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: ("(?:[^"\\]|\\.)*"), (?:unit: "[^"]*", )?constLabels: \{.*\}, variableLabels: \{(.*)\}\}$`)

// Metrics are our own of what is registered, by name. A description that cannot be read is
// an error: it would be missing from the page.
func Metrics(registered prometheus.Collector) ([]Metric, error) {
	descs := make(chan *prometheus.Desc)
	go func() { defer close(descs); registered.Describe(descs) }()
	var out []Metric
	var unread error
	for d := range descs {
		m := descText.FindStringSubmatch(d.String())
		switch {
		case m == nil:
			unread = fmt.Errorf("no metric's description: %s", d)
		case strings.HasPrefix(m[1], "causeway_"):
			out = append(out, metric(m))
		}
	}
	slices.SortFunc(out, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	return out, unread
}

func metric(m []string) Metric {
	help := strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(strings.Trim(m[2], `"`))
	one := Metric{Name: m[1], Unit: unit(m[1]), Help: help}
	if m[3] != "" {
		one.Labels = strings.Split(m[3], ",")
	}
	return one
}

// unit reads a name's end, as Prometheus' conventions have it.
func unit(name string) string {
	counter := ""
	if cut, ok := strings.CutSuffix(name, "_total"); ok {
		name, counter = cut, ", counted up"
	}
	for suffix, unit := range map[string]string{"_seconds": "seconds", "_bytes": "bytes", "_ratio": "0 to 1", "_state": "0 or 1", "_info": "1"} {
		if strings.HasSuffix(name, suffix) {
			return unit + counter
		}
	}
	return "count" + counter
}

// Table is the metrics as the page shows them.
func Table(metrics []Metric) string {
	escape := strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;")
	out := "| metric | labels | unit | meaning |\n|---|---|---|---|\n"
	for _, m := range metrics {
		labels := ""
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "`, `") + "`"
		}
		out += fmt.Sprintf("| `%s` | %s | %s | %s |\n", m.Name, labels, m.Unit, escape.Replace(m.Help))
	}
	return out
}

// Section cuts what lies between `<!-- metrics of NAME -->` and `<!-- end -->` out of a
// page, and tells what surrounds it.
func Section(page, name string) (before, table, after string, err error) {
	begin, end := "<!-- metrics of "+name+" -->\n", "<!-- end -->"
	before, rest, ok := strings.Cut(page, begin)
	table, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return "", "", "", fmt.Errorf("the page has no section between %q and %q", strings.TrimSpace(begin), end)
	}
	return before + begin, table, end + after, nil
}
