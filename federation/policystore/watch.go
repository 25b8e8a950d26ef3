package policystore

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	got, accepted, err := s.recognise(ctx, client)
	if err != nil {
		return err
	}
	switch {
	case accepted:
		s.log.Warn("taking over the policy store that went back, as a person has accepted it", "store", got.id, "revision", got.revision)
		if err = s.readAll(ctx, client, "rewound", got.id); err == nil {
			s.adopt(got)
		}
	case !s.Status().Synced:
		err = s.readAll(ctx, client, "start", got.id)
	}
	if err != nil {
		return err
	}
	s.met(got)
	if s.reached >= got.revision {
		s.proven(began)
	}
	for {
		err = s.follow(ctx, client)
		switch {
		case errors.Is(err, rpctypes.ErrCompacted):
			err = s.readAll(ctx, client, "compacted", got.id)
		case errors.Is(err, errTrust):
			err = s.readAll(ctx, client, "trust", got.id)
		}
		if err != nil {
			return err
		}
	}
}

// readAll reads everything of store id at one revision and turns the replica into it:
// what stayed is never absent in between.
func (s *Store) readAll(ctx context.Context, client *clientv3.Client, cause string, id uint64) error {
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
		if page.Header.ClusterId != id {
			return errReplaced
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
	newest := item{}
	for _, i := range items {
		if s.keys.weight(i.key) == content && i.revision > newest.revision {
			newest = i
		}
	}
	s.reached = uint64(at) //nolint:gosec // never negative
	s.contentAt = s.reached
	s.readUpTo(newest)
	s.publish()
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

// readUpTo makes what a full read has found the client's memory of this store.
func (s *Store) readUpTo(newest item) {
	w := witness{}
	if newest.revision > 0 {
		w = witness{newest.key, newest.revision, digest(newest.value)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.Witness = w
	s.known.revision = max(s.known.revision, s.reached)
	if s.known.Accepted == nil {
		s.known.Accepted = []string{} // whatever the history holds was listed
	}
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
	var (
		pending proof
		soon    <-chan time.Time // runs while nothing but presence is new since the last State
	)
	defer func() {
		if soon != nil {
			s.publish()
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return err
		case <-s.trust:
			return errTrust
		case answer := <-s.pictures:
			answer <- s.keep()
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
			weight, err := s.apply(resp)
			switch {
			case err != nil:
				return err
			case weight == content:
				s.publish()
				soon = nil
			case weight == presence && soon == nil:
				soon = time.After(presencePause)
			}
		case <-soon:
			s.publish()
			soon = nil
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
		revision, err := s.head(ctx, client)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		s.askAlarms(ctx, client)
		select {
		case heads <- proof{revision, asked}:
		case <-ctx.Done():
			return nil
		}
		if err := s.askWatch(ctx, client); err != nil {
			return err
		}
	}
}

// askWatch asks for a progress notification, with which the watch answers. The client
// takes the question only while it has a stream to the store: it would wait for one for as
// long as it has not, and the loss would never be told.
func (s *Store) askWatch(ctx context.Context, client *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RequestTimeout)
	defer cancel()
	if err := client.RequestProgress(ctx); err != nil {
		return fmt.Errorf("asking the policy store's watch how far it is: %w", err)
	}
	return nil
}

// apply takes in one response. How far the watch has come is what the last event
// says, or a notification without events: while a watch catches up, the header of a
// response runs ahead of what has been delivered.
func (s *Store) apply(resp clientv3.WatchResponse) (weight, error) {
	if resp.Header.ClusterId != s.memory().id {
		return silent, errReplaced // the next session says what it is
	}
	if len(resp.Events) == 0 {
		if resp.IsProgressNotify() {
			s.reached = max(s.reached, uint64(resp.Header.Revision)) //nolint:gosec // never negative
		}
		return silent, nil
	}
	heaviest := silent
	for _, e := range resp.Events {
		heaviest = max(heaviest, s.event(e))
	}
	s.saw(s.reached)
	return heaviest, nil
}

func (s *Store) event(e *clientv3.Event) weight {
	i := item{string(e.Kv.Key), e.Kv.Value, uint64(e.Kv.ModRevision)} //nolint:gosec // never negative
	w := witness{Key: i.key, Revision: i.revision}
	if e.Type == clientv3.EventTypeDelete {
		s.drop(i.key)
	} else {
		s.put(i)
		w.Digest = digest(i.value)
	}
	s.reached = max(s.reached, i.revision)
	weight := s.keys.weight(i.key)
	if weight == content {
		s.contentAt = max(s.contentAt, i.revision)
		s.witnessed(w)
	}
	return weight
}

// weight says what a change of a key means to those who get States.
type weight int

const (
	silent   weight = iota // no State shows it
	presence               // signs of life, which may wait for each other
	content
)

func (k keys) weight(key string) weight {
	rest, _ := strings.CutPrefix(key, k.prefix)
	switch kind, _, _ := strings.Cut(rest, "/"); kind {
	case "elections", "accepted", "order":
		return silent
	case "presence":
		return presence
	}
	return content
}

// errReplaced: another etcd cluster answers under the same address.
var errReplaced = errors.New("the policy store has been replaced by another one")
