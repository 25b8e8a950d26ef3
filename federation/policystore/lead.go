package policystore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"

	"github.com/causeway-mesh/causeway/federation"
)

// forbiddenPause is about how long who may not campaign waits before the next try.
const forbiddenPause = 2 * time.Minute

func (k keys) election(name string) string { return k.prefix + "elections/" + name }

// Lead campaigns in the election of a name and calls do while this client leads, one
// call at a time. The context of do ends with ctx, when the lease of the leader is lost
// (Config.ElectionTTL after the store's last answer), when a write finds another leader,
// and when Run ends; do must return then. Afterwards, or when do returns by itself, it
// campaigns again. It returns when ctx ends, or with an error for a name that can't be
// part of a key. Whoever coordinates something for the federation calls it, beside Run.
//
// The old leader may believe to lead for a moment while the new one does already: what
// it does elsewhere than by Leadership must bear that.
func (s *Store) Lead(ctx context.Context, name string, do func(context.Context, Leadership)) error {
	if !keyPart(name) {
		return fmt.Errorf("policystore: election name %q can't be part of a key", name)
	}
	told := false
	for ctx.Err() == nil {
		err := s.explain(s.term(ctx, name, do))
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, ErrForbidden): // each try costs the store two writes
			if !told {
				s.log.Info("this cluster may not take part in an election; looking again every few minutes", "election", name, "error", err)
			}
			told = true
			select {
			case <-ctx.Done():
			case <-time.After(forbiddenPause/2 + rand.N(forbiddenPause)): //nolint:gosec // spreading only
			}
			continue
		case err != nil:
			s.log.Debug("campaign ended", "election", name, "error", err)
		}
		s.pause(ctx)
	}
	return nil
}

// term campaigns once and leads once.
func (s *Store) term(ctx context.Context, name string, do func(context.Context, Leadership)) error {
	client, err := s.running()
	if err != nil {
		return err
	}
	lease, err := s.grant(ctx, client, s.cfg.ElectionTTL)
	if err != nil {
		return err
	}
	defer s.revoke(ctx, client, lease)
	ctx, end := context.WithCancel(ctx)
	defer end()
	// Cleaning up after a campaign that ctx has ended is left to revoke, which is
	// bounded; concurrency would take the client's context, which isn't.
	bound := clientv3.NewCtxClient(ctx, clientv3.WithZapLogger(zap.NewNop()))
	bound.KV, bound.Lease, bound.Watcher = client.KV, client.Lease, client.Watcher
	session, err := concurrency.NewSession(bound, concurrency.WithLease(lease), concurrency.WithContext(ctx))
	if err != nil {
		return err
	}
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		<-session.Done() // ends with ctx, too
		end()
	}()
	defer func() { end(); <-watching }()
	e := concurrency.NewElection(session, s.keys.election(name))
	if err := e.Campaign(ctx, string(s.cfg.Cluster)); err != nil {
		return err
	}
	do(ctx, Leadership{store: s, key: e.Key(), revision: e.Rev(), end: end})
	return nil
}

// Leadership is the pen of an election's winner. Its writes fail with ErrDeposed once
// somebody else may lead, whatever the winner believes. Any goroutine may use it.
type Leadership struct {
	store    *Store
	key      string // of the candidate, created at revision
	revision int64
	end      context.CancelFunc // ends the context of do
}

// ErrStale: the store holds something newer than what was decided from. Decide again.
var ErrStale = errors.New("decided from what is no longer so")

// PutRollout writes a rollout with this cluster as its coordinator, and returns it with
// its Revision. after is the Revision of the record that it was decided from, 0 of none;
// another one there is ErrStale. An equal one is not written again.
func (l Leadership) PutRollout(ctx context.Context, r federation.Rollout, after uint64) (federation.Rollout, error) {
	if !rolloutKeyParts(r.Policy) {
		return r, fmt.Errorf("writing the rollout of policy %s: its name can't be part of a key", r.Policy)
	}
	r.Coordinator = l.store.cfg.Cluster
	key := l.store.keys.rollout(r.Policy)
	err := l.write(ctx, "put_rollout", r.Policy, func(old fenced) (*clientv3.Op, error) {
		r.Revision = uint64(old.modified) //nolint:gosec // never negative
		value, err := encodeValue(rolloutToValue(r), old.value)
		if err != nil || old.sealed && sameValue(value, old.value) {
			return nil, err
		}
		if uint64(old.modified) != after { //nolint:gosec // never negative
			return nil, fmt.Errorf("%w: the rollout is of revision %d, not %d", ErrStale, old.modified, after)
		}
		if value, err = l.store.seal(key, value); err != nil {
			return nil, err
		}
		op := clientv3.OpPut(key, string(value))
		return &op, nil
	}, func(revision uint64) { r.Revision = revision })
	return r, err
}

