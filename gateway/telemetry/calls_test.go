package telemetry

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
)

type calls = map[federation.ServicePort]routing.PortCalls

func TestCallsAreForgottenAfterTheWindow(t *testing.T) {
	var now time.Duration
	c := NewCalls(func() time.Duration { return now })
	want := func(when string, want calls) {
		t.Helper()
		if d := cmp.Diff(want, c.Calls()); d != "" {
			t.Errorf("%s:\n%s", when, d)
		}
	}
	want("at first", calls{})
	c.Taken(checkout, time.Millisecond)
	c.Failed(checkout)
	now = 5 * time.Second
	c.Failed(checkout)
	want("within the window", calls{checkout: {Outcomes: 3, Failed: 2, Slowest: 1024 * time.Microsecond}})
	now = routing.UseWindow
	want("the first two have left it", calls{checkout: {Outcomes: 1, Failed: 1}})
	now = 3 * routing.UseWindow
	want("long after", calls{})
	if len(c.ports) != 0 {
		t.Errorf("%d ports are kept for nothing", len(c.ports))
	}
}

func TestSlowestIsTheNinetyNinthOfAHundred(t *testing.T) {
	c := NewCalls(func() time.Duration { return 0 })
	for range 198 {
		c.Taken(checkout, 10*time.Millisecond)
	}
	c.Taken(checkout, time.Second)
	c.Taken(checkout, time.Second)
	if got := c.Calls()[checkout].Slowest; got < 10*time.Millisecond || got > 12*time.Millisecond {
		t.Errorf("two of 200 are slower: %s", got)
	}
	c.Taken(checkout, time.Second)
	if got := c.Calls()[checkout].Slowest; got < time.Second || got > 1125*time.Millisecond {
		t.Errorf("three of 201 are: %s", got)
	}
}

func TestABucketHoldsWhatIsBelowItsEndAndNoMoreThanAnEighthBelow(t *testing.T) {
	for d := time.Duration(0); d < 100*time.Second; d += d/50 + time.Microsecond {
		u := upper(bucket(d))
		if d < 60*time.Second && d >= u {
			t.Fatalf("%s is in the bucket up to %s", d, u)
		}
		if d > 8*time.Microsecond && d < 60*time.Second && float64(u) > 1.13*float64(d+time.Microsecond) {
			t.Fatalf("%s is in the bucket up to %s", d, u)
		}
	}
}
