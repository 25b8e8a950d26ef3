package effectivepolicy

import (
	"slices"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

func TestRulesOfAPolicyAreShown(t *testing.T) {
	spec := specOf(engine.HeldPolicy{Holds: true, Version: federation.PolicyVersion{
		Rules: federation.Rules{OnPartition: federation.PartitionWithdraw, MaxRecordAge: time.Minute},
	}})
	if spec.OnPartition != "Withdraw" || spec.MaxRecordAge == nil || spec.MaxRecordAge.Duration != time.Minute {
		t.Errorf("%+v", spec)
	}
}

func TestWhatHoldsHereIsShownAndNotWhatIsNewest(t *testing.T) {
	p := engine.HeldPolicy{Policy: federation.Policy{Observed: 5, PolicyVersion: federation.PolicyVersion{Generation: 5, Rules: federation.Rules{Regions: []federation.Region{"new"}}}}}
	p.Version, p.Holds = federation.PolicyVersion{Generation: 4, Rules: federation.Rules{Regions: []federation.Region{"old"}}}, true
	if spec := specOf(p); spec.Generation != 4 || spec.NewestGeneration != 5 || !slices.Equal(spec.Regions, []string{"old"}) {
		t.Errorf("%+v", spec)
	}
	p.Version, p.Holds = federation.PolicyVersion{}, false
	if spec := specOf(p); spec.Generation != 5 || !slices.Equal(spec.Regions, []string{"new"}) {
		t.Errorf("what is awaited: %+v", spec)
	}
}
