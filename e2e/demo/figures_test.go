package main

import (
	"errors"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/e2e/load"
)

func TestOnlyRequestsOpenAtTheFaultCountAsInterrupted(t *testing.T) {
	fault := time.Unix(100, 0)
	failed := errors.New("reset")
	at := func(offset, latency time.Duration, err error) load.Result {
		return load.Result{Scheduled: fault.Add(offset), Latency: latency, Err: err}
	}
	rest, interrupted := apart([]load.Result{
		at(-2*time.Second, time.Second, failed),                 // failed before the fault: ours
		at(-100*time.Millisecond, 700*time.Millisecond, failed), // open when the region died
		at(-100*time.Millisecond, 700*time.Millisecond, nil),    // open, and replayed elsewhere
		at(time.Millisecond, 700*time.Millisecond, failed),      // new after the fault: ours
		at(10*time.Millisecond, 700*time.Millisecond, nil),
	}, fault)
	if interrupted != 1 || len(rest) != 4 || load.Failed(rest) != 2 {
		t.Fatalf("%d interrupted, %d others, %d of them failed", interrupted, len(rest), load.Failed(rest))
	}
}

func TestWhatWasOpenWhenTheRegionCameBackMayBeAnsweredByIt(t *testing.T) {
	healed := time.Unix(100, 0)
	at := func(offset, latency time.Duration, served string) load.Result {
		return load.Result{Scheduled: healed.Add(offset), Latency: latency, Served: served}
	}
	strange := answeredBy([]load.Result{
		at(-time.Second, 300*time.Millisecond, "us-west/checkout-1"),
		at(-time.Second, 1500*time.Millisecond, "us-east/checkout-1"), // open when it came back
		at(-time.Second, 300*time.Millisecond, "us-east/checkout-2"),  // answered while it was cut off
	}, healed, func(c string) bool { return c != backup })
	if len(strange) != 1 || strange[0].Served != "us-east/checkout-2" {
		t.Errorf("strange are %+v", strange)
	}
}
