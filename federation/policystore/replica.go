package policystore

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"maps"

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
	members  *shelf[federation.Member]
	exports  *shelf[federation.Export]
	policies *shelf[federation.Policy]
	rollouts *shelf[federation.Rollout]
	presence *shelf[federation.Presence]
	raw      map[string]item // of what is not presence
	last     State           // what state has returned
}

// held is what we know of a value beside its content.
type held struct {
	sum [sha256.Size]byte // of its bytes
	by  *author
}

func newReplica(k keys, n *notary) *replica {
	return &replica{
		keys: k, notary: n, held: map[string]held{},
		members: newShelf[federation.Member](), exports: newShelf[federation.Export](),
		policies: newShelf[federation.Policy](), rollouts: newShelf[federation.Rollout](),
		presence: newShelf[federation.Presence](), raw: map[string]item{},
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
		if old, ok := r.members.values[o.key]; !ok || old.TrustDomain != m.TrustDomain {
			r.evict(m)
		}
		r.members.put(o.key, m)
	case "exports":
		e, err := decodeExport(o.at, o.content)
		if err != nil {
			return err
		}
		r.exports.put(o.key, e)
	case "policies":
		p, err := decodePolicy(o.at, o.content, o.revision)
		if err != nil {
			return err
		}
		r.policies.put(o.key, p)
	case "rollouts":
		v, err := decodeRollout(o.at, o.content, o.revision)
		if err != nil {
			return err
		}
		r.rollouts.put(o.key, v)
	case "presence":
		p, err := decodePresence(o.at, o.content)
		if err != nil {
			return err
		}
		r.presence.put(o.key, p)
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
	r.members.drop(key)
	r.exports.drop(key)
	r.policies.drop(key)
	r.rollouts.drop(key)
	r.presence.drop(key)
}

// retain removes what a full read no longer lists.
func (r *replica) retain(listed map[string]bool) {
	maps.DeleteFunc(r.held, func(key string, _ held) bool { return !listed[key] })
	maps.DeleteFunc(r.raw, func(key string, _ item) bool { return !listed[key] })
	r.members.retain(listed)
	r.exports.retain(listed)
	r.policies.retain(listed)
	r.rollouts.retain(listed)
	r.presence.retain(listed)
}

// state is an immutable picture. It shares what has not changed with the one before it,
// and the slices inside values with the replica, which never changes them in place.
func (r *replica) state(revision uint64) State {
	r.last = State{
		Members:  indexed(r.last.Members, r.members, func(m federation.Member) federation.ClusterName { return m.Name }),
		Exports:  r.offers(),
		Policies: r.inOrder(),
		Rollouts: indexed(r.last.Rollouts, r.rollouts, func(o federation.Rollout) federation.PolicyID { return o.Policy }),
		Presence: indexed(r.last.Presence, r.presence, func(p federation.Presence) federation.ClusterName { return p.Cluster }),
		Revision: revision,
	}
	return r.last
}

func (r *replica) inOrder() []federation.Policy {
	gone, fresh := r.policies.changes()
	if len(gone)+len(fresh) == 0 {
		return r.last.Policies
	}
	return merged(r.last.Policies, gone, fresh, func(a, b *federation.Policy) int {
		if c := cmp.Compare(a.Order, b.Order); c != 0 {
			return c
		}
		return cmp.Compare(a.ID.String(), b.ID.String()) // hardly ever: an order is given once
	})
}

// offers are the exports, each service's in their order.
func (r *replica) offers() map[federation.ServiceName][]federation.Export {
	gone, fresh := r.exports.changes()
	if r.last.Exports != nil && len(gone)+len(fresh) == 0 {
		return r.last.Exports
	}
	without, with := byService(gone), byService(fresh)
	out := make(map[federation.ServiceName][]federation.Export, len(r.last.Exports)+len(with))
	maps.Copy(out, r.last.Exports)
	for _, changed := range []map[federation.ServiceName][]federation.Export{without, with} {
		for service := range changed {
			list := merged(r.last.Exports[service], without[service], with[service], func(a, b *federation.Export) int {
				return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Cluster, b.Cluster))
			})
			if out[service] = list; len(list) == 0 {
				delete(out, service)
			}
		}
	}
	return out
}

func byService(all []federation.Export) map[federation.ServiceName][]federation.Export {
	out := map[federation.ServiceName][]federation.Export{}
	for _, e := range all {
		out[e.Service] = append(out[e.Service], e)
	}
	return out
}
