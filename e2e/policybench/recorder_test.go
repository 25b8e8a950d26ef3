package policybench

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/e2e/policybench/history"
	"github.com/causeway-mesh/causeway/federation/policystore"
)

// The federation that histories are made in, and its prefix in the store.
const (
	prefixName = "history"
	prefix     = "/causeway/v1/" + prefixName + "/"
)

// recorder collects a history.
type recorder struct {
	etcd  *Etcd
	raw   *clientv3.Client
	began time.Time
	ids   atomic.Int64

	mu   sync.Mutex // guards all below
	h    history.History
	head uint64 // the log is complete up to here
	err  error  // of the log
}

func newRecorder(t *testing.T, e *Etcd) *recorder {
	r := &recorder{etcd: e, raw: rawClient(t, e.Addresses()...), began: time.Now()}
	r.h.Views = map[string][]history.View{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.follow(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func (r *recorder) now() time.Duration { return time.Since(r.began) }
func (r *recorder) id() int            { return int(r.ids.Add(1)) }

func (r *recorder) record(o history.Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Operations = append(r.h.Operations, o)
}

// follow writes the store's log. Nobody compacts what it has not seen.
func (r *recorder) follow(ctx context.Context) {
	for resp := range r.raw.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(1)) {
		r.mu.Lock()
		if err := resp.Err(); err != nil && r.err == nil {
			r.err = err
		}
		for _, e := range resp.Events {
			r.event(e)
		}
		r.mu.Unlock()
	}
}

// event notes what happened to an export or a policy; under mu.
func (r *recorder) event(e *clientv3.Event) {
	r.head = uint64(e.Kv.ModRevision) //nolint:gosec // never negative
	key := strings.TrimPrefix(string(e.Kv.Key), prefix)
	if !strings.HasPrefix(key, "exports/") && !strings.HasPrefix(key, "policies/") {
		return
	}
	logged := history.Event{Revision: r.head, Key: key}
	if e.Type != clientv3.EventTypeDelete {
		var err error
		if logged.Value, err = marked(e.Kv.Value); err != nil {
			r.err = err
		}
	}
	r.h.Log = append(r.h.Log, logged)
}

// seen is up to where the log is complete.
func (r *recorder) seen() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head
}

// acknowledged counts the writes that were.
func (r *recorder) acknowledged() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.h.Operations {
		if o.Kind != history.Read && !o.Unknown {
			n++
		}
	}
	return n
}

// watch returns what a watcher calls on each change.
func (r *recorder) watch(name string) func(policystore.State) {
	return func(s policystore.State) {
		v := viewOf(s)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.h.Views[name] = append(r.h.Views[name], v)
	}
}

// holds says whether a watcher's latest view has a value.
func (r *recorder) holds(name string, o history.Operation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	views := r.h.Views[name]
	return len(views) > 0 && views[len(views)-1].Values[o.Key] == o.Value
}

// check fails the test for each violation, and keeps the history then.
func (r *recorder) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		t.Fatalf("the log is not complete: %v", r.err)
	}
	violations := history.Check(r.h)
	for _, v := range violations {
		t.Errorf("seed %d: %s", *seed, v)
	}
	if len(violations) == 0 || *out == "" {
		return
	}
	text, err := json.MarshalIndent(r.h, "", " ")
	if err == nil {
		err = os.MkdirAll(*out, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(*out, "history.json"), text, 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}
