package effectivepolicy

import (
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
)

func TestRulesOfAPolicyAreShown(t *testing.T) {
	spec := specOf(federation.Policy{PolicyVersion: federation.PolicyVersion{
		Rules: federation.Rules{OnPartition: federation.PartitionWithdraw, MaxRecordAge: time.Minute},
	}})
	if spec.OnPartition != "Withdraw" || spec.MaxRecordAge == nil || spec.MaxRecordAge.Duration != time.Minute {
		t.Errorf("%+v", spec)
	}
}
