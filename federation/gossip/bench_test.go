//go:build bench

package gossip

import (
	"encoding/json"
	cli "flag"
	"fmt"
	"log"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

var (
	out   = cli.String("out", "", "directory in which samples are kept; empty keeps none")
	flips = cli.Int("flips", 1000, "flips of each figure at 12 and 50 clusters; at 250 a quarter")
	kills = cli.Int("kills", 40, "clusters that die for dead_cluster_known at 12; at 50 a quarter")
	hours = cli.Float64("hours", 1, "virtual hours of false_deaths at 12 clusters; at 50 a fiftieth")
	seed  = cli.Uint64("seed", 1, "of the worlds' losses")
)

// settle is how long the engine collects changes into one round before it computes:
// what a flip waits between the book and the route table. See engine.DefaultConfig.
const settle = 5 * time.Millisecond

func figure(name string, value float64, unit string) {
	fmt.Printf("%s %s %s\n", name, strconv.FormatFloat(value, 'f', -1, 64), unit)
}

func ms(d time.Duration) float64 { return float64(d.Round(10*time.Microsecond).Microseconds()) / 1000 }

func quantile(all []time.Duration, q float64) time.Duration {
	all = slices.Clone(all)
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

// keep writes samples in milliseconds.
func keep(t *testing.T, name string, all []time.Duration) {
	t.Helper()
	if *out == "" {
		return
	}
	values := make([]float64, len(all))
	for i, d := range all {
		values[i] = ms(d)
	}
	data, err := json.Marshal(map[string]any{"name": name, "unit": "ms", "seed": *seed, "go": runtime.Version(), "samples": values})
	if err == nil {
		err = os.MkdirAll(*out, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(*out, name+".json"), data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// flipTimes is how long each of k flips took to the last of n tables.
func flipTimes(t *testing.T, n, k int, loss float64) (all []time.Duration, idle float64) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, newWorld(loss, *seed), n)
		defer f.stop()
		f.settled(t, 3*time.Minute)
		if n == 12 && loss == 0 {
			idle = f.idle(time.Minute)
		}
		for i := range k {
			all = append(all, settle+f.flip(t, f.nodes[(i*7)%n], uint32(100+i)))
			time.Sleep(37 * time.Millisecond)
		}
	})
	return all, idle
}

func TestBenchFlip(t *testing.T) {
	var ours time.Duration
	for _, n := range []int{12, 50, 250} {
		k := *flips
		if n == 250 {
			k = max(1, k/4)
		}
		all, idle := flipTimes(t, n, k, 0)
		keep(t, fmt.Sprintf("flip_%d", n), all)
		figure(fmt.Sprintf("flip_to_last_table_p50_ms_%d", n), ms(quantile(all, 0.5)), "ms")
		if n == 12 {
			ours = quantile(all, 0.5)
			figure("idle_bytes_per_s", float64(int(idle)), "B/s")
		}
	}
	lan := lanFlips(t, 12, max(1, *flips/4))
	keep(t, "flip_12_memberlist_lan", lan)
	figure("flip_memberlist_lan_p50_ms_12", ms(quantile(lan, 0.5)), "ms")
	figure("flip_vs_memberlist_lan_ratio", float64(ours)/float64(quantile(lan, 0.5)), "ratio")
	figure("flip_payload_bytes", float64(len(flip.payload())), "B")
	figure("flip_signed_bytes", float64(frameHeader+sealHead+len(encodeBatch(time.Second, flip.payload()))), "B")
}

func TestBenchFlipUnderLoss(t *testing.T) {
	all, _ := flipTimes(t, 250, max(1, *flips/4), 0.05)
	keep(t, "flip_250_loss5", all)
	figure("flip_to_last_table_p50_loss5_ms_250", ms(quantile(all, 0.5)), "ms")
	figure("flip_to_last_table_p99_loss5_ms_250", ms(quantile(all, 0.99)), "ms")
}

// deaths is how long it took until all knew of each of k deaths, of members whom nobody
// took for dead when they died; and which part of the others did a moment before.
func deaths(t *testing.T, n, k int, loss float64) (all []time.Duration, early float64) {
	t.Helper()
	for i := range k {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, newWorld(loss, *seed+uint64(i)), n)
			defer f.stop()
			f.settled(t, 3*time.Minute)
			time.Sleep(10*time.Second + time.Duration(i)*137*time.Millisecond)
			dead := f.nodes[(i*5)%n]
			early += float64(f.deeming(dead)) / float64(k*(n-1))
			for f.deeming(dead) > 0 {
				time.Sleep(10 * time.Millisecond)
			}
			all = append(all, f.deadKnown(t, dead))
		})
	}
	return all, early
}

