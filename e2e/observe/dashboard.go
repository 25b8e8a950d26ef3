package observe

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// Query is one question that a dashboard asks.
type Query struct {
	// Where says whose it is: `panel "Loss" A`, `annotation "Failovers"`, `variable "observer"`.
	Where string
	// Expr is PromQL as it stands in the file, or a variable's label_values(…).
	Expr string
	// Labels are those that legends, texts and transformations take from each series.
	Labels []string
}

// Dashboard is what we read of Grafana's JSON.
type Dashboard struct {
	UID           string  `json:"uid"`
	SchemaVersion int     `json:"schemaVersion"`
	Panels        []Panel `json:"panels"`
	Annotations   struct {
		List []Annotation `json:"list"`
	} `json:"annotations"`
	Templating struct {
		List []Variable `json:"list"`
	} `json:"templating"`
}

// Source names a data source.
type Source struct{ Type, UID string }

// Panel is one panel; a collapsed row holds others.
type Panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	GridPos     struct{ X, Y, W, H int }
	Datasource  Source   `json:"datasource"`
	Panels      []Panel  `json:"panels"`
	Targets     []Target `json:"targets"`
	// Transformations name fields of a table by their labels.
	Transformations []struct {
		Options struct{ RowField, ColumnField string }
	} `json:"transformations"`
}

// Target is one query of a panel.
type Target struct {
	RefID        string `json:"refId"`
	Expr         string `json:"expr"`
	LegendFormat string `json:"legendFormat"`
	Datasource   Source `json:"datasource"`
}

// Annotation marks moments on every panel. BuiltIn is Grafana's own, without a query.
type Annotation struct {
	Name, Expr, TitleFormat, TextFormat string
	BuiltIn                             int
	Datasource                          Source
}

// Variable is filled in by who looks.
type Variable struct {
	Name, Type string
	Definition string // of one of the type query
	Datasource Source
}

// ReadDashboard reads Grafana's JSON.
func ReadDashboard(data []byte) (*Dashboard, error) {
	d := &Dashboard{}
	if err := json.Unmarshal(data, d); err != nil {
		return nil, fmt.Errorf("reading the dashboard: %w", err)
	}
	return d, nil
}

// All are the panels, those inside rows included.
func (d *Dashboard) All() []Panel {
	var out []Panel
	for _, p := range d.Panels {
		out = append(append(out, p), p.Panels...)
	}
	return out
}

// Queries are all that the dashboard asks, in its order.
func (d *Dashboard) Queries() []Query {
	var out []Query
	for _, p := range d.All() {
		for _, t := range p.Targets {
			labels := placeholders(t.LegendFormat)
			for _, tr := range p.Transformations {
				labels = append(labels, nonEmpty(tr.Options.RowField, tr.Options.ColumnField)...)
			}
			out = append(out, Query{fmt.Sprintf("panel %q %s", p.Title, t.RefID), t.Expr, labels})
		}
	}
	for _, a := range d.Annotations.List {
		if a.BuiltIn == 0 {
			out = append(out, Query{fmt.Sprintf("annotation %q", a.Name), a.Expr, placeholders(a.TitleFormat + a.TextFormat)})
		}
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			out = append(out, Query{Where: fmt.Sprintf("variable %q", v.Name), Expr: v.Definition})
		}
	}
	return out
}

func nonEmpty(texts ...string) []string {
	var out []string
	for _, t := range texts {
		if t != "" {
			out = append(out, t)
		}
	}
	return out
}

var placeholder = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

func placeholders(format string) []string {
	var out []string
	for _, m := range placeholder.FindAllStringSubmatch(format, -1) {
		out = append(out, m[1])
	}
	return out
}

var (
	variable    = regexp.MustCompile(`\$\{?\w+\}?`)
	labelValues = regexp.MustCompile(`^label_values\((.+),\s*(\w+)\)$`)
)

// Fill puts values in the place of Grafana's variables, as $name and ${name}.
func (q Query) Fill(values map[string]string) (string, error) {
	var unknown []string
	out := variable.ReplaceAllStringFunc(q.Expr, func(found string) string {
		value, ok := values[strings.Trim(found, "${}")]
		if !ok {
			unknown = append(unknown, found)
		}
		return value
	})
	if len(unknown) > 0 {
		return "", fmt.Errorf("%s uses %s, which nothing fills in: %s", q.Where, strings.Join(unknown, ", "), q.Expr)
	}
	return out, nil
}

// LabelValues splits a variable's label_values(metric, label).
func (q Query) LabelValues() (metric, label string, ok bool) {
	m := labelValues.FindStringSubmatch(q.Expr)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}
