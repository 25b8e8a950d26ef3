package policystore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/rollout"
)

// errContended: somebody else changed what we had read; read again.
var errContended = errors.New("concurrent change")

// request runs a read-then-write until no one else gets between, within the deadline.
func (s *Store) request(ctx context.Context, operation string, do func(context.Context, *clientv3.Client) error) error {
	client, err := s.running()
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	for {
		err = do(ctx, client)
		if !errors.Is(err, errContended) {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(20 * time.Millisecond)): //nolint:gosec // spreading only
		}
		if ctx.Err() != nil {
			break
		}
	}
	err = s.explain(err)
	result := string(Connected)
	if err != nil {
		reason, _ := s.reasonOf(err)
		result = string(reason)
		if errors.Is(err, ErrNameTaken) || errors.Is(err, ErrTooLarge) || errors.Is(err, ErrNoSigner) || errors.Is(err, ErrDeposed) || errors.Is(err, errContended) {
			result = "Refused"
		}
	}
	s.metrics.requests.WithLabelValues(operation, result).Inc()
	s.noteSpace(err)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	return nil
}

// before is what a write finds: the key, the order counter and our registration.
type before struct {
	value            []byte // without its seal; nil if it is not its author's
	sealed           bool   // value would be read without leniency
	modified         int64  // 0: the key does not exist
	order            uint64
	orderModified    int64
	memberModified   int64
	memberInstanceID string
}

func (s *Store) read(ctx context.Context, client *clientv3.Client, key string) (before, error) {
	known := s.memory()
	resp, err := client.Txn(ctx).Then(
		clientv3.OpGet(key), clientv3.OpGet(s.keys.order()), clientv3.OpGet(s.keys.member(s.cfg.Cluster)),
	).Commit()
	if err != nil {
		return before{}, err
	}
	if err := s.sameStore(known, resp.Header.ClusterId, resp.Header.Revision); err != nil {
		return before{}, err
	}
	var b before
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		b.modified = kvs[0].ModRevision
		b.value, b.sealed = s.authentic(key, kvs[0].Value)
	}
	if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) > 0 {
		b.orderModified = kvs[0].ModRevision
		if b.order, err = strconv.ParseUint(string(kvs[0].Value), 10, 64); err != nil {
			return before{}, fmt.Errorf("the order counter %s is not a number: %w", s.keys.order(), err)
		}
	}
	if kvs := resp.Responses[2].GetResponseRange().Kvs; len(kvs) > 0 {
		own := s.keys.member(s.cfg.Cluster)
		b.memberModified = kvs[0].ModRevision
		if value, _ := s.authentic(own, kvs[0].Value); value != nil {
			m, err := decodeMember(ref{cluster: s.cfg.Cluster}, value)
			if err != nil {
				return before{}, fmt.Errorf("our registration %s can't be read, remove or repair it by hand: %w", own, err)
			}
			b.memberInstanceID = m.InstanceID
		}
	}
	return b, s.mine(b)
}

// authentic is what a value holds that its author has written; nil if somebody else has,
// whose fields and place in the order are not to be taken over, nor put under a seal of
// ours. sealed is false for one that is believed only for want of a seal.
func (s *Store) authentic(key string, value []byte) (content []byte, sealed bool) {
	at, err := s.keys.parse(key)
	if err != nil {
		return nil, false
	}
	content, by, err := s.notary.open(key, at, value, nil)
	if err != nil {
		return nil, false
	}
	return content, by != nil || s.cfg.Unsealed
}

// holds says whether the key holds value already, as value would be written.
func (b before) holds(value []byte) bool { return b.sealed && sameValue(value, b.value) }

// mine refuses writes while the name belongs to another cluster. A registration that
// nobody of that name has signed holds no name.
func (s *Store) mine(b before) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.memberInstanceID == "" || s.instance == "" || b.memberInstanceID == s.instance {
		return nil
	}
	return NameTaken(s.cfg.Federation, s.cfg.Cluster, b.memberInstanceID, s.instance)
}

// NameTaken is ErrNameTaken with who holds the name, by instance ID, and what to do.
func NameTaken(federationName string, cluster federation.ClusterName, theirs, ours string) error {
	return fmt.Errorf("%w: %q in federation %q belongs to the cluster with instance ID %s, ours is %s; give this cluster another name, or remove the other one's registration",
		ErrNameTaken, cluster, federationName, theirs, ours)
}