// deeming counts who takes a member for dead.
func (f *fleet) deeming(dead *node) (count int) {
	for _, x := range f.nodes {
		if x != dead && x.deems(dead.cfg.Cluster) == Dead {
			count++
		}
	}
	return count
}

func TestBenchDeath(t *testing.T) {
	ours, _ := deaths(t, 12, *kills, 0)
	keep(t, "dead_12", ours)
	figure("dead_cluster_known_p50_ms", ms(quantile(ours, 0.5)), "ms")
	figure("dead_cluster_known_p99_ms", ms(quantile(ours, 0.99)), "ms")
	lossy, _ := deaths(t, 12, *kills, 0.05)
	keep(t, "dead_12_loss5", lossy)
	figure("dead_cluster_known_p99_loss5_ms", ms(quantile(lossy, 0.99)), "ms")
	lossier, early := deaths(t, 12, *kills, 0.2)
	keep(t, "dead_12_loss20", lossier)
	figure("dead_cluster_known_p99_loss20_ms", ms(quantile(lossier, 0.99)), "ms")
	figure("dead_cluster_known_p99_loss20_ratio", float64(quantile(lossier, 0.99))/float64(quantile(ours, 0.99)), "ratio")
	figure("dead_cluster_taken_for_dead_loss20_ratio", early, "ratio") // by gossip alone: verdicts have other witnesses
	fifty, _ := deaths(t, 50, max(1, *kills/4), 0)
	keep(t, "dead_50", fifty)
	figure("dead_cluster_known_p99_ms_50", ms(quantile(fifty, 0.99)), "ms")
	all, _ := deaths(t, 250, 1, 0)
	figure("dead_cluster_known_max_ms_250", ms(quantile(all, 1)), "ms")
	for name, config := range map[string]func() *memberlist.Config{"lan": memberlist.DefaultLANConfig, "wan": memberlist.DefaultWANConfig} {
		theirs := baselineDeaths(t, config, 12, max(1, *kills/4))
		keep(t, "dead_12_memberlist_"+name, theirs)
		figure("dead_memberlist_"+name+"_p50_ms", ms(quantile(theirs, 0.5)), "ms")
		figure("dead_vs_memberlist_"+name+"_ratio", float64(quantile(theirs, 0.5))/float64(quantile(ours, 0.5)), "ratio")
	}
}

// TestBenchFalseDeaths watches federations in which 5 % of segments are lost and nobody
// dies: each moment at which a member takes another for dead is a false one.
func TestBenchFalseDeaths(t *testing.T) {
	for n, span := range map[int]time.Duration{12: time.Duration(*hours * float64(time.Hour)), 50: time.Duration(*hours * float64(time.Hour) / 50)} {
		synctest.Test(t, func(t *testing.T) {
			f := newFleet(t, newWorld(0.05, *seed), n)
			defer f.stop()
			f.settled(t, time.Minute)
			figure(fmt.Sprintf("false_deaths_virtual_hours_%d", n), span.Hours(), "h")
			figure(fmt.Sprintf("false_deaths_%d", n), float64(f.falseDeaths(span)), "count")
		})
	}
}

// falseDeaths counts pairs in which one begins to take the other for dead.
func (f *fleet) falseDeaths(d time.Duration) (count int) {
	dead := map[[2]string]bool{}
	for began := time.Now(); time.Since(began) < d; time.Sleep(100 * time.Millisecond) {
		for _, x := range f.nodes {
			for _, o := range f.nodes {
				pair := [2]string{x.name, o.name}
				is := x != o && x.deems(o.cfg.Cluster) == Dead
				if is && !dead[pair] {
					count++
				}
				dead[pair] = is
			}
		}
	}
	return count
}

// plain is a member of memberlist as it comes, over datagrams that can be lost.
type plain struct {
	w       *world
	name    string
	all     map[string]*plain
	packets chan *memberlist.Packet
	streams chan net.Conn
	list    *memberlist.Memberlist
	queue   *memberlist.TransmitLimitedQueue

	mu   sync.Mutex
	seen map[string]bool
	left map[string]bool
}

