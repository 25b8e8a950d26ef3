package policystore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// pageSize is how many values one request of a full read brings.
const pageSize = 256

// session connects, reads all if it must, and follows the watch until it breaks.
func (s *Store) session(ctx context.Context, client *clientv3.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	began := time.Now()
	head, id, err := s.head(ctx, client)
	if err != nil {
		return err
	}
	synced := s.Status().Synced
	switch {
	case !synced:
		err = s.readAll(ctx, client, "start")
	case id != s.clusterID:
		s.log.Error("the policy store is another one than before; taking over its content", "was", s.clusterID, "is", id)
		err = s.readAll(ctx, client, "rewound")
	case head < s.reached:
		s.log.Error("the policy store has gone back, as after a restore; taking over its content", "known", s.reached, "is", head)
		err = s.readAll(ctx, client, "rewound")
	}
	if err != nil {
		return err
	}
	s.clusterID = id
	if s.reached >= head {
		s.proven(began)
	}
	for {
		err = s.follow(ctx, client)
		switch {
		case errors.Is(err, rpctypes.ErrCompacted):
			err = s.readAll(ctx, client, "compacted")
		case errors.Is(err, errTrust):
			err = s.readAll(ctx, client, "trust")
		}
		if err != nil {
			return err
		}
	}
}

// head asks, through the store's quorum, how far the store is.
func (s *Store) head(ctx context.Context, client *clientv3.Client) (revision, clusterID uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	resp, err := client.Get(ctx, s.keys.order(), clientv3.WithCountOnly())
	if err != nil {
		return 0, 0, fmt.Errorf("reading the policy store's revision: %w", err)
	}
	return uint64(resp.Header.Revision), resp.Header.ClusterId, nil //nolint:gosec // never negative
}

// readAll reads everything at one revision and turns the replica into it: what
// stayed is never absent in between.
func (s *Store) readAll(ctx context.Context, client *clientv3.Client, cause string) error {
	s.metrics.relists.WithLabelValues(cause).Inc()
	trust := s.lookAgain()
	began := time.Now()
	listed := map[string]bool{}
	var items []item
	from, end := s.keys.prefix, clientv3.GetPrefixRangeEnd(s.keys.prefix)
	at := int64(0) // every page after the first is read at the first one's revision
	for {
		page, err := s.page(ctx, client, from, end, at)
		if err != nil {
			return fmt.Errorf("reading the policy store: %w", err)
		}
		if at == 0 {
			at = page.Header.Revision
		}
		for _, kv := range page.Kvs {
			listed[string(kv.Key)] = true
			items = append(items, item{string(kv.Key), kv.Value, uint64(kv.ModRevision)}) //nolint:gosec // never negative
		}
		if !page.More {
			break
		}
		from = string(page.Kvs[len(page.Kvs)-1].Key) + "\x00"
	}
	s.takeAll(listed, items)
	s.trust = trust
	s.reached = uint64(at) //nolint:gosec // never negative
	s.publish(s.reached)
	s.proven(began)
	return nil
}

func (s *Store) page(ctx context.Context, client *clientv3.Client, from, end string, at int64) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	opts := []clientv3.OpOption{
		clientv3.WithRange(end), clientv3.WithLimit(pageSize),
		clientv3.WithSort(clientv3.SortByKey, clientv3.SortAscend),
	}
	if at > 0 {
		opts = append(opts, clientv3.WithRev(at))
	}
	return client.Get(ctx, from, opts...)
}

// follow watches from the state's revision on. Its proof of freshness has two halves: a read
// through the quorum says how far the store is, and the watch says that it has come so far.
func (s *Store) follow(ctx context.Context, client *clientv3.Client) error {
	ctx = clientv3.WithRequireLeader(ctx)
	next := int64(s.reached) + 1 //nolint:gosec // never beyond
	events := client.Watch(ctx, s.keys.prefix, clientv3.WithPrefix(), clientv3.WithRev(next), clientv3.WithProgressNotify(), clientv3.WithFragment())
	heads := make(chan proof) // the prover sends until ctx ends; we receive
	ctx, cancel := context.WithCancel(ctx)
	failed := make(chan error, 1) // the prover sends at most once
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.prove(ctx, client, heads); err != nil {
			failed <- err
		}
	}()
	defer func() { cancel(); <-done }()
	var pending proof
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return err
		case <-s.trust:
			return errTrust
		case pending = <-heads:
		case resp, ok := <-events:
			if !ok {
				return errors.New("the policy store's watch has ended")
			}
			if resp.CompactRevision != 0 {
				return rpctypes.ErrCompacted
			}
			if err := resp.Err(); err != nil {
				return fmt.Errorf("watching the policy store: %w", err)
			}
			s.apply(resp)
		}
		if pending.revision != 0 && s.reached >= pending.revision {
			s.proven(pending.asked)
			pending = proof{}
		}
	}
}

// proof is the store's revision, and when we asked for it.
type proof struct {
	revision uint64
	asked    time.Time
}

func (s *Store) prove(ctx context.Context, client *clientv3.Client, heads chan<- proof) error {
	tick := time.NewTicker(s.cfg.ProofInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		asked := time.Now()
		revision, id, err := s.head(ctx, client)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case id != s.clusterID:
			return errors.New("the policy store has been replaced by another one")
		}
		select {
		case heads <- proof{revision, asked}:
		case <-ctx.Done():
			return nil
		}
		// The watch answers with a progress notification. Should this fail, the watch
		// itself will.
		_ = client.RequestProgress(ctx)
	}
}

// apply takes in one response. How far the watch has come is what the last event
// says, or a notification without events: while a watch catches up, the header of a
// response runs ahead of what has been delivered.
func (s *Store) apply(resp clientv3.WatchResponse) {
	if len(resp.Events) == 0 {
		if resp.IsProgressNotify() {
			s.reached = max(s.reached, uint64(resp.Header.Revision)) //nolint:gosec // never negative
		}
		return
	}
	for _, e := range resp.Events {
		if e.Type == clientv3.EventTypeDelete {
			s.drop(string(e.Kv.Key))
		} else {
			s.put(item{string(e.Kv.Key), e.Kv.Value, uint64(e.Kv.ModRevision)}) //nolint:gosec // never negative
		}
		s.reached = max(s.reached, uint64(e.Kv.ModRevision)) //nolint:gosec // never negative
	}
	s.publish(s.reached)
}
