//go:build bench

package policybench

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// peerClient connects as often as our client does, so that what differs is what is asked.
func peerClient(t *testing.T, address string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{address}, DialTimeout: 5 * time.Second, Logger: zap.NewNop(),
		DialKeepAliveTime: 5 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 2 * time.Second,
		})},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bareWatches are n clients, a connection each, that do nothing but watch the prefix.
func bareWatches(t *testing.T, n int, address string) (all []*observer, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for range n {
		o := newObserver()
		client := peerClient(t, address)
		watch := client.Watch(ctx, prefixOf(rawFederation), clientv3.WithPrefix(), clientv3.WithCreatedNotify())
		<-watch
		running.Go(func() {
			defer func() { _ = client.Close() }()
			for resp := range watch {
				if k := len(resp.Events); k > 0 {
					o.note(uint64(resp.Events[k-1].Kv.ModRevision)) //nolint:gosec // never negative
				}
			}
		})
		all = append(all, o)
	}
	return all, func() { cancel(); running.Wait() }
}

// naive is a client that lists everything and watches from there, and does so again
// whenever the watch breaks.
type naive struct {
	*observer
	client    *clientv3.Client
	connected atomic.Bool
	values    map[string][]byte // follow's own
}

func naives(t *testing.T, n int, address string) (all []*naive, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for range n {
		c := &naive{observer: newObserver(), client: peerClient(t, address)}
		running.Go(func() { c.follow(ctx) })
		all = append(all, c)
	}
	for _, c := range all {
		await(t, "a naive client's first list", func() bool { return c.latest() > 0 })
	}
	return all, func() { cancel(); running.Wait() }
}

func (c *naive) follow(ctx context.Context) {
	defer func() { _ = c.client.Close() }()
	for ctx.Err() == nil {
		_ = c.session(ctx)
		c.connected.Store(false)
		wait(ctx, 100*time.Millisecond+rand.N(100*time.Millisecond)) // as our client at first
	}
}

func (c *naive) session(ctx context.Context) error {
	bounded, done := context.WithTimeout(ctx, 20*time.Second)
	defer done()
	list, err := c.client.Get(bounded, prefixOf(rawFederation), clientv3.WithPrefix())
	if err != nil {
		return err
	}
	c.values = make(map[string][]byte, len(list.Kvs))
	for _, kv := range list.Kvs {
		c.values[string(kv.Key)] = kv.Value
	}
	c.note(uint64(list.Header.Revision)) //nolint:gosec // never negative
	// The client's own Watch would resume; this is the bare stream, which breaks.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := etcdserverpb.NewWatchClient(c.client.ActiveConnection()).Watch(ctx)
	if err != nil {
		return err
	}
	err = stream.Send(&etcdserverpb.WatchRequest{RequestUnion: &etcdserverpb.WatchRequest_CreateRequest{CreateRequest: &etcdserverpb.WatchCreateRequest{
		Key: []byte(prefixOf(rawFederation)), RangeEnd: []byte(clientv3.GetPrefixRangeEnd(prefixOf(rawFederation))), StartRevision: list.Header.Revision + 1,
	}}})
	for err == nil {
		err = c.receive(stream)
	}
	return err
}

func (c *naive) receive(stream etcdserverpb.Watch_WatchClient) error {
	resp, err := stream.Recv()
	if err != nil {
		return err
	}
	c.connected.Store(true)
	for _, e := range resp.Events {
		c.values[string(e.Kv.Key)] = e.Kv.Value
		c.note(uint64(e.Kv.ModRevision)) //nolint:gosec // never negative
	}
	return nil
}