func (p *plain) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return madeUpIP(federation.ClusterName(p.name)), madeUpPort, nil
}
func (p *plain) WriteTo([]byte, string) (time.Time, error)           { return time.Now(), errNoName }
func (p *plain) DialTimeout(string, time.Duration) (net.Conn, error) { return nil, errNoName }
func (p *plain) PacketCh() <-chan *memberlist.Packet                 { return p.packets }
func (p *plain) StreamCh() <-chan net.Conn                           { return p.streams }
func (p *plain) Shutdown() error                                     { return nil }
func (p *plain) NodeMeta(int) []byte                                 { return nil }
func (p *plain) GetBroadcasts(o, l int) [][]byte                     { return p.queue.GetBroadcasts(o, l) }
func (p *plain) LocalState(bool) []byte                              { return nil }
func (p *plain) MergeRemoteState([]byte, bool)                       {}
func (p *plain) NotifyJoin(*memberlist.Node)                         {}
func (p *plain) NotifyUpdate(*memberlist.Node)                       {}
func (p *plain) DialAddressTimeout(a memberlist.Address, _ time.Duration) (net.Conn, error) {
	return p.w.dial(p.name, a.Name, p.all[a.Name].streams)
}

func (p *plain) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	to, data := p.all[a.Name], slices.Clone(b)
	p.w.datagram(p.name, a.Name, func() {
		select {
		case to.packets <- &memberlist.Packet{Buf: data, From: nodeAddr(p.name), Timestamp: time.Now()}:
		default:
		}
	})
	return time.Now(), nil
}

func (p *plain) NotifyLeave(n *memberlist.Node) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left[n.Name] = true
}

// NotifyMsg passes news on, as a user of memberlist does.
func (p *plain) NotifyMsg(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.seen[string(b)] {
		p.seen[string(b)] = true
		p.queue.QueueBroadcast(rumourOf(slices.Clone(b)))
	}
}

type rumourOf []byte

func (rumourOf) Invalidates(memberlist.Broadcast) bool { return false }
func (r rumourOf) Message() []byte                     { return r }
func (rumourOf) Finished()                             {}

func (p *plain) knows(which map[string]bool, key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return which[key]
}

func newPlain(t *testing.T, w *world, config func() *memberlist.Config, n int) []*plain {
	t.Helper()
	all := map[string]*plain{}
	var list []*plain
	for i := range n {
		p := &plain{w: w, name: nodeName(i), all: all, packets: make(chan *memberlist.Packet, 1024), streams: make(chan net.Conn), seen: map[string]bool{}, left: map[string]bool{}}
		all[p.name] = p
		list = append(list, p)
	}
	for _, p := range list {
		c := config()
		c.Name, c.Transport, c.Delegate, c.Events, c.RequireNodeNames = p.name, p, p, p, true
		c.Logger = log.New(logWriter{slog.New(slog.DiscardHandler)}, "", 0)
		p.queue = &memberlist.TransmitLimitedQueue{NumNodes: func() int { return n }, RetransmitMult: c.RetransmitMult}
		var err error
		if p.list, err = memberlist.Create(c); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range list[1:] {
		if _, err := p.list.Join([]string{fmt.Sprintf("c0/%s:%d", madeUpIP("c0"), madeUpPort)}); err != nil {
			t.Fatal(err)
		}
	}
	for began := time.Now(); ; time.Sleep(time.Second) {
		met := 0
		for _, p := range list {
			met += p.list.NumMembers()
		}
		if met == n*n {
			return list
		}
		if time.Since(began) > 10*time.Minute {
			t.Fatalf("%d of %d pairs have met", met, n*n)
		}
	}
}

func endPlain(list []*plain) {
	for _, p := range list {
		_ = p.list.Shutdown()
	}
	time.Sleep(time.Minute)
}

func lanFlips(t *testing.T, n, k int) (all []time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		list := newPlain(t, newWorld(0, *seed), memberlist.DefaultLANConfig, n)
		defer endPlain(list)
		for i := range k {
			key, from, began := fmt.Sprintf("a flip of about the same size as ours, number %d", i), list[(i*7)%n], time.Now()
			from.NotifyMsg([]byte(key))
			for _, p := range list {
				for !p.knows(p.seen, key) {
					time.Sleep(time.Millisecond)
				}
			}
			all = append(all, settle+time.Since(began))
			time.Sleep(time.Second)
		}
	})
	return all
}