// write puts value, under its seal, if nothing that was read has changed since.
func (s *Store) write(ctx context.Context, client *clientv3.Client, key string, b before, value []byte, newOrder uint64) (revision uint64, err error) {
	if value, err = s.seal(key, value); err != nil {
		return 0, err
	}
	own := s.keys.member(s.cfg.Cluster)
	conditions := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", b.modified)}
	if own != key {
		conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(own), "=", b.memberModified))
	}
	ops := []clientv3.Op{clientv3.OpPut(key, string(value))}
	if newOrder > 0 {
		conditions = append(conditions, clientv3.Compare(clientv3.ModRevision(s.keys.order()), "=", b.orderModified))
		ops = append(ops, clientv3.OpPut(s.keys.order(), strconv.FormatUint(newOrder, 10)))
	}
	resp, err := client.Txn(ctx).If(conditions...).Then(ops...).Commit()
	if err != nil {
		return 0, err
	}
	if !resp.Succeeded {
		return 0, errContended
	}
	return uint64(resp.Header.Revision), nil //nolint:gosec // never negative
}

// seal signs a value for a key, and makes sure that we would believe it ourselves.
func (s *Store) seal(key string, content []byte) ([]byte, error) {
	if s.cfg.Unsealed {
		return content, nil
	}
	cert, err := s.deps.Certificate()
	if err != nil {
		return nil, fmt.Errorf("%w yet, try again once this operator's certificate is issued: %w", ErrNoSigner, err)
	}
	value, err := sealed(cert, key, content)
	if err != nil {
		return nil, err
	}
	at, err := s.keys.parse(key)
	if err != nil {
		return nil, err
	}
	if _, _, err := s.notary.open(key, at, value, nil); err != nil {
		return nil, fmt.Errorf("%w so that others believe it, check this operator's certificate and its own trust domain's bundle: %w", ErrNoSigner, err)
	}
	return value, nil
}

// Register writes our registration. ErrNameTaken if another cluster holds the name.
func (s *Store) Register(ctx context.Context, m federation.Member) error {
	if m.Name != s.cfg.Cluster || m.InstanceID == "" {
		return fmt.Errorf("registering %q: want our own name %q and an instance ID", m.Name, s.cfg.Cluster)
	}
	s.mu.Lock()
	s.instance = m.InstanceID
	s.mu.Unlock()
	defer s.wake() // presence may begin
	key := s.keys.member(m.Name)
	return s.request(ctx, "register", func(ctx context.Context, c *clientv3.Client) error {
		b, err := s.read(ctx, c, key)
		if err != nil {
			return err
		}
		value, err := encodeValue(memberToValue(m), b.value)
		if err != nil || b.holds(value) {
			return err
		}
		_, err = s.write(ctx, c, key, b, value, 0)
		return err
	})
}

// Unregister removes our registration, exports and policies, all at once. It
// touches nothing if another cluster holds the name.
func (s *Store) Unregister(ctx context.Context) error {
	s.mu.Lock()
	known := s.instance != ""
	s.mu.Unlock()
	if !known {
		return errors.New("unregistering: Register has not been called, so what is ours is not known")
	}
	return s.request(ctx, "unregister", func(ctx context.Context, c *clientv3.Client) error {
		own := s.keys.member(s.cfg.Cluster)
		b, err := s.read(ctx, c, own)
		if err != nil {
			return err
		}
		ops := []clientv3.Op{clientv3.OpDelete(own), clientv3.OpDelete(s.keys.exports(s.cfg.Cluster), clientv3.WithPrefix())}
		authored, err := c.Get(ctx, s.keys.policies(s.cfg.Cluster), clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			return err
		}
		if authored.Count > 0 { // who may not author may not delete there either, not even nothing
			ops = append(ops, clientv3.OpDelete(s.keys.policies(s.cfg.Cluster), clientv3.WithPrefix()))
		}
		resp, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(own), "=", b.memberModified)).Then(ops...).Commit()
		if err == nil && !resp.Succeeded {
			return errContended
		}
		return err
	})
}

// PutExport publishes an export of this cluster and returns it with its Order. An
// equal one is not written again.
func (s *Store) PutExport(ctx context.Context, e federation.Export) (federation.Export, error) {
	if e.Cluster != s.cfg.Cluster || !keyPart(e.Service.Namespace) || !keyPart(e.Service.Name) {
		return e, fmt.Errorf("publishing export %s of cluster %q: not a service of our cluster %q", e.Service, e.Cluster, s.cfg.Cluster)
	}
	at := ref{cluster: e.Cluster, namespace: e.Service.Namespace, name: e.Service.Name}
	err := s.request(ctx, "put_export", func(ctx context.Context, c *clientv3.Client) error {
		key := s.keys.export(e.Cluster, e.Service)
		b, err := s.read(ctx, c, key)
		if err != nil {
			return err
		}
		old, _ := decodeExport(at, b.value) // no order if absent or unreadable
		order, fresh := place(old.Order, b)
		e.Order = order
		value, err := encodeValue(exportToValue(e), b.value)
		if err != nil || b.holds(value) {
			return err
		}
		_, err = s.write(ctx, c, key, b, value, fresh)
		return err
	})
	return e, err
}

