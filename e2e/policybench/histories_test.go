package policybench

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/e2e/policybench/history"
	"github.com/causeway-mesh/causeway/federation"
)

var (
	out    = flag.String("out", "", "directory in which samples and failed histories are kept; empty keeps none")
	seed   = flag.Uint64("seed", 1, "of what authors write and which member is killed")
	rounds = flag.Int("rounds", 1, "rounds of faults in a history")
)

// minWrites is what each round must have had acknowledged, or the run is invalid.
const minWrites = 60

// watcher is a client that only reads, over a way that can be cut.
type watcher struct {
	name string
	cut  *Cut
	reg  *prometheus.Registry
}

// drill is one recorded run.
type drill struct {
	*recorder
	t        *testing.T
	dice     *rand.Rand
	authors  []*author
	watchers []*watcher
}

func newDrill(t *testing.T) *drill {
	d := &drill{recorder: newRecorder(t, startEtcd(t, 3)), t: t, dice: rand.New(rand.NewPCG(*seed, 0))}
	for i, m := range d.etcd.Members {
		d.watchers = append(d.watchers, d.watcher(fmt.Sprintf("watcher-%d", i), m))
	}
	for i, cluster := range []federation.ClusterName{"a", "a", "b", "b"} {
		d.authors = append(d.authors, d.author(t, i, cluster, rand.New(rand.NewPCG(*seed, uint64(i+1)))))
	}
	return d
}

func (d *drill) watcher(name string, m *Member) *watcher {
	cut, err := NewCut(m.Address)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = cut.Close() })
	cfg := storeConfig(prefixName, federation.ClusterName(name), cut.Address())
	cfg.RequestTimeout, cfg.ProofInterval = 2*time.Second, 200*time.Millisecond
	cfg.RetryMin, cfg.RetryMax = 50*time.Millisecond, 500*time.Millisecond
	s, reg := runStore(d.t, cfg, d.watch(name))
	await(d.t, "a watcher's first read", func() bool { return s.Status().Synced })
	return &watcher{name: name, cut: cut, reg: reg}
}

// traffic lets everybody write and read while do runs.
func (d *drill) traffic(do func()) {
	ctx, cancel := context.WithCancel(d.t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	var keys []string
	for _, a := range d.authors {
		all.Go(func() { a.work(ctx) })
		keys = append(keys, a.key("exports", "x0"), a.key("policies", "x1"))
	}
	all.Go(func() { d.reads(ctx, keys, rand.New(rand.NewPCG(*seed, 99))) })
	do()
}

// more waits for a few more acknowledged writes.
func (d *drill) more(n int) {
	d.t.Helper()
	want := d.acknowledged() + n
	await(d.t, "more writes", func() bool { return d.acknowledged() >= want })
}

// leader is the member that leads now.
func (d *drill) leader() (leader *Member) {
	d.t.Helper()
	await(d.t, "a leader", func() bool {
		for _, m := range d.etcd.Members {
			ctx, cancel := context.WithTimeout(d.t.Context(), time.Second)
			st, err := d.raw.Status(ctx, m.Address)
			cancel()
			if err == nil && st.Leader == st.Header.MemberId {
				leader = m
			}
		}
		return leader != nil
	})
	return leader
}

// killed takes a member away while writes go on, and brings it back.
func (d *drill) killed(m *Member) {
	d.t.Helper()
	if err := m.Kill(); err != nil {
		d.t.Fatal(err)
	}
	d.more(minWrites / 6)
	if err := m.Start(); err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	if err := m.Serving(ctx); err != nil {
		d.t.Fatal(err)
	}
}

// compact forgets all that the log has seen.
func (d *drill) compact() {
	d.t.Helper()
	await(d.t, "the compaction", func() bool {
		ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Second)
		defer cancel()
		_, err := d.raw.Compact(ctx, int64(d.seen()), clientv3.WithCompactPhysical()) //nolint:gosec // etcd's own
		return err == nil
	})
}

// asleep is a watcher that is away while something it holds is deleted, and the log is
// compacted past that.
func (d *drill) asleep(w *watcher) {
	d.t.Helper()
	a := d.authors[0]
	doomed := d.done(a.export("doomed"))
	await(d.t, w.name+" to hold what will be deleted", func() bool { return d.holds(w.name, doomed) })
	w.cut.Set(true)
	d.done(a.deletion("exports", "doomed"))
	d.more(minWrites / 3)
	d.compact()
	before := fullReads(w.reg, "compacted")
	w.cut.Set(false)
	await(d.t, w.name+" to read everything again", func() bool { return fullReads(w.reg, "compacted") > before })
}

// done records what must have been acknowledged.
func (d *drill) done(o history.Operation) history.Operation {
	d.t.Helper()
	if d.record(o); o.Unknown {
		d.t.Fatalf("what was asked of %s was not acknowledged", o.Key)
	}
	return o
}

// away is a watcher that comes back to find the log as it left it.
func (d *drill) away(w *watcher) {
	d.t.Helper()
	w.cut.Set(true)
	d.more(minWrites / 6)
	w.cut.Set(false)
}

func (d *drill) round(n int) {
	d.t.Helper()
	pick := func(i int) *watcher { return d.watchers[(n+i)%len(d.watchers)] }
	d.more(minWrites / 6)
	d.asleep(pick(0))
	d.killed(d.leader())
	d.away(pick(1))
	d.killed(d.etcd.Members[d.dice.IntN(len(d.etcd.Members))])
	d.compact()
	d.more(minWrites / 6)
}

// settle writes a last value for each key and waits until everybody has it.
func (d *drill) settle() {
	d.t.Helper()
	for _, a := range d.authors {
		last := d.done(a.export("x0"))
		for _, w := range d.watchers {
			await(d.t, w.name+" to hold the last value", func() bool { return d.holds(w.name, last) })
		}
		await(d.t, "the log's end", func() bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return len(d.h.Log) > 0 && d.h.Log[len(d.h.Log)-1].Value == last.Value
		})
	}
}

func TestHistoriesKeepTheGuarantees(t *testing.T) {
	d := newDrill(t)
	d.traffic(func() {
		for n := range *rounds {
			if d.ids.Load() > maxWrites {
				t.Fatalf("marks are used up after %d rounds: ask for fewer", n)
			}
			d.round(n)
		}
	})
	d.settle()
	d.check(t)
	t.Logf("%d operations, %d events in the log, %d, %d and %d views", len(d.h.Operations), len(d.h.Log),
		len(d.h.Views["watcher-0"]), len(d.h.Views["watcher-1"]), len(d.h.Views["watcher-2"]))
}
