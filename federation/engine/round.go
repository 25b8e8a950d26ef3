package engine

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/gossip"
	"github.com/causeway-mesh/causeway/federation/liveness"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// knowledge is what the parts say at the beginning of a round.
type knowledge struct {
	records map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord
	members map[federation.ClusterName]gossip.MemberState
	// spoken is how long ago each other cluster's leader last spoke.
	spoken map[federation.ClusterName]time.Duration
	// legs are what other clusters say of their ways, as they travel.
	legs []federation.Leg
	// estimate is what network coordinates say of a round trip.
	estimate func(from, to federation.ClusterName) (time.Duration, bool)
	// paths are what our gateways say of their ways to each peer.
	paths map[federation.ClusterName][]routing.PathReport
	// own is what this cluster says of its own service ports.
	own map[federation.ServicePort]federation.Health
}

// round judges, computes and publishes once.
func (e *Engine) round() {
	e.mu.Lock()
	defer e.mu.Unlock()
	began := time.Now()
	now := e.now()
	know := knowledge{own: e.health(now), paths: e.pathsByPeer(now), estimate: noEstimate}
	if e.seat != nil {
		e.seat.gossip.SetPeers(e.peerAddresses())
		if e.loaded(now) {
			e.seat.gossip.Publish(know.own)
		}
		e.seat.gossip.PublishLegs(e.ownLegs(know.paths))
		know.records, know.members, know.legs = e.seat.gossip.Records(), e.seat.gossip.Members(), e.seat.gossip.Legs()
		know.spoken, know.estimate = e.seat.gossip.Spoken(), e.seat.gossip.Estimate
	}
	e.records = know.records
	e.verdicts = liveness.Judge(e.evidence(know), e.verdicts, now)
	decisions := e.compute(know, now)
	if e.store != nil && e.settings != nil {
		e.store.store.SetPresence(e.presence(now))
	}
	moved := e.failovers.note(decisions)
	next := e.snapshot(know, decisions, now)
	old := e.view.Swap(next)
	e.metrics.round(next, time.Since(began))
	e.metrics.moved(moved)
	if !sameMaterial(old, next) {
		e.notify()
	}
}

// compute makes the table and publishes it if it is a new one.
func (e *Engine) compute(know knowledge, now time.Duration) map[federation.ServicePort]routing.Decision {
	if e.settings == nil || !e.informed {
		e.decided = decided{}
		return nil
	}
	verdicts := make(map[federation.ClusterName]federation.Verdict, len(e.verdicts))
	for name, h := range e.verdicts {
		verdicts[name] = h.Verdict(now)
	}
	health := maps.Clone(know.records)
	if health == nil {
		health = map[federation.ClusterName]map[federation.ServicePort]federation.HeldRecord{}
	}
	health[e.settings.Cluster] = ownHealth(e.settings.Cluster, know.own)
	in := routing.Inputs{
		Self: e.settings.Cluster, Federation: e.settings.Federation,
		Members: e.state.Members, Exports: e.state.Exports, Policies: e.followed,
		Health: health, Verdicts: verdicts, Egress: e.egress, Served: e.served(),
		Operators: []routing.Operator{{Name: e.cfg.Replica, GossipAddress: e.cfg.GossipAddress, Leader: true}},
		Bundles:   e.settings.Bundles,
	}
	e.decided = decided{in: in, state: e.prev, at: now, published: e.state.Policies, rollouts: e.state.Rollouts}
	result, next := routing.Compute(in, e.prev, now)
	e.prev = next
	if e.epoch != 0 && e.egress != nil && e.loaded(now) {
		e.publish(result.Table)
		e.tableRevision = e.state.ContentRevision
	}
	return result.Decisions
}

// loaded says whether the local facts are complete: the store was read, and the
// endpoints of everything we export have been looked up. A new leader that spoke
// earlier would tell peers and gateways that nothing is ready. It waits at most
// LoadTimeout for a service whose endpoints never come.
func (e *Engine) loaded(now time.Duration) bool {
	if !e.informed || e.settings == nil {
		return false
	}
	if now-e.since > e.cfg.LoadTimeout {
		return true
	}
	for _, x := range e.ownExports() {
		if _, ok := e.local[x.Service]; !ok {
			return false
		}
	}
	return true
}

func (e *Engine) publish(t routing.Table) {
	t.Version = e.table.Version
	if t.Version.Epoch == e.epoch && reflect.DeepEqual(t, e.table) {
		return
	}
	e.sequence++
	t.Version = routing.TableVersion{Epoch: e.epoch, Feeder: e.cfg.Replica, Sequence: e.sequence}
	e.table = t
	e.deps.Publish(t)
}

// ownExports are our exports as the store has them.
func (e *Engine) ownExports() []federation.Export {
	var out []federation.Export
	if e.settings == nil {
		return out
	}
	for _, exports := range e.state.Exports {
		for _, x := range exports {
			if x.Cluster == e.settings.Cluster {
				out = append(out, x)
			}
		}
	}
	return out
}

// served is what our ingress may serve: exported, with the endpoints known here.
func (e *Engine) served() map[federation.ServicePort]routing.Served {
	out := map[federation.ServicePort]routing.Served{}
	for _, x := range e.ownExports() {
		for _, p := range x.Ports {
			if p.Protocol == federation.TCP {
				port := federation.ServicePort{Service: x.Service, Port: p.Port}
				out[port] = routing.Served{Port: port, Endpoints: e.local[x.Service][p.Port].Ready}
			}
		}
	}
	return out
}

// peerAddresses are the gateways of all other members, seeds first.
func (e *Engine) peerAddresses() map[federation.ClusterName][]string {
	out := e.settings.seedPeers()
	for name, m := range e.state.Members {
		if name == e.settings.Cluster || len(m.Gateways) == 0 {
			continue
		}
		addrs := make([]string, 0, len(m.Gateways))
		for _, g := range m.Gateways {
			addrs = append(addrs, g.Address)
		}
		out[name] = addrs // what the member registered is newer than a seed
	}
	return out
}

func (e *Engine) snapshot(know knowledge, decisions map[federation.ServicePort]routing.Decision, now time.Duration) *View {
	v := &View{
		Configured: e.settings != nil, Leading: e.epoch != 0, StoreSynced: e.synced || e.left, Epoch: e.epoch,
		Store: e.storeStatus(), Gossip: e.gossipStatus(know), NameConflict: e.conflict(),
		Registration: e.register.failure,
		Exports:      e.state.Exports, Policies: e.held, Gateways: e.gatewayViews(now),
		Decisions: decisions, Table: e.table.Version, APIServerLost: e.apiServerLost,
		RecordAges: recordAges(know.records), Own: know.own,
	}
	if e.settings == nil {
		return v
	}
	v.Self = e.settings.Cluster
	for _, m := range e.state.Members {
		mv := MemberView{Member: m, Self: m.Name == v.Self, Verdict: e.verdicts[m.Name].Verdict(now)}
		if mv.Self {
			mv.Verdict = federation.Verdict{Kind: federation.Reachable, Cause: "this cluster"}
		}
		v.Members = append(v.Members, mv)
	}
	e.matrix.refresh(now, func() []federation.Leg {
		return allLegs(v.Self, e.state.Members, e.ownLegs(know.paths), know.legs, know.estimate)
	})
	v.Legs, v.LegsAge = e.matrix.legs, now-e.matrix.made
	slices.SortFunc(v.Members, func(a, b MemberView) int { return cmp.Compare(a.Name, b.Name) })
	return v
}
