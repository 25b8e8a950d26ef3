//go:build bench

package policybench

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
)

// race is the same puts to a number of agents and to as many bare watches.
type race struct {
	t      *testing.T
	n      int
	c      *content
	agents []*agent
	ours   []*observer
	theirs []*observer
	turn   int
	cost   map[string]time.Duration // of our process, by federation
}

// TestBenchPropagation is the time from before a put until the last client has it: an
// agent in its table, a bare watch in its hand.
func TestBenchPropagation(t *testing.T) {
	if *puts < minPuts {
		t.Fatalf("%d puts are too few for a figure: at least %d", *puts, minPuts)
	}
	e := startEtcd(t, 1)
	c := load(t, e, 1000)
	figure("policy_value_mean_bytes", float64(c.size/len(c.keys)), "B")
	for _, n := range []int{50, 250} {
		var settle atomic.Int64
		all, stopOurs := agents(t, n, &settle, e.Members[0].Address)
		theirs, stopTheirs := bareWatches(t, n, e.Members[0].Address)
		r := &race{t: t, n: n, c: c, agents: all, theirs: theirs, cost: map[string]time.Duration{}}
		for _, a := range all {
			r.ours = append(r.ours, a.observer)
		}
		settle.Store(int64(engine.DefaultConfig().Settle))
		r.singles("put_to_active", *puts)
		r.sizes()
		settle.Store(0)
		r.singles("put_to_active_at_once", *puts)
		stopOurs()
		stopTheirs()
	}
}

// singles changes one policy at a time.
func (r *race) singles(name string, k int) {
	clear(r.cost)
	ours, theirs := interleaved(k, func() time.Duration { return r.own(r.one) }, func() time.Duration { return r.bare(r.one) })
	keep(r.t, fmt.Sprintf("%s_%d", name, r.n), ours)
	keep(r.t, fmt.Sprintf("%s_%d_raw_watch", name, r.n), theirs)
	for _, q := range []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		a, b := quantile(ours, q.q), quantile(theirs, q.q)
		figure(fmt.Sprintf("%s_%s_ms_%d", name, q.name, r.n), ms(a), "ms")
		figure(fmt.Sprintf("%s_raw_watch_%s_ms_%d", name, q.name, r.n), ms(b), "ms")
		figure(fmt.Sprintf("%s_%s_ratio_%d", name, q.name, r.n), ratio(a, b), "ratio")
	}
	each := func(fed string) float64 { return float64(r.cost[fed].Microseconds() / int64(k*r.n)) }
	figure(fmt.Sprintf("%s_cpu_us_per_agent_%d", name, r.n), each(ownFederation), "us")
	figure(fmt.Sprintf("%s_raw_watch_cpu_us_per_agent_%d", name, r.n), each(rawFederation), "us")
}

// sizes changes a hundred policies at once, and all of them.
func (r *race) sizes() {
	for _, s := range []struct {
		name string
		k    int
		put  func(fed string) uint64
	}{
		{"batch_100", *puts / 10, func(fed string) uint64 { return r.c.put(r.t, fed, 0, batch) }},
		{"replace_1000", *puts / 40, func(fed string) uint64 { return r.c.replace(r.t, fed) }},
	} {
		ours, theirs := interleaved(s.k, func() time.Duration { return r.own(s.put) }, func() time.Duration { return r.bare(s.put) })
		keep(r.t, fmt.Sprintf("%s_%d", s.name, r.n), ours)
		keep(r.t, fmt.Sprintf("%s_%d_raw_watch", s.name, r.n), theirs)
		figure(fmt.Sprintf("%s_p50_ms_%d", s.name, r.n), ms(quantile(ours, 0.5)), "ms")
		figure(fmt.Sprintf("%s_raw_watch_p50_ms_%d", s.name, r.n), ms(quantile(theirs, 0.5)), "ms")
		figure(fmt.Sprintf("%s_p50_ratio_%d", s.name, r.n), ratio(quantile(ours, 0.5), quantile(theirs, 0.5)), "ratio")
	}
}

// one changes an imported policy, another one each time.
func (r *race) one(fed string) uint64 {
	i := r.turn % imports
	r.turn++
	return r.c.put(r.t, fed, i, i+1)
}

func (r *race) own(put func(fed string) uint64) time.Duration {
	took := r.timed(ownFederation, r.ours, put)
	r.verify()
	return took
}

func (r *race) bare(put func(fed string) uint64) time.Duration {
	return r.timed(rawFederation, r.theirs, put)
}

func (r *race) timed(fed string, all []*observer, put func(fed string) uint64) time.Duration {
	cpu, began := processTime(), time.Now()
	took := lastOf(r.t, all, put(fed)).Sub(began)
	r.cost[fed] += processTime() - cpu
	return took
}

// processTime is the processor time that this process has used: the clients', not etcd's.
func processTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// verify looks into every table: a revision is only a number.
func (r *race) verify() {
	r.t.Helper()
	for _, a := range r.agents {
		for i := range imports {
			want := federation.Region(exporters[r.c.version(ownFederation, i)])
			if got := a.prefers(i); got != want {
				r.t.Fatalf("%s tries %q first for import %d, its policy says %q", a.self, got, i, want)
			}
		}
	}
}
