package policystore

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"github.com/causeway-mesh/causeway/federation"
)

// item is a key-value pair of the store, whichever library it comes from.
type item struct {
	key      string
	value    []byte
	revision uint64
}

// replica is the pure core: the values as last read well, key by key.
type replica struct {
	keys     keys
	members  map[string]federation.Member
	exports  map[string]federation.Export
	policies map[string]federation.Policy
	rollouts map[string]federation.Rollout
	presence map[string]federation.Presence
}

func newReplica(k keys) *replica {
	return &replica{
		keys: k, members: map[string]federation.Member{}, exports: map[string]federation.Export{},
		policies: map[string]federation.Policy{}, rollouts: map[string]federation.Rollout{},
		presence: map[string]federation.Presence{},
	}
}

// put takes in a value; an error leaves the last good one of its key in place.
func (r *replica) put(i item) error {
	at, err := r.keys.parse(i.key)
	if errors.Is(err, errForeignKey) {
		return nil
	}
	if err != nil {
		return err
	}
	switch at.kind {
	case "members":
		m, err := decodeMember(at, i.value)
		if err != nil {
			return err
		}
		r.members[i.key] = m
	case "exports":
		e, err := decodeExport(at, i.value)
		if err != nil {
			return err
		}
		r.exports[i.key] = e
	case "policies":
		p, err := decodePolicy(at, i.value, i.revision)
		if err != nil {
			return err
		}
		r.policies[i.key] = p
	case "rollouts":
		o, err := decodeRollout(at, i.value, i.revision)
		if err != nil {
			return err
		}
		r.rollouts[i.key] = o
	case "presence":
		p, err := decodePresence(at, i.value)
		if err != nil {
			return err
		}
		r.presence[i.key] = p
	}
	return nil
}

func (r *replica) remove(key string) {
	delete(r.members, key)
	delete(r.exports, key)
	delete(r.policies, key)
	delete(r.rollouts, key)
	delete(r.presence, key)
}

// retain removes what a full read no longer lists.
func (r *replica) retain(listed map[string]bool) {
	gone := func(key string) bool { return !listed[key] }
	maps.DeleteFunc(r.members, func(k string, _ federation.Member) bool { return gone(k) })
	maps.DeleteFunc(r.exports, func(k string, _ federation.Export) bool { return gone(k) })
	maps.DeleteFunc(r.policies, func(k string, _ federation.Policy) bool { return gone(k) })
	maps.DeleteFunc(r.rollouts, func(k string, _ federation.Rollout) bool { return gone(k) })
	maps.DeleteFunc(r.presence, func(k string, _ federation.Presence) bool { return gone(k) })
}

// state is an immutable picture. It shares slices inside values with the replica,
// which never changes them in place.
func (r *replica) state(revision uint64) State {
	s := State{
		Members:  make(map[federation.ClusterName]federation.Member, len(r.members)),
		Exports:  make(map[federation.ServiceName][]federation.Export),
		Policies: slices.Collect(maps.Values(r.policies)),
		Rollouts: make(map[federation.PolicyID]federation.Rollout, len(r.rollouts)),
		Presence: make(map[federation.ClusterName]federation.Presence, len(r.presence)),
		Revision: revision,
	}
	for _, p := range r.presence {
		s.Presence[p.Cluster] = p
	}
	for _, m := range r.members {
		s.Members[m.Name] = m
	}
	for _, o := range r.rollouts {
		s.Rollouts[o.Policy] = o
	}
	for _, e := range r.exports {
		s.Exports[e.Service] = append(s.Exports[e.Service], e)
	}
	for _, list := range s.Exports {
		slices.SortFunc(list, func(a, b federation.Export) int {
			return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Cluster, b.Cluster))
		})
	}
	slices.SortFunc(s.Policies, func(a, b federation.Policy) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.ID.String(), b.ID.String()))
	})
	return s
}
