package policy

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/federation"
)

func TestRolloutIsPublishedAsItIsWritten(t *testing.T) {
	spec := &api.Rollout{
		Waves: []api.RolloutWave{{Regions: []api.RegionName{"eu-west"}}, {Clusters: []api.ClusterName{"us-east"}}},
		Bake:  &metav1.Duration{Duration: time.Minute}, MaxErrorRate: "0.5%", MaxLatency: &metav1.Duration{Duration: time.Second},
	}
	got, err := plan(spec)
	if err != nil {
		t.Fatal(err)
	}
	want := &federation.RolloutPlan{
		Waves: []federation.Wave{{Regions: []federation.Region{"eu-west"}}, {Clusters: []federation.ClusterName{"us-east"}}},
		Bake:  time.Minute, MaxErrors: federation.Measure{Known: true, PerMille: 5}, MaxLatency: time.Second,
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got, err := plan(nil); got != nil || err != nil {
		t.Errorf("none: %+v, %v", got, err)
	}
	if got, err := plan(&api.Rollout{}); err != nil || got.MaxErrors.Known {
		t.Errorf("no gate: %+v, %v", got, err)
	}
	if got, err := plan(&api.Rollout{MaxErrorRate: "101%"}); err == nil {
		t.Errorf("more than all: %+v", got)
	}
}

func TestUndoCountsWhileItsVersionIsTheNewest(t *testing.T) {
	p := &api.RoutingPolicy{}
	p.Generation = 7
	have := &federation.Policy{Observed: 7, PolicyVersion: federation.PolicyVersion{Generation: 6}, History: []federation.PolicyVersion{{Generation: 4}, {Generation: 2}}}
	set := func(text string) { p.Annotations = map[string]string{api.AnnotationRolloutUndo: text} }
	for text, want := range map[string]int64{"7/4": 4, "7/2": 2, "6/4": 0, "8/4": 0} {
		set(text)
		if got, err := undo(p, have); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for text, says := range map[string]string{"7/3": "which has 4, 2", "7": "want", "seven/4": "want"} {
		set(text)
		if _, err := undo(p, have); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
	set("7/4")
	if p.Generation = 8; true {
		if got, err := undo(p, have); got != 0 || err != nil {
			t.Errorf("a newer spec: %d, %v", got, err)
		}
	}
	if got, err := undo(p, nil); got != 0 || err != nil {
		t.Errorf("nothing is published: %d, %v", got, err)
	}
}

func TestWavesNameMembers(t *testing.T) {
	wave := func(w federation.Wave) *federation.RolloutPlan {
		return &federation.RolloutPlan{Waves: []federation.Wave{{Regions: []federation.Region{"us-east"}}, w}}
	}
	if got := unknownWaves(view(), wave(federation.Wave{Clusters: []federation.ClusterName{"us-west"}})); got != "" {
		t.Errorf("members: %s", got)
	}
	if got := unknownWaves(view(), wave(federation.Wave{Clusters: []federation.ClusterName{"us-esat"}})); !strings.Contains(got, `waves[1]: no member is called "us-esat"`) {
		t.Errorf("a cluster that is none: %q", got)
	}
	if got := unknownWaves(view(), wave(federation.Wave{Regions: []federation.Region{"mars"}})); !strings.Contains(got, `waves[1]: region "mars"`) {
		t.Errorf("a region that is none: %q", got)
	}
	if got := unknownWaves(view(), nil); got != "" {
		t.Errorf("no plan: %s", got)
	}
}

func TestHistoryBeginsWithTheNewestAndMarksWhatHolds(t *testing.T) {
	got := history(federation.Policy{
		PolicyVersion: federation.PolicyVersion{Generation: 3, Rules: federation.Rules{Regions: []federation.Region{"a"}}},
		History:       []federation.PolicyVersion{{Generation: 1, Rules: federation.Rules{MaxRecordAge: time.Minute}}},
	}, 1)
	want := []api.PolicyVersion{
		{Generation: 3, Targets: []string{}, Regions: []string{"a"}, OnPartition: "Demote"},
		{Generation: 1, InForce: true, Targets: []string{}, Regions: []string{}, OnPartition: "Demote", MaxRecordAge: &metav1.Duration{Duration: time.Minute}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
