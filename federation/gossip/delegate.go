package gossip

import (
	"errors"
	"fmt"

	"github.com/hashicorp/memberlist"

	"github.com/causeway-mesh/causeway/federation"
)

var (
	_ memberlist.Delegate         = (*delegate)(nil)
	_ memberlist.AliveDelegate    = (*delegate)(nil)
	_ memberlist.MergeDelegate    = (*delegate)(nil)
	_ memberlist.ConflictDelegate = (*delegate)(nil)
	_ memberlist.EventDelegate    = (*delegate)(nil)
)

// delegate is what memberlist asks and tells.
type delegate struct{ g *Gossip }

func (d *delegate) NodeMeta(limit int) []byte {
	if len(d.g.cfg.Advertise) > limit {
		return nil
	}
	return []byte(d.g.cfg.Advertise)
}

// NotifyMsg takes an epidemic message: who sent it is not known, so it is relayed.
func (d *delegate) NotifyMsg(b []byte) { d.g.receive(b, "", 0) }

func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	g := d.g
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	return g.epidemic.take(overhead, limit, retransmits(len(g.peers)+1), func(r rumour) []byte {
		ports := []federation.ServicePort{}
		if r.port.Port != 0 {
			ports = append(ports, r.port)
		}
		s, ok := g.book.tell(r.owner, ports, now)
		if !ok || r.port.Port != 0 && len(s.Records) == 0 {
			return nil
		}
		return encode(s)
	})
}

// LocalState is all that we hold, for a full exchange.
func (d *delegate) LocalState(bool) []byte {
	g := d.g
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []statement
	for c := range g.book.clusters {
		if c == g.cfg.Cluster && !g.published {
			continue
		}
		if s, ok := g.book.tell(c, nil, g.now()); ok {
			all = append(all, s)
		}
	}
	return encode(all...)
}

func (d *delegate) MergeRemoteState(b []byte, _ bool) {
	lim := d.g.limit
	lim.bytes *= lim.clusters
	d.g.receiveWithin(b, "", 0, lim)
}

var errNotAPeer = errors.New("is not a known peer")

func (d *delegate) admit(name string) error {
	c := federation.ClusterName(name)
	if c == d.g.cfg.Cluster || d.g.knows(c) {
		return nil
	}
	d.g.metrics.refuse(refuseMember)
	return fmt.Errorf("member %q %w", name, errNotAPeer)
}

// NotifyAlive keeps unknown names out of the member list.
func (d *delegate) NotifyAlive(n *memberlist.Node) error { return d.admit(n.Name) }

// NotifyMerge refuses an exchange that is larger than a federation can be. Single unknown
// names don't refuse it, since a member may know of a newcomer before we do; NotifyAlive
// leaves them out one by one.
func (d *delegate) NotifyMerge(nodes []*memberlist.Node) error {
	if len(nodes) > d.g.cfg.MaxClusters {
		d.g.metrics.refuse(refuseClusters)
		return fmt.Errorf("exchange names %d members, at most %d are allowed", len(nodes), d.g.cfg.MaxClusters)
	}
	return nil
}

// NotifyConflict hears of one name at two addresses. Ours are made from names, so
// only a forged message can do this.
func (d *delegate) NotifyConflict(existing, _ *memberlist.Node) {
	d.g.metrics.refuse(refuseMember)
	d.g.log.Warn("gossip message gives a member another address, ignored", "cluster", existing.Name)
}

func (d *delegate) NotifyJoin(n *memberlist.Node)   { d.note(n) }
func (d *delegate) NotifyLeave(n *memberlist.Node)  { d.note(n) }
func (d *delegate) NotifyUpdate(n *memberlist.Node) { d.note(n) }

// note keeps the advertised address and announces the change. memberlist holds its
// lock meanwhile, so nothing here may ask it anything.
func (d *delegate) note(n *memberlist.Node) {
	g := d.g
	c := federation.ClusterName(n.Name)
	g.mu.Lock()
	if _, ok := g.peers[c]; ok && len(n.Meta) <= maxAdvertise {
		g.hints[c] = string(n.Meta)
	}
	g.mu.Unlock()
	poke(g.changed)
}
