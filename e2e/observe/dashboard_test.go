package observe

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/config"
)

const dashboardFile = "grafana/region-latency.json"

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := config.Observability.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func shipped(t *testing.T) *Dashboard {
	t.Helper()
	d, err := ReadDashboard(read(t, dashboardFile))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDashboardBelongsToNoDataSource(t *testing.T) {
	d, want := shipped(t), Source{"prometheus", "${datasource}"}
	if d.UID != "" {
		t.Errorf("the dashboard has the uid %q: two imports would collide", d.UID)
	}
	for _, p := range d.All() {
		if p.Type != "row" && p.Datasource != want {
			t.Errorf("panel %q: %+v", p.Title, p.Datasource)
		}
		for _, target := range p.Targets {
			if target.Datasource != want {
				t.Errorf("panel %q %s: %+v", p.Title, target.RefID, target.Datasource)
			}
		}
	}
	for _, a := range d.Annotations.List {
		if a.BuiltIn == 0 && a.Datasource != want {
			t.Errorf("annotation %q: %+v", a.Name, a.Datasource)
		}
	}
	chosen := false
	for _, v := range d.Templating.List {
		chosen = chosen || v.Name == "datasource" && v.Type == "datasource"
		if v.Type == "query" && v.Datasource != want {
			t.Errorf("variable %q: %+v", v.Name, v.Datasource)
		}
	}
	if !chosen {
		t.Error("no variable lets one choose the data source")
	}
}

func TestDashboardPanelsAreWholeAndLieApart(t *testing.T) {
	d := shipped(t)
	if d.SchemaVersion < 39 {
		t.Errorf("schemaVersion %d is older than Grafana 10", d.SchemaVersion)
	}
	ids, taken := map[int]string{}, map[[2]int]string{}
	for _, p := range d.All() {
		if other, ok := ids[p.ID]; ok || p.ID == 0 {
			t.Errorf("%q and %q have the id %d", p.Title, other, p.ID)
		}
		ids[p.ID] = p.Title
		if p.Type != "row" && (len(p.Targets) == 0 || p.Description == "") {
			t.Errorf("panel %q asks nothing or does not say what it shows", p.Title)
		}
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("panel %q lies at %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					t.Fatalf("%q lies over %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
}

func TestQueriesComeFromPanelsRowsAnnotationsAndVariables(t *testing.T) {
	d, err := ReadDashboard([]byte(`{
	  "panels": [{"type": "row", "panels": [{"title": "In", "targets": [{"refId": "A", "expr": "a", "legendFormat": "{{from}} → {{ to }}"}]}]},
	    {"title": "Out", "targets": [{"refId": "A", "expr": "b"}, {"refId": "B", "expr": "c"}], "transformations": [{"options": {"rowField": "x", "columnField": "y"}}]}],
	  "annotations": {"list": [{"builtIn": 1, "name": "own"}, {"name": "Moves", "expr": "d", "titleFormat": "{{service}}", "textFormat": "{{cause}}"}]},
	  "templating": {"list": [{"name": "datasource", "type": "datasource"}, {"name": "who", "type": "query", "definition": "label_values(m, who)"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Query{
		{`panel "In" A`, "a", []string{"from", "to"}}, {`panel "Out" A`, "b", []string{"x", "y"}}, {`panel "Out" B`, "c", []string{"x", "y"}},
		{`annotation "Moves"`, "d", []string{"service", "cause"}}, {Where: `variable "who"`, Expr: "label_values(m, who)"},
	}
	if diff := cmp.Diff(want, d.Queries()); diff != "" {
		t.Error(diff)
	}
	if metric, label, ok := d.Queries()[4].LabelValues(); metric != "m" || label != "who" || !ok {
		t.Error(metric, label, ok)
	}
}

func TestVariablesAreFilledInOrNamed(t *testing.T) {
	q := Query{Where: "w", Expr: `rate(m{a=~"$who"}[$__rate_interval]) offset ${__range}`}
	got, err := q.Fill(map[string]string{"who": ".*", "__rate_interval": "4s", "__range": "1m"})
	if want := `rate(m{a=~".*"}[4s]) offset 1m`; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := q.Fill(map[string]string{"who": ".*", "__range": "1m"}); err == nil || !strings.Contains(err.Error(), "$__rate_interval") {
		t.Errorf("the unknown variable is not named: %v", err)
	}
}

func TestRulesSayWhatHasHappenedAndWhatToDo(t *testing.T) {
	page, err := os.ReadFile("../../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		alerts++
		if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || len(r.Annotations["description"]) < 80 {
			t.Errorf("%s lacks severity, summary or a description of what to do: %v", r.Alert, r)
		}
		if !strings.Contains(string(page), "`"+r.Alert+"`") {
			t.Errorf("docs/observability.md does not have %s", r.Alert)
		}
	}
	if alerts == 0 {
		t.Error("no alert was read")
	}
}
