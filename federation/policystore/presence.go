package policystore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/federation"
)

// presencePause is the least time between two writes of our presence, and between two
// States that nothing but presence tells apart.
const presencePause = 500 * time.Millisecond

// farewell bounds how long a lease is given back at the end.
const farewell = time.Second

// presenceValue is a hint, not signed: it lies under presence/<cluster>, on a lease.
type presenceValue struct {
	header
	Applied uint64 `json:"applied"`
}

func (k keys) presence(c federation.ClusterName) string { return k.prefix + "presence/" + string(c) }

func decodePresence(at ref, value []byte) (federation.Presence, error) {
	var v presenceValue
	if err := decodeValue(value, &v); err != nil {
		return federation.Presence{}, err
	}
	return federation.Presence{Cluster: at.cluster, Applied: v.Applied}, nil
}

// SetApplied says which revision the route table stands for, for others to see in
// State.Presence. The engine calls it, as often as it likes: it never blocks, and writes
// follow each other by 500 ms at least, the last word winning. What is beyond the last
// ContentRevision is told as that one: else each presence would be news that all others
// apply and tell of in turn.
func (s *Store) SetApplied(revision uint64) {
	s.mu.Lock()
	s.applied = min(revision, s.state.ContentRevision)
	s.mu.Unlock()
	s.wake()
}

func (s *Store) wake() {
	select {
	case s.stir <- struct{}{}:
	default:
	}
}

// sign is what presence stands for: whether the name is ours, and what is applied.
func (s *Store) sign() (applied uint64, ours bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, known := s.state.Members[s.cfg.Cluster]
	return s.applied, known && s.instance != "" && m.InstanceID == s.instance
}

// keepPresence holds our lease for as long as ctx and our registration last. After an
// outage longer than the TTL it takes a new one; etcd gives all leases their full time
// anew when it comes back, so whoever renews or replaces within one TTL is never seen
// to be gone.
func (s *Store) keepPresence(ctx context.Context, client *clientv3.Client) {
	for ctx.Err() == nil {
		if _, ours := s.sign(); !ours {
			select {
			case <-ctx.Done():
			case <-s.stir:
			}
			continue
		}
		if lease, err := s.grant(ctx, client, s.cfg.PresenceTTL); err == nil {
			s.present(ctx, client, lease)
		}
		s.pause(ctx)
	}
}

// grant takes a lease of a TTL in whole seconds.
func (s *Store) grant(ctx context.Context, client *clientv3.Client, ttl time.Duration) (lease clientv3.LeaseID, err error) {
	if _, err := s.running(); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	resp, err := client.Grant(ctx, int64((ttl+time.Second-1)/time.Second))
	if err != nil {
		err = s.explain(err)
		s.noteSpace(err)
		return 0, fmt.Errorf("taking a lease: %w", err)
	}
	return resp.ID, nil
}

// pause waits before the next attempt, of those that never give up.
func (s *Store) pause(ctx context.Context) {
	wait := min(5*s.cfg.RetryMin, s.cfg.RetryMax)
	select {
	case <-ctx.Done():
	case <-time.After(wait/2 + rand.N(wait/2+1)): //nolint:gosec // spreading only
	}
}

// present renews a lease and keeps our key on it up to date, until the lease is lost, the
// name is no longer ours, or ctx ends.
func (s *Store) present(ctx context.Context, client *clientv3.Client, lease clientv3.LeaseID) {
	renewal, stop := context.WithCancel(ctx)
	defer stop()
	alive, err := client.KeepAlive(renewal, lease)
	if err != nil {
		return
	}
	var (
		written  uint64
		isThere  bool
		writable <-chan time.Time // runs while the next write has to wait
	)
	for {
		applied, ours := s.sign()
		if !ours {
			s.revoke(ctx, client, lease)
			return
		}
		if writable == nil && !(isThere && written == applied) {
			wait := presencePause
			if s.putPresence(ctx, lease, applied) == nil {
				written, isThere = applied, true
			} else {
				wait = max(wait, s.cfg.RetryMax/2)
			}
			writable = time.After(wait)
		}
		select {
		case <-ctx.Done():
			s.revoke(ctx, client, lease)
			return
		case _, ok := <-alive:
			if !ok && ctx.Err() == nil {
				return
			}
			if !ok {
				alive = nil // ctx is done
			}
		case <-s.stir:
		case <-writable:
			writable = nil
		}
	}
}

// revoke gives a lease back and its keys with it, within a second; it may be called
// after ctx has ended.
func (s *Store) revoke(ctx context.Context, client *clientv3.Client, lease clientv3.LeaseID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	// One that can't be given back runs out by itself.
	_, _ = client.Revoke(ctx, lease)
}

func (s *Store) putPresence(ctx context.Context, lease clientv3.LeaseID, applied uint64) error {
	key, own := s.keys.presence(s.cfg.Cluster), s.keys.member(s.cfg.Cluster)
	return s.request(ctx, "presence", func(ctx context.Context, c *clientv3.Client) error {
		b, err := s.read(ctx, c, key)
		if err != nil {
			return err
		}
		value, err := encodeValue(presenceValue{header{schemaVersion}, applied}, b.value)
		if err != nil {
			return err
		}
		resp, err := c.Txn(ctx).If(
			clientv3.Compare(clientv3.ModRevision(key), "=", b.modified),
			clientv3.Compare(clientv3.ModRevision(own), "=", b.memberModified),
			clientv3.Compare(clientv3.CreateRevision(own), ">", 0),
		).Then(clientv3.OpPut(key, string(value), clientv3.WithLease(lease))).Commit()
		if err == nil && !resp.Succeeded {
			return errContended
		}
		return err
	})
}
