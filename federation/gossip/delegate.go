package gossip

import (
	"bytes"
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

// NotifyMsg takes an epidemic message: who sent it is not known, who signed it is.
// memberlist may use b again once this returns.
func (d *delegate) NotifyMsg(b []byte) {
	g := d.g
	if len(b) == 0 || b[0] != frameBatch {
		g.metrics.refuse(epidemicReason(b))
		return
	}
	age, sealed, err := splitBatch(bytes.Clone(b[1:]))
	if err != nil {
		g.metrics.refuse(refuseMalformed)
		return
	}
	owner, batch, reason := g.admit(sealed, g.now())
	switch {
	case reason != "":
		g.metrics.refuse(reason)
	case owner == g.cfg.Cluster:
		g.heardOwn(sealed, batch)
	case g.file(owner, sealed, batch, age):
		g.askAny(owner)
	}
}

// epidemicReason tells why a message is none of ours: version 1's, which nobody has
// signed, or a later version's.
func epidemicReason(b []byte) string {
	switch {
	case len(b) == 0:
		return refuseMalformed
	case b[0] == codecVersion:
		return refuseUnsigned
	}
	return refuseUnknown
}

func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	g := d.g
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	return g.epidemic.take(overhead, limit, retransmits(len(g.peers)+1), func(r rumour) []byte {
		v := g.archive.volumes[r.owner]
		if v == nil || v.epoch != r.version.Epoch {
			return nil
		}
		f := v.deltas[r.version.Sequence]
		if f == nil {
			return nil
		}
		return append([]byte{frameBatch}, encodeBatch(now-f.made, f.sealed)...)
	})
}

// LocalState is empty: memberlist's full exchange is for its members alone, health has
// an exchange of its own. What stands here is an empty message of version 1, for its sake.
func (d *delegate) LocalState(bool) []byte { return encode() }

// MergeRemoteState is what a peer of version 1 tells of all it holds: nobody has signed it.
func (d *delegate) MergeRemoteState(b []byte, _ bool) {
	if len(b) > len(encode()) {
		d.g.metrics.refuse(refuseUnsigned)
	}
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
