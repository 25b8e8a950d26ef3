package load

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func row(start time.Time, spec string) []Result {
	var out []Result
	for i, c := range spec {
		r := Result{Scheduled: start.Add(time.Duration(i) * 10 * time.Millisecond), Latency: time.Millisecond}
		switch c {
		case 'x':
			r.Err = errors.New("refused")
		case 's':
			r.Latency = time.Second
		}
		out = append(out, r)
	}
	return out
}

func TestRecoveryIsTheFirstOfARowThatSucceedsInTime(t *testing.T) {
	start := time.Unix(100, 0)
	for spec, want := range map[string]time.Duration{
		"......": 0, "x.....": 10 * time.Millisecond, "..x.s...": 50 * time.Millisecond,
	} {
		got, ok := Recovery(row(start, spec), start, 3, 100*time.Millisecond)
		if !ok || got != want {
			t.Errorf("%s: %s %t, want %s", spec, got, ok, want)
		}
	}
	if _, ok := Recovery(row(start, "..x..s.."), start, 3, 100*time.Millisecond); ok {
		t.Error("a row of two counted as three")
	}
	if got, _ := Recovery(row(start, "...x..."), start.Add(5*time.Millisecond), 2, time.Second); got != 5*time.Millisecond {
		t.Errorf("requests before the fault counted: %s", got)
	}
}

func TestLatencyCountsFromTheScheduledMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Recorder{Every: 10 * time.Millisecond, Timeout: time.Second, Do: func(ctx context.Context) (string, error) {
			select {
			case <-time.After(25 * time.Millisecond):
				return "a/b", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 95*time.Millisecond)
		defer cancel()
		r.Run(ctx)
		results := r.Results()
		if len(results) != 10 || Failed(results) != 0 {
			t.Fatalf("%d results, %d failed: slow requests must not hold the schedule up", len(results), Failed(results))
		}
		if q := Quantile(results, 0.99); q != 25*time.Millisecond {
			t.Errorf("p99 is %s", q)
		}
	})
}

func TestRequestThatDoesNotEndCountsAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Recorder{Every: 10 * time.Millisecond, Timeout: 50 * time.Millisecond, Do: func(ctx context.Context) (string, error) {
			<-ctx.Done()
			return "", ctx.Err()
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Millisecond)
		defer cancel()
		r.Run(ctx)
		if got := Failed(r.Results()); got != 2 {
			t.Errorf("%d failed, want 2", got)
		}
	})
}

func TestSamplesAreKept(t *testing.T) {
	var b strings.Builder
	start := time.Unix(100, 0)
	if err := WriteCSV(&b, start, row(start, ".x")); err != nil {
		t.Fatal(err)
	}
	if want := "scheduled_ms,latency_ms,served,error\n0.000,1.000,,\n10.000,1.000,,refused\n"; b.String() != want {
		t.Errorf("got %q", b.String())
	}
}
