package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/causeway-mesh/causeway/federation/explain"
)

// table is what a person reads, by line, with single spaces.
func table(t *testing.T, write func(io.Writer)) []string {
	t.Helper()
	var out bytes.Buffer
	f := flags{out: &out, output: "table"}
	if err := f.print(nil, write); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

func service() explain.Service {
	none, some := uint16(0), uint16(125)
	return explain.Service{Service: "shop/checkout", Port: 80, From: "eu-west", Goes: "us-east", Rule: "default", Candidates: []explain.Candidate{
		{Cluster: "us-west", Region: "us-west", Reason: "Withdrawn", Verdict: "Unknown"},
		{Cluster: "us-east", Region: "us-east", In: true, Reason: "Healthy", HealthKnown: true, Ready: 2, Total: 3, Verdict: "Reachable",
			Capacity: 8, LoadPerMille: &some, ErrorsPerMille: &none,
			Zones: []explain.Zone{{Zone: "a", Ready: 1, Total: 2}, {Zone: "b", Ready: 1, Total: 1}}},
	}}
}

func wantLine(t *testing.T, lines []string, want string) {
	t.Helper()
	for _, l := range lines {
		if strings.Contains(l, want) {
			return
		}
	}
	t.Errorf("no line says %q:\n%s", want, strings.Join(lines, "\n"))
}

func TestExplainShowsCapacityLoadErrorsAndZones(t *testing.T) {
	lines := table(t, func(w io.Writer) { explainTable(w, []explain.Service{service()}) })
	wantLine(t, lines, "WHY READY CAP LOAD ERRORS ZONES HEALTH AGE")
	wantLine(t, lines, "Healthy 2/3 8 12.5% 0.0% a=1/2 b=1/1 0s")
	wantLine(t, lines, "Withdrawn unknown - - - - -")
}

func TestStatusShowsTheOneThatAServiceGoesTo(t *testing.T) {
	lost := explain.Service{Service: "shop/cart", Port: 80, Rule: "default"}
	lines := table(t, func(w io.Writer) { statusTable(w, explain.Status{Services: []explain.Service{service(), lost}}) })
	wantLine(t, lines, "shop/checkout 80 us-east 2/3 8 12.5% 0.0% default")
	wantLine(t, lines, "shop/cart 80 - - - - - default")
}
