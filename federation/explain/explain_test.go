package explain

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

func TestMeasuresOfACandidateAreToldAndUnknownIsLeftOut(t *testing.T) {
	port := federation.ServicePort{Service: federation.ServiceName{Namespace: "shop", Name: "checkout"}, Port: 80}
	got := Services(map[federation.ServicePort]routing.Decision{port: {Port: port, Candidates: []routing.Candidate{
		{Cluster: "a", Capacity: 12, Load: federation.Measure{Known: true}, Errors: federation.Measure{Known: true, PerMille: 5},
			Zones: []federation.ZoneCount{{Zone: "a1", Ready: 1, Total: 2}}},
		{Cluster: "b"},
	}}}, nil)[0].Candidates
	var fields []map[string]any
	text, err := json.Marshal(got)
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{"capacity": 12.0, "loadPerMille": 0.0, "errorsPerMille": 5.0, "zones": []any{map[string]any{"zone": "a1", "ready": 1.0, "total": 2.0}}},
		{},
	}
	for i, f := range fields {
		for name := range f {
			if name != "capacity" && name != "loadPerMille" && name != "errorsPerMille" && name != "zones" {
				delete(f, name)
			}
		}
		if d := cmp.Diff(want[i], f); d != "" {
			t.Errorf("candidate %d:\n%s", i, d)
		}
	}
}
