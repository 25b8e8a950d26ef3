package sim

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/federation/sim/memnet"
)

// step is how often the world is looked at, and the grain of faults and changes.
const step = 50 * time.Millisecond

// World is one simulated federation.
type World struct {
	plan       Plan
	start      time.Time
	net        *memnet.Net
	identities []*identity.Source
	members    map[federation.ClusterName]federation.Member
	egress     map[federation.ServicePort]routing.EgressPort
	tunnels    *tunnels

	clusters []*cluster
	cuts     map[[2]int]int
	ledger   *ledger
	cone     *cone
	clean    *clean
	watch    *watch
	vigil    *vigil // of a quiet world, which looks at verdicts alone; nil in all others
	found    []Violation
	errs     chan error // seats' Run send, the end of the world receives; full drops

	health sync.Mutex // guards said of every cluster
}

// cluster is what stands at one site.
type cluster struct {
	index int
	epoch uint64
	seat  *seat   // nil while there is no operator
	olds  []*seat // leaders that have not heard of their successor
	lit   bool
	said  map[federation.ServicePort]federation.Health
	since map[federation.ServicePort]time.Duration // when what is said of a port last changed
}

// Violation is an invariant that did not hold.
type Violation struct {
	At        time.Duration
	Invariant string
	Text      string
}

func (v Violation) String() string { return fmt.Sprintf("%s: %s: %s", v.At, v.Invariant, v.Text) }

const (
	// enough violations of one invariant are kept.
	enough = 2
	// aftermath is how long a world goes on after the first one.
	aftermath = 3 * time.Second
)

// Run lives a plan through and returns what was violated, the first first. It must be
// called in a synctest bubble of its own, and ends everything that it starts.
func Run(t testing.TB, p Plan) []Violation {
	w := newWorld(t, p)
	defer w.end()
	events := w.timeline()
	for i := range p.Clusters {
		w.begin(i)
	}
	for now := time.Duration(0); now < p.End() && !w.over(now); {
		time.Sleep(step)
		synctest.Wait()
		now = w.now()
		w.look(now)
		for len(events) > 0 && events[0].at <= now {
			events[0].do()
			events = events[1:]
		}
		w.tunnels.update(now)
	}
	w.checkEnd()
	return w.found
}

func newWorld(t testing.TB, p Plan) *World {
	w := &World{
		plan: p, start: time.Now(), net: memnet.New(p.Seed, oneWay), tunnels: newTunnels(p.Clusters),
		members: map[federation.ClusterName]federation.Member{}, egress: map[federation.ServicePort]routing.EgressPort{},
		cuts: map[[2]int]int{}, ledger: newLedger(), cone: newCone(p.Clusters), clean: newClean(p.Clusters), watch: newWatch(),
		errs: make(chan error, 1),
	}
	ca := identitytest.NewCA(t, trustDomain)
	ca.LeafLifetime = max(ca.LeafLifetime, p.End()+time.Hour)
	for i := range p.Clusters {
		name := clusterName(i)
		w.identities = append(w.identities, ca.Source(identity.ID{TrustDomain: trustDomain, Federation: fedName, Cluster: name, Role: identity.RoleOperator}))
		w.members[name] = federation.Member{
			Name: name, Region: regionOf(i), TrustDomain: trustDomain,
			Gateways: []federation.GatewayAddress{{Instance: "gw", Address: string(name)}},
		}
		c := &cluster{index: i, lit: true, said: map[federation.ServicePort]federation.Health{}, since: map[federation.ServicePort]time.Duration{}}
		for s := range services {
			if p.exports(i, s) {
				c.said[servicePort(s)] = federation.Health{Ready: 1, Total: 1}
			}
		}
		w.clusters = append(w.clusters, c)
	}
	for s := range services {
		w.egress[servicePort(s)] = routing.EgressPort{Port: uint16(20000 + s)} //nolint:gosec // small
	}
	return w
}

func (w *World) thinkEvery() time.Duration {
	if w.vigil != nil {
		return quietThink
	}
	return thinkEvery
}

func (w *World) now() time.Duration { return time.Since(w.start) }

// note keeps the first error of a seat.
func (w *World) note(err error) {
	if err == nil {
		return
	}
	select {
	case w.errs <- err:
	default:
	}
}

// addresses are the peers of a cluster: each is dialled at its site.
func (w *World) addresses(of int) map[federation.ClusterName][]string {
	out := map[federation.ClusterName][]string{}
	for i := range w.plan.Clusters {
		if i != of {
			out[clusterName(i)] = []string{string(siteOf(i))}
		}
	}
	return out
}