func baselineDeaths(t *testing.T, config func() *memberlist.Config, n, k int) (all []time.Duration) {
	t.Helper()
	for i := range k {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(0, *seed+uint64(i))
			list := newPlain(t, w, config, n)
			defer endPlain(list)
			time.Sleep(10*time.Second + time.Duration(i)*137*time.Millisecond)
			dead, began := list[(i*5)%n], time.Now()
			w.kill(dead.name)
			for _, p := range list {
				for p != dead && !p.knows(p.left, dead.name) {
					time.Sleep(time.Millisecond)
				}
			}
			all = append(all, time.Since(began))
		})
	}
	return all
}

// BENCHMARKS.md B9: what one operator holds of 250 clusters with 1,000 endpoints each, in
// 100 services, and how long a new leader needs until it holds it: chains and batches
// verified, on this machine's cores.
func TestBenchFootprint(t *testing.T) {
	const clusters, services = 250, 100
	ca := identitytest.NewCA(t, testDomain)
	var frames [][2][]byte
	for i := range clusters {
		frames = append(frames, cluster(t, ca, i, services))
	}
	cfg := DefaultConfig()
	cfg.Federation, cfg.Cluster, cfg.Epoch, cfg.MaxClusters = testFed, "reader", 1, 512
	g, err := New(cfg, Deps{
		Certificate: certificate(ca.Source(testID("reader", identity.RoleOperator))),
		VerifyChain: verifyChain(ca.Source(testID("reader", identity.RoleOperator))),
		carry:       func(federation.ClusterName, byte, []byte) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	peers := map[federation.ClusterName][]string{}
	for i := range clusters {
		peers[federation.ClusterName(nodeName(i))] = nil
	}
	g.SetPeers(peers)
	began := time.Now()
	var wg sync.WaitGroup
	for half := range 2 { // as from two connections at once
		wg.Go(func() {
			talk := g.newTalk("c0", func(byte, []byte) error { return nil })
			for i := half; i < clusters; i += 2 {
				_ = talk.take(frame{kind: frameKey, body: frames[i][0]}, 0)
				_ = talk.take(frame{kind: frameBatch, body: frames[i][1]}, 0)
			}
		})
	}
	wg.Wait()
	records := 0
	for _, of := range g.Records() {
		records += len(of)
	}
	took := time.Since(began)
	if records != clusters*services {
		t.Fatalf("%d records, want %d", records, clusters*services)
	}
	figure("footprint_bootstrap_s", took.Seconds(), "s")
	frames = nil
	runtime.GC()
	figure("footprint_rss_mib", float64(residentKiB(t))/1024, "MiB")
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	figure("footprint_heap_mib", float64(m.HeapAlloc)/(1<<20), "MiB")
	runtime.KeepAlive(g)
}

func cluster(t *testing.T, ca *identitytest.CA, i, services int) [2][]byte {
	t.Helper()
	name := federation.ClusterName(nodeName(i))
	cert, err := certificate(ca.Source(testID(name, identity.RoleOperator)))()
	if err != nil {
		t.Fatal(err)
	}
	b := batch{Version: federation.Version{Epoch: 1, Sequence: 1}, Snapshot: true}
	for s := range services {
		b.Items = append(b.Items, item{
			Port:   federation.ServicePort{Service: federation.ServiceName{Namespace: fmt.Sprintf("team-%d", s%10), Name: fmt.Sprintf("service-%d", s)}, Port: 8080},
			Health: federation.Health{Ready: 9, Total: 10, Capacity: 1000, Zones: []federation.ZoneCount{{Zone: "a", Ready: 4, Total: 5}, {Zone: "b", Ready: 5, Total: 5}}},
		})
	}
	sortItems(b.Items)
	sealed, err := seal(cert, b.payload())
	if err != nil {
		t.Fatal(err)
	}
	return [2][]byte{encodeChain(cert.Certificate), encodeBatch(0, sealed)}
}

// residentKiB is the process's resident memory, the test's own certificates included.
func residentKiB(t *testing.T) (kib int) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(data), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize() / 1024
}
