package policystore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"sync"

	"github.com/causeway-mesh/causeway/federation"
)

// errTrust: other authors may be trusted now than were when all was read.
var errTrust = errors.New("trust has changed")

// refusals are the reasons for which a value is refused, as the metric names them, and
// what a person can do about it.
var refusals = []struct {
	err            error
	reason, advice string
}{
	{errUnsigned, "unsigned", "upgrade the cluster that has written it; until then spec.policyStore.unsignedValues: Accept takes such values"},
	{errSeal, "seal", "somebody else has changed it: find out who can write to the store, and let its author publish it again"},
	{errChain, "untrusted", "if its author is a member, add its authority to trustBundles"},
	{errAuthor, "author", "find out who can write to the store, and delete the key if its owner has not written it"},
}

func refusalOf(err error) (reason, advice string) {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.reason, r.advice
		}
	}
	return "malformed", "upgrade this cluster if the author is of a newer version, else let the author publish it again"
}

// put takes in a value that was read from the store.
func (s *Store) put(i item) { s.take(s.replica.open(i)) }

// take takes in a value or counts why it can't.
func (s *Store) take(o opened) {
	switch o.key {
	case s.keys.order():
		return
	case s.keys.accepted():
		s.noteAccepted(o.value)
		return
	}
	err := s.replica.put(o)
	if err == nil {
		delete(s.refused, o.key)
		return
	}
	reason, advice := refusalOf(err)
	s.metrics.refused.WithLabelValues(reason).Inc()
	if s.refused[o.key] == o.revision {
		return // said before
	}
	s.refused[o.key] = o.revision
	s.log.Warn("refusing a value of the policy store; the last good one stays in force", "key", o.key, "revision", o.revision, "reason", reason, "error", err, "advice", advice)
}

// drop forgets a key that the store has deleted.
func (s *Store) drop(key string) {
	s.replica.remove(key)
	delete(s.refused, key)
}

// lookAgain is called before a full read: nobody is trusted any more because he once
// was. changed is closed when all has to be read again for that.
func (s *Store) lookAgain() (changed <-chan struct{}) {
	if s.deps.TrustChanged != nil {
		changed = s.deps.TrustChanged()
	}
	s.notary.forget()
	return changed
}

// takeAll turns the replica into what a full read has listed. Registrations come first:
// they say in which trust domain the rest must be signed.
func (s *Store) takeAll(listed map[string]bool, items []item) {
	s.replica.retain(listed)
	maps.DeleteFunc(s.refused, func(key string, _ uint64) bool { return !listed[key] })
	s.replica.distrust()
	all := s.replica.openAll(items)
	for _, members := range []bool{true, false} {
		for _, o := range all {
			if (o.at.kind == "members") == members {
				s.take(o)
			}
		}
	}
}

// openAll opens values on all processors: verifying a signature takes longer than
// everything else together.
func (r *replica) openAll(items []item) []opened {
	out := make([]opened, len(items))
	n := max(1, min(runtime.GOMAXPROCS(0), len(items)))
	var workers sync.WaitGroup
	for w := range n {
		workers.Go(func() {
			for i := w; i < len(items); i += n {
				out[i] = r.open(items[i])
			}
		})
	}
	workers.Wait()
	return out
}

// distrust drops what authors have written who are not trusted any more.
func (r *replica) distrust() {
	judged := map[[sha256.Size]byte]bool{}
	for key, h := range r.held {
		if h.by == nil {
			continue
		}
		trusted, known := judged[h.by.sum]
		if !known {
			trusted = r.notary.trusts(h.by)
			judged[h.by.sum] = trusted
		}
		if !trusted {
			r.remove(key)
		}
	}
}

// domain says whether a value was signed in the trust domain of its author's
// registration. A registration names that domain itself. Of a cluster that is not
// registered, any domain that we trust will do, until it is.
func (r *replica) domain(o opened) error {
	if o.by == nil {
		return nil
	}
	m, ok := r.members.values[r.keys.member(o.by.Cluster)]
	if o.at.kind == "members" {
		var err error
		if m, err = decodeMember(o.at, o.content); err != nil {
			return err
		}
		ok = true
	}
	if ok && m.TrustDomain != o.by.TrustDomain {
		return fmt.Errorf("%w: it was signed by %s, and cluster %q is of trust domain %q", errAuthor, o.by.ID, o.by.Cluster, m.TrustDomain)
	}
	return nil
}

// evict drops what was signed in a cluster's name, but not in its trust domain, before it
// registered.
func (r *replica) evict(m federation.Member) {
	for key, h := range r.held {
		if h.by != nil && h.by.Cluster == m.Name && h.by.TrustDomain != m.TrustDomain && key != r.keys.member(m.Name) {
			r.remove(key)
		}
	}
}
