package policystore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
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
	// Calls are none while nothing is rolled out.
	Calls []callsValue `json:"calls"`
}

type callsValue struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Errors is in thousandths; nil is unknown.
	Errors    *uint16 `json:"errorsPerMille,omitempty"`
	LatencyUS int64   `json:"latencyUS,omitempty"`
}

func presenceToValue(p federation.Presence) presenceValue {
	v := presenceValue{header: header{schemaVersion}, Applied: p.Applied, Calls: []callsValue{}}
	for _, c := range p.Calls[:min(len(p.Calls), federation.MaxPresenceCalls)] {
		one := callsValue{Namespace: c.Service.Namespace, Name: c.Service.Name, LatencyUS: c.Latency.Microseconds()}
		if c.Errors.Known {
			one.Errors = &c.Errors.PerMille
		}
		v.Calls = append(v.Calls, one)
	}
	return v
}

func (k keys) presence(c federation.ClusterName) string { return k.prefix + "presence/" + string(c) }

func decodePresence(at ref, value []byte) (federation.Presence, error) {
	var v presenceValue
	if err := decodeValue(value, &v); err != nil {
		return federation.Presence{}, err
	}
	if len(v.Calls) > federation.MaxPresenceCalls {
		return federation.Presence{}, fmt.Errorf("presence with calls to %d services, at most %d are allowed", len(v.Calls), federation.MaxPresenceCalls)
	}
	p := federation.Presence{Cluster: at.cluster, Applied: v.Applied}
	for _, c := range v.Calls {
		one := federation.ServiceCalls{
			Service: federation.ServiceName{Namespace: c.Namespace, Name: c.Name},
			Latency: time.Duration(min(max(0, c.LatencyUS), maxLatencyUS)) * time.Microsecond,
		}
		if c.Errors != nil {
			one.Errors = federation.Measure{Known: true, PerMille: min(*c.Errors, 1000)}
		}
		p.Calls = append(p.Calls, one)
	}
	return p, nil
}

// maxLatencyUS bounds what a cluster can claim: an hour.
const maxLatencyUS = 3_600_000_000

// SetPresence says which revision the route table stands for, and how calls fare, for
// others to see in State.Presence. The engine calls it, as often as it likes: it never
// blocks, and writes follow each other by 500 ms at least, the last word winning. A
// revision beyond the last ContentRevision is told as that one: else each presence would
// be news that all others apply and tell of in turn. Nobody may change p afterwards.
func (s *Store) SetPresence(p federation.Presence) {
	s.mu.Lock()
	p.Cluster, p.Applied = s.cfg.Cluster, min(p.Applied, s.state.ContentRevision)
	s.said = p
	s.mu.Unlock()
	s.wake()
}

func (s *Store) wake() {
	select {
	case s.stir <- struct{}{}:
	default:
	}
}

// sign is what presence says, and whether the name is ours.
func (s *Store) sign() (p federation.Presence, ours bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m, known := s.state.Members[s.cfg.Cluster]
	return s.said, known && s.instance != "" && m.InstanceID == s.instance
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
		written  federation.Presence
		isThere  bool
		writable <-chan time.Time // runs while the next write has to wait
	)
	for {
		said, ours := s.sign()
		if !ours {
			s.revoke(ctx, client, lease)
			return
		}
		if writable == nil && !(isThere && reflect.DeepEqual(written, said)) {
			wait := presencePause
			if s.putPresence(ctx, lease, said) == nil {
				written, isThere = said, true
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

func (s *Store) putPresence(ctx context.Context, lease clientv3.LeaseID, p federation.Presence) error {
	key, own := s.keys.presence(s.cfg.Cluster), s.keys.member(s.cfg.Cluster)
	return s.request(ctx, "presence", func(ctx context.Context, c *clientv3.Client) error {
		b, err := s.read(ctx, c, key)
		if err != nil {
			return err
		}
		value, err := encodeValue(presenceToValue(p), b.value)
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