// ownHealth is a cluster's part of its own health book.
func (w *World) ownHealth(c int) map[federation.ServicePort]federation.HeldRecord {
	w.health.Lock()
	defer w.health.Unlock()
	out := map[federation.ServicePort]federation.HeldRecord{}
	for p, h := range w.clusters[c].said {
		out[p] = federation.HeldRecord{HealthRecord: h.Record(clusterName(c), p, federation.Version{})}
	}
	return out
}

// begin starts a reign of a cluster.
func (w *World) begin(i int) {
	c := w.clusters[i]
	c.epoch++
	s, err := w.newSeat(i, c.epoch)
	if err != nil {
		w.note(err)
		return
	}
	c.seat = s
	w.net.Serve(siteOf(i), s.host)
	w.cone.forget(i)
	w.publish(s, c.said)
}

// publish hands health to a reign's gossip; the ledger sees the state before and after.
func (w *World) publish(s *seat, health map[federation.ServicePort]federation.Health) {
	if !s.alive() {
		return
	}
	w.write(s)
	s.gossip.Publish(maps.Clone(health))
	w.write(s)
	w.ledger.began(reign{clusterName(s.cluster), s.epoch}, w.now())
}

// write notes in the ledger what a reign has said.
func (w *World) write(s *seat) {
	name := clusterName(s.cluster)
	w.ledger.note(reign{name, s.epoch}, s.gossip.Records()[name], w.now())
}

// change lets one cluster's endpoints change.
func (w *World) change(ch change) {
	c, port := w.clusters[ch.cluster], servicePort(ch.service)
	w.health.Lock()
	old, was := c.said[port]
	h := federation.Health{Ready: ch.ready, Total: 10, Capacity: 10 * ch.ready, Load: federation.Measure{Known: true, PerMille: ch.load}}
	if ch.withdrawn {
		delete(c.said, port)
	} else {
		c.said[port] = h
	}
	if was == ch.withdrawn || (old.Ready == 0) != (h.Ready == 0) {
		c.since[port] = w.now()
	}
	said := maps.Clone(c.said)
	w.health.Unlock()
	if c.seat != nil {
		w.publish(c.seat, said)
	}
	for _, old := range c.olds { // who was superseded sees the world differently
		said[port] = federation.Health{Ready: ch.ready + 11, Total: 30}
		w.publish(old, said)
	}
}

// look is what happens at every step.
func (w *World) look(now time.Duration) {
	select {
	case err := <-w.errs:
		w.fail("gossip runs", "%v", err)
	default:
	}
	for _, c := range w.clusters {
		for _, s := range append([]*seat{c.seat}, c.olds...) {
			if s.alive() {
				w.write(s)
			}
		}
	}
	w.tunnels.update(now)
	w.cone.spread(now, w.speaks, w.hears)
	w.clean.update(w, now)
	for _, c := range w.clusters {
		if w.lives(c.index) {
			w.check(c.seat, now)
		}
	}
}

// lives says whether a cluster has an operator.
func (w *World) lives(i int) bool { return w.clusters[i].lit && w.clusters[i].seat.alive() }

// speaks says whether any leader of a cluster does, superseded ones too.
func (w *World) speaks(i int) bool {
	c := w.clusters[i]
	if !c.lit {
		return false
	}
	for _, s := range append([]*seat{c.seat}, c.olds...) {
		if s.alive() {
			return true
		}
	}
	return false
}

func (w *World) hears(from, to int) bool { return w.net.Open(siteOf(from), siteOf(to)) }

// over says whether enough has been seen of what went wrong.
func (w *World) over(now time.Duration) bool {
	return len(w.found) > 0 && now > w.found[0].At+aftermath
}

func (w *World) fail(invariant, format string, args ...any) {
	n := 0
	for _, v := range w.found {
		if v.Invariant == invariant {
			n++
		}
	}
	if n < enough {
		w.found = append(w.found, Violation{At: w.now(), Invariant: invariant, Text: fmt.Sprintf(format, args...)})
	}
}

// end ends all that runs.
func (w *World) end() {
	for _, c := range w.clusters {
		for _, s := range append([]*seat{c.seat}, c.olds...) {
			if s != nil {
				s.cancel()
				<-s.done
			}
		}
	}
	time.Sleep(time.Minute) // memberlist does not wait for its own goroutines
	w.net.Close()
}
