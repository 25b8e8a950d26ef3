//go:build bench

package policybench

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// stormClients reconnect at once.
const stormClients = 250

// outage is how long etcd is away, for both sides: how long a client waits before its next
// attempt depends on it. It is longer than any of them needs to notice.
const outage = 6 * time.Second

// storm is what one restart of etcd cost.
type storm struct {
	took        time.Duration
	bytes, peak float64
}

// TestBenchStorm kills etcd under 250 clients and starts it again. The time runs from
// when it serves until the last client has what was put then.
func TestBenchStorm(t *testing.T) {
	if *storms < 3 {
		t.Fatalf("%d storms are too few for a figure: at least 3", *storms)
	}
	e := startEtcd(t, 1)
	c := load(t, e, 1000)
	var ours, theirs []storm
	for i := range *storms {
		if i%2 == 0 {
			ours, theirs = append(ours, ownStorm(t, e, c)), append(theirs, naiveStorm(t, e, c))
		} else {
			theirs, ours = append(theirs, naiveStorm(t, e, c)), append(ours, ownStorm(t, e, c))
		}
	}
	keep(t, "storm", times(ours))
	keep(t, "storm_naive", times(theirs))
	figure("storm_ms", ms(quantile(times(ours), 0.5)), "ms")
	figure("storm_naive_ms", ms(quantile(times(theirs), 0.5)), "ms")
	figure("storm_time_ratio", ratio(quantile(times(ours), 0.5), quantile(times(theirs), 0.5)), "ratio")
	bytes := func(s storm) float64 { return s.bytes }
	peak := func(s storm) float64 { return s.peak }
	figure("storm_bytes", median(ours, bytes), "B")
	figure("storm_naive_bytes", median(theirs, bytes), "B")
	figure("storm_bytes_ratio", float64(int(1000*median(ours, bytes)/median(theirs, bytes)))/1000, "ratio")
	figure("storm_etcd_peak_ratio", hundredths(median(ours, peak)/median(theirs, peak)), "ratio")
}

func times(all []storm) (out []time.Duration) {
	for _, s := range all {
		out = append(out, s.took)
	}
	return out
}

func median(all []storm, of func(storm) float64) float64 {
	var values []float64
	for _, s := range all {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func ownStorm(t *testing.T, e *Etcd, c *content) storm {
	t.Helper()
	var settle atomic.Int64
	all, stop := agents(t, stormClients, &settle, e.Members[0].Address)
	defer stop()
	var observers []*observer
	for _, a := range all {
		observers = append(observers, a.observer)
		await(t, "an agent to be connected", func() bool { return a.store.Status().Connected })
	}
	return restart(t, e.Members[0], c, ownFederation, observers, func() bool {
		return !slices.ContainsFunc(all, func(a *agent) bool { return a.store.Status().Connected })
	})
}

func naiveStorm(t *testing.T, e *Etcd, c *content) storm {
	t.Helper()
	all, stop := naives(t, stormClients, e.Members[0].Address)
	defer stop()
	var observers []*observer
	for _, n := range all {
		observers = append(observers, n.observer)
		await(t, "a naive client to watch", n.connected.Load)
	}
	s := restart(t, e.Members[0], c, rawFederation, observers, func() bool {
		return !slices.ContainsFunc(all, func(n *naive) bool { return n.connected.Load() })
	})
	if want := float64(stormClients * c.size); s.bytes < want {
		t.Fatalf("%d naive clients were sent %.0f bytes, less than all they must list: %.0f", stormClients, s.bytes, want)
	}
	return s
}

// restart kills the member, and starts it again once all clients know and the outage is
// over. 1 % of the policies are changed then.
func restart(t *testing.T, m *Member, c *content, fed string, all []*observer, lost func() bool) (s storm) {
	t.Helper()
	if err := m.Kill(); err != nil {
		t.Fatal(err)
	}
	over := time.Now().Add(outage)
	await(t, "every client to be lost", func() bool { return lost() && time.Now().After(over) })
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := m.Serving(ctx); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	revision := c.put(t, fed, 0, len(c.keys)/100)
	s.took = lastOf(t, all, revision).Sub(began)
	var err error
	if s.bytes, err = m.SentBytes(ctx); err != nil {
		t.Fatal(err)
	}
	if s.peak, err = m.PeakBytes(); err != nil {
		t.Fatal(err)
	}
	return s
}
