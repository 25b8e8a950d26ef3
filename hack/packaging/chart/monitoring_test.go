package chart_test

import (
	"slices"
	"testing"
)

func TestNothingIsMonitoredUnlessAskedFor(t *testing.T) {
	for _, o := range rendered(t) {
		if group := o.GetObjectKind().GroupVersionKind().Group; group == "monitoring.coreos.com" {
			t.Errorf("%s %s is rendered by default", o.GetObjectKind().GroupVersionKind().Kind, o.GetName())
		}
	}
}

func TestRulesAreTheFilesAndCarryTheirTemplatesUnread(t *testing.T) {
	rules := find[*prometheusRule](t, rendered(t, everything), "causeway")
	if rules.Labels["release"] != "prometheus" {
		t.Errorf("its labels are %v", rules.Labels)
	}
	summary := ""
	for _, g := range rules.Spec.Groups {
		for _, r := range g.Rules {
			if r.Alert == "CausewayPeerDead" {
				summary = r.Annotations["summary"]
			}
		}
	}
	if want := "{{ $labels.peer }} in {{ $labels.region }} is not reached: {{ $labels.verdict }}, {{ $labels.cause }}"; summary != want {
		t.Errorf("CausewayPeerDead says %q, want %q", summary, want)
	}
}

func TestSeriesSayWhoseViewTheyAre(t *testing.T) {
	for _, name := range []string{"causeway-operator", "causeway-gateway"} {
		endpoint := find[*podMonitor](t, rendered(t, everything), name).Spec.PodMetricsEndpoints[0]
		if !slices.Contains(endpoint.Relabel, relabel{"observer", "eu-west"}) {
			t.Errorf("%s: %+v", name, endpoint)
		}
	}
}
