package page

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

func TestTableTellsWhatIsRegistered(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		prometheus.NewCounterVec(prometheus.CounterOpts{Name: "causeway_b_bytes_total", Help: `So "many" <bytes>, a|b.`}, []string{"from", "to"}),
		prometheus.NewHistogram(prometheus.HistogramOpts{Name: "causeway_a_seconds", Help: "How long."}),
		prometheus.NewGauge(prometheus.GaugeOpts{Name: "go_thing", Help: "Not ours."}),
	)
	metrics, err := Metrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	want := "| metric | labels | unit | meaning |\n|---|---|---|---|\n" +
		"| `causeway_a_seconds` |  | seconds | How long. |\n" +
		"| `causeway_b_bytes_total` | `from`, `to` | bytes, counted up | So \"many\" &lt;bytes&gt;, a\\|b. |\n"
	if diff := cmp.Diff(want, Table(metrics)); diff != "" {
		t.Error(diff)
	}
}

func TestSectionIsCutOutOfThePage(t *testing.T) {
	page := "above\n<!-- metrics of x -->\ntable\n<!-- end -->\nbelow\n"
	before, table, after, err := Section(page, "x")
	if err != nil || table != "table\n" || before+table+after != page {
		t.Errorf("%q %q %q %v", before, table, after, err)
	}
	if _, _, _, err := Section(page, "y"); err == nil {
		t.Error("a section that is not there was found")
	}
}