// DeleteRollout removes a policy's rollout; one that is not there is no error. policy is
// the policy's Revision that says that it has no plan any more; 0 is that it is gone. A
// policy that stands there otherwise, as one that this cluster cannot verify, is ErrStale:
// others stand on the record.
func (l Leadership) DeleteRollout(ctx context.Context, id federation.PolicyID, policy uint64) error {
	if !rolloutKeyParts(id) {
		return fmt.Errorf("removing the rollout of policy %s: its name can't be part of a key", id)
	}
	key := l.store.keys.rollout(id)
	return l.write(ctx, "delete_rollout", id, func(old fenced) (*clientv3.Op, error) {
		if old.modified == 0 {
			return nil, nil
		}
		if uint64(old.policy) != policy { //nolint:gosec // never negative
			return nil, fmt.Errorf("%w: policy %s is of revision %d, not %d", ErrStale, id, old.policy, policy)
		}
		op := clientv3.OpDelete(key)
		return &op, nil
	}, func(uint64) {})
}

func rolloutKeyParts(id federation.PolicyID) bool {
	return keyPart(string(id.Origin)) && keyPart(id.Namespace) && keyPart(id.Name)
}

// fenced is what a leader's write finds.
type fenced struct {
	value    []byte // without its seal; nil if it is not its author's
	sealed   bool
	modified int64 // 0: the key does not exist
	policy   int64 // the policy's, 0: there is none
}

// write does what decide makes of the key's value, if the election's key is still the
// one that was won and the value has not changed; nil is nothing to do.
func (l Leadership) write(ctx context.Context, operation string, id federation.PolicyID, decide func(fenced) (*clientv3.Op, error), done func(revision uint64)) error {
	key, policy := l.store.keys.rollout(id), l.store.keys.policy(id)
	err := l.store.request(ctx, operation, func(ctx context.Context, c *clientv3.Client) error {
		old, err := l.read(ctx, c, key, policy)
		if err != nil {
			return err
		}
		op, err := decide(old)
		if err != nil || op == nil {
			return err
		}
		resp, err := c.Txn(ctx).If(
			clientv3.Compare(clientv3.CreateRevision(l.key), "=", l.revision),
			clientv3.Compare(clientv3.ModRevision(key), "=", old.modified),
			clientv3.Compare(clientv3.ModRevision(policy), "=", old.policy),
		).Then(*op).Commit()
		if err != nil {
			return err
		}
		if !resp.Succeeded {
			return errContended // or deposed: the next read says so
		}
		done(uint64(resp.Header.Revision)) //nolint:gosec // never negative
		return nil
	})
	if errors.Is(err, ErrDeposed) {
		l.end()
	}
	return err
}

func (l Leadership) read(ctx context.Context, c *clientv3.Client, key, policy string) (fenced, error) {
	known := l.store.memory()
	resp, err := c.Txn(ctx).Then(clientv3.OpGet(key), clientv3.OpGet(l.key), clientv3.OpGet(policy, clientv3.WithKeysOnly())).Commit()
	if err != nil {
		return fenced{}, err
	}
	if err := l.store.sameStore(known, resp.Header.ClusterId, resp.Header.Revision); err != nil {
		return fenced{}, err
	}
	if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) == 0 || kvs[0].CreateRevision != l.revision {
		return fenced{}, ErrDeposed
	}
	old := fenced{}
	if kvs := resp.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		old.value, old.sealed = l.store.authentic(key, kvs[0].Value)
		old.modified = kvs[0].ModRevision
	}
	if kvs := resp.Responses[2].GetResponseRange().Kvs; len(kvs) > 0 {
		old.policy = kvs[0].ModRevision
	}
	return old, nil
}