// place keeps the order that a key already has, or takes the next one.
func place(old uint64, b before) (order, fresh uint64) {
	if old > 0 {
		return old, 0
	}
	return b.order + 1, b.order + 1
}

// DeleteExport withdraws an export of this cluster; one that is not there is no error.
func (s *Store) DeleteExport(ctx context.Context, name federation.ServiceName) error {
	return s.remove(ctx, "delete_export", s.keys.export(s.cfg.Cluster, name))
}

// PutPolicy publishes a policy that this cluster authors and returns it as the store
// holds it then: with its Order, Revision and History, which are the store's to keep. An
// equal one is not written again. A version that asks what the last one asked stays
// that one, by its generation.
func (s *Store) PutPolicy(ctx context.Context, p federation.Policy) (federation.Policy, error) {
	if p.ID.Origin != s.cfg.Cluster || !keyPart(p.ID.Namespace) || !keyPart(p.ID.Name) {
		return p, fmt.Errorf("publishing policy %s: not one of our cluster %q", p.ID, s.cfg.Cluster)
	}
	at := ref{cluster: p.ID.Origin, namespace: p.ID.Namespace, name: p.ID.Name}
	err := s.request(ctx, "put_policy", func(ctx context.Context, c *clientv3.Client) error {
		key := s.keys.policy(p.ID)
		b, err := s.read(ctx, c, key)
		if err != nil {
			return err
		}
		old, _ := decodePolicy(at, b.value, 0)
		order, fresh := place(old.Order, b)
		p.Order, p.Revision = order, uint64(b.modified) //nolint:gosec // never negative
		p = succeed(p, old, s.record(p.ID))
		value, err := encodeValue(policyToValue(p), b.value)
		if err != nil || b.holds(value) {
			return err
		}
		revision, err := s.write(ctx, c, key, b, value, fresh)
		if err == nil {
			p.Revision = revision
		}
		return err
	})
	return p, err
}

// record is how far a policy's change has come, as we last read; nil is nothing known.
func (s *Store) record(id federation.PolicyID) *federation.Rollout {
	if r, ok := s.State().Rollouts[id]; ok {
		return &r
	}
	return nil
}

// succeed makes p the successor of what the store holds; nothing has order 0. A version
// that held everywhere, as there was no plan, and is given one now stands at the
// beginning of its own history: rollout.InForce reads it so. The versions that record
// speaks of, nil if there is none, are kept longest.
func succeed(p, old federation.Policy, record *federation.Rollout) federation.Policy {
	p.Observed = max(p.Observed, p.Generation)
	switch back, undone := undone(old); {
	case old.Order == 0:
		p.History = nil
	case undone && p.Observed > old.Observed: // what follows, follows what held
		p.History = withFirst(back, withFirst(old.PolicyVersion, old.History))
	case !p.Same(old.PolicyVersion):
		p.History = withFirst(old.PolicyVersion, old.History)
	case old.Rollout == nil && p.Rollout != nil:
		p.Generation, p.History = old.Generation, withFirst(old.PolicyVersion, old.History)
	default:
		p.Generation, p.History = old.Generation, old.History
	}
	p.History = rollout.Trim(p.History, record)
	return p
}

// undone is the version that an author has gone back to by hand.
func undone(p federation.Policy) (federation.PolicyVersion, bool) {
	for _, h := range p.History {
		if p.Undo != 0 && h.Generation == p.Undo {
			return h, true
		}
	}
	return federation.PolicyVersion{}, false
}

// withFirst is a history that begins with a version, once.
func withFirst(v federation.PolicyVersion, history []federation.PolicyVersion) []federation.PolicyVersion {
	out := []federation.PolicyVersion{v}
	for _, h := range history {
		if h.Generation != v.Generation {
			out = append(out, h)
		}
	}
	return out
}

// DeletePolicy withdraws a policy that this cluster authored; one that is not
// there is no error.
func (s *Store) DeletePolicy(ctx context.Context, id federation.PolicyID) error {
	if id.Origin != s.cfg.Cluster {
		return fmt.Errorf("withdrawing policy %s: not one of our cluster %q", id, s.cfg.Cluster)
	}
	return s.remove(ctx, "delete_policy", s.keys.policy(id))
}

func (s *Store) remove(ctx context.Context, operation, key string) error {
	return s.request(ctx, operation, func(ctx context.Context, c *clientv3.Client) error {
		b, err := s.read(ctx, c, key)
		if err != nil || b.modified == 0 {
			return err
		}
		resp, err := c.Txn(ctx).If(
			clientv3.Compare(clientv3.ModRevision(key), "=", b.modified),
			clientv3.Compare(clientv3.ModRevision(s.keys.member(s.cfg.Cluster)), "=", b.memberModified),
		).Then(clientv3.OpDelete(key)).Commit()
		if err == nil && !resp.Succeeded {
			return errContended
		}
		return err
	})
}
