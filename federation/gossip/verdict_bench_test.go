//go:build bench

package gossip

import (
	cli "flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/liveness"
	"github.com/causeway-mesh/causeway/federation/routing"
)

var (
	clusters = cli.Int("clusters", 250, "clusters of TestBenchFalseVerdicts")
	minutes  = cli.Float64("minutes", 1, "its virtual minutes")
)

// TestBenchFalseVerdicts prints how often an operator is wrong about one that is up, at
// 5 % loss, in a federation too large for federation/sim: its 62,000 links would be as
// many TLS connections in one process, some 10 GiB. Here frames go from gossip to gossip
// without, and the rest is the same: what lies above gossip is liveness, as the engine
// feeds it, and every path to a gateway answers.
func TestBenchFalseVerdicts(t *testing.T) {
	span := time.Duration(*minutes * float64(time.Minute))
	watch, took := &verdictWatch{kinds: map[[2]federation.ClusterName]federation.VerdictKind{}}, time.Duration(0)
	watch.keepIn(t, fmt.Sprintf("false-verdicts-%d-seed-%d.csv", *clusters, *seed))
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, newWorld(0.05, *seed), *clusters)
		defer f.stop()
		f.settled(t, 3*time.Minute)
		watch.follow(f, 10*time.Second, false)
		began := cpu(t)
		watch.follow(f, span, true)
		took = cpu(t) - began
	})
	fmt.Printf("false_verdicts_%d_virtual_hours %.3f h\n", *clusters, span.Hours())
	fmt.Printf("false_verdicts_%d_speed %.2f s/s\n", *clusters, span.Seconds()/took.Seconds())
	fmt.Printf("false_verdicts_%d %d verdicts\n", *clusters, watch.count)
}

// verdictWatch counts moments at which somebody who is up begins to be called something
// else than Reachable, or something else again.
type verdictWatch struct {
	kinds map[[2]federation.ClusterName]federation.VerdictKind // what is not Reachable
	count int
	file  *os.File // nil keeps none
}

func (v *verdictWatch) keepIn(t *testing.T, name string) {
	t.Helper()
	if *out == "" {
		return
	}
	err := os.MkdirAll(*out, 0o755)
	if err == nil {
		v.file, err = os.Create(filepath.Join(*out, name))
	}
	if err == nil {
		_, err = fmt.Fprintln(v.file, "at_s,reader,subject,verdict,reason,cause")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.file.Close() })
}

// follow has every operator judge at the engine's tick, and once more each time that gossip
// changes.
func (v *verdictWatch) follow(f *fleet, d time.Duration, counts bool) {
	const tick, look = 500 * time.Millisecond, 50 * time.Millisecond
	held := map[*node]map[federation.ClusterName]liveness.Held{}
	for began, n := time.Now(), 0; time.Since(began) < d; n++ {
		time.Sleep(look)
		for i, x := range f.nodes {
			if (n+i)%int(tick/look) != 0 && !changed(x) {
				continue
			}
			held[x] = liveness.Judge(f.evidence(x), held[x], time.Since(f.start))
			for c, h := range held[x] {
				v.note(time.Since(began), x, c, h, counts)
			}
		}
	}
}

func changed(x *node) bool {
	select {
	case <-x.Changed():
		return true
	default:
		return false
	}
}

func (v *verdictWatch) note(at time.Duration, x *node, of federation.ClusterName, h liveness.Held, counts bool) {
	pair := [2]federation.ClusterName{x.cfg.Cluster, of}
	if h.Kind == federation.Reachable {
		delete(v.kinds, pair)
		return
	}
	if v.kinds[pair] == h.Kind {
		return
	}
	v.kinds[pair] = h.Kind
	if !counts {
		return
	}
	v.count++
	if v.file != nil {
		_, _ = fmt.Fprintf(v.file, "%.3f,%s,%s,%s,%s,%q\n", at.Seconds(), x.name, of, h.Kind, h.Reason, h.Cause)
	}
}

// evidence is a quiet federation's: every path has answered within its idle beat.
func (f *fleet) evidence(x *node) map[federation.ClusterName]liveness.Evidence {
	members, spoken := x.Members(), x.Spoken()
	out := make(map[federation.ClusterName]liveness.Evidence, len(f.nodes)-1)
	var own []federation.Leg
	for _, o := range f.nodes {
		if o == x {
			continue
		}
		age, heard := spoken[o.cfg.Cluster]
		if !heard {
			age = -1
		}
		rtt := 2 * oneWay(x.name, o.name)
		own = append(own, federation.Leg{To: o.cfg.Cluster, Up: true, RTT: rtt})
		out[o.cfg.Cluster] = liveness.Evidence{
			Self: x.cfg.Cluster, Others: len(f.nodes) - 1, Member: liveness.Membership(members[o.cfg.Cluster].Status), Owner: liveness.Owner{Age: age},
			Paths: []routing.PathReport{{Cluster: o.cfg.Cluster, State: routing.PathUp, RTT: rtt, Silence: time.Second}},
		}
	}
	x.PublishLegs(own)
	return out
}
