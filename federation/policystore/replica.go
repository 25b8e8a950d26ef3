package policystore

import (
	"cmp"
	"crypto/sha256"
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
	notary   *notary
	held     map[string]held
	members  map[string]federation.Member
	exports  map[string]federation.Export
	policies map[string]federation.Policy
	rollouts map[string]federation.Rollout
	presence map[string]federation.Presence
	raw      map[string]item // of what is not presence
}

// held is what we know of a value beside its content.
type held struct {
	sum [sha256.Size]byte // of its bytes
	by  *author
}

func newReplica(k keys, n *notary) *replica {
	return &replica{
		keys: k, notary: n, held: map[string]held{}, members: map[string]federation.Member{}, exports: map[string]federation.Export{},
		policies: map[string]federation.Policy{}, rollouts: map[string]federation.Rollout{},
		presence: map[string]federation.Presence{}, raw: map[string]item{},
	}
}

// opened is a value on its way in: who has said what, or why it is refused.
type opened struct {
	item
	held
	at      ref
	content []byte // without its seal
	err     error
}

// open looks at a value and changes nothing.
func (r *replica) open(i item) opened {
	o := opened{item: i, held: held{sum: sha256.Sum256(i.value)}}
	if o.at, o.err = r.keys.parse(i.key); o.err != nil {
		return o
	}
	var before *author
	if h, ok := r.held[i.key]; ok && h.sum == o.sum {
		before = h.by
	}
	o.content, o.by, o.err = r.notary.open(i.key, o.at, i.value, before)
	return o
}

// put takes in a value; an error leaves the last good one of its key in place.
func (r *replica) put(o opened) error {
	if errors.Is(o.err, errForeignKey) {
		return nil
	}
	if o.err != nil {
		return o.err
	}
	if err := r.domain(o); err != nil {
		return err
	}
	switch o.at.kind {
	case "members":
		m, err := decodeMember(o.at, o.content)
		if err != nil {
			return err
		}
		if old, ok := r.members[o.key]; !ok || old.TrustDomain != m.TrustDomain {
			r.evict(m)
		}
		r.members[o.key] = m
	case "exports":
		e, err := decodeExport(o.at, o.content)
		if err != nil {
			return err
		}
		r.exports[o.key] = e
	case "policies":
		p, err := decodePolicy(o.at, o.content, o.revision)
		if err != nil {
			return err
		}
		r.policies[o.key] = p
	case "rollouts":
		v, err := decodeRollout(o.at, o.content, o.revision)
		if err != nil {
			return err
		}
		r.rollouts[o.key] = v
	case "presence":
		p, err := decodePresence(o.at, o.content)
		if err != nil {
			return err
		}
		r.presence[o.key] = p
	}
	r.held[o.key] = o.held
	if o.at.kind != "presence" {
		r.raw[o.key] = o.item
	}
	return nil
}

func (r *replica) remove(key string) {
	delete(r.held, key)
	delete(r.raw, key)
	delete(r.members, key)
	delete(r.exports, key)
	delete(r.policies, key)
	delete(r.rollouts, key)
	delete(r.presence, key)
}

// retain removes what a full read no longer lists.
func (r *replica) retain(listed map[string]bool) {
	gone := func(key string) bool { return !listed[key] }
	maps.DeleteFunc(r.held, func(k string, _ held) bool { return gone(k) })
	maps.DeleteFunc(r.raw, func(k string, _ item) bool { return gone(k) })
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
