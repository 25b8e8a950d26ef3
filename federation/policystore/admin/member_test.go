package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/causeway-mesh/causeway/federation/policystore/admin"
	"github.com/causeway-mesh/causeway/federation/policystore/server"
)

// memberVar makes this test's binary a member of the store: a process of its own, which
// can be killed as a machine's loss does it.
const memberVar = "CAUSEWAY_TEST_MEMBER"

// electionTimeout is etcd's default. A follower that hears nothing stands for election
// after once to twice as long.
const electionTimeout = time.Second

func runMember() int {
	var cfg server.Config
	if err := json.Unmarshal([]byte(os.Getenv(memberVar)), &cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	s, err := server.New(cfg, server.Deps{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err == nil {
		err = s.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// process is one member, killed at the latest when the test ends.
type process struct {
	cfg  server.Config
	kill func()
}

func (r *rig) member(name string) server.Config {
	cfg := r.config()
	cfg.Name, cfg.DataDir = name, r.t.TempDir()
	cfg.ListenClient, cfg.ListenPeer = freeAddress(r.t), freeAddress(r.t)
	return cfg
}

func (r *rig) run(cfg server.Config) *process {
	r.t.Helper()
	encoded, err := json.Marshal(cfg)
	must(r.t, err)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), memberVar+"="+string(encoded))
	log := &tail{}
	cmd.Stderr = log
	must(r.t, cmd.Start())
	p := &process{cfg: cfg}
	p.kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if r.t.Failed() {
			r.t.Logf("member %s:\n%s", cfg.Name, log)
		}
	})
	r.t.Cleanup(p.kill)
	return p
}

// tail keeps a member's log for a failed test.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text[max(0, len(l.text)-4000):])
}

// writer begins a write every pace, whatever became of those before, and keeps when each
// one began and ended.
type writer struct {
	mu     sync.Mutex
	writes []write
	begun  int
	stop   func()
}

const (
	pace     = 20 * time.Millisecond
	patience = 5 * time.Second // of one write, as the operator's
)

type write struct {
	began, ended time.Time
	err          error
}

func (r *rig) write(endpoints ...string) *writer {
	r.t.Helper()
	client := r.raw("root", endpoints...)
	ctx, cancel := context.WithCancel(context.Background())
	w, done := &writer{}, make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(pace)
		defer tick.Stop()
		var all sync.WaitGroup
		defer all.Wait()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				all.Go(func() { w.one(ctx, client, i) })
			}
		}
	}()
	w.stop = sync.OnceFunc(func() { cancel(); <-done })
	r.t.Cleanup(w.stop)
	return w
}

func (w *writer) one(ctx context.Context, client *clientv3.Client, i int) {
	w.mu.Lock()
	w.begun++
	w.mu.Unlock()
	one := write{began: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, one.err = client.Put(ctx, prod+"order", strconv.Itoa(i))
	one.ended = time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, one)
}

// settled says that no more than a few writes are under way.
func (w *writer) settled() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.begun-len(w.writes) < 3
}

func (w *writer) all() []write {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes[:len(w.writes):len(w.writes)]
}

func failed(writes []write) (n int) {
	for _, w := range writes {
		if w.err != nil {
			n++
		}
	}
	return n
}

// resumed is when the first write that began after a moment had succeeded.
func (w *writer) resumed(after time.Time) (end time.Time, ok bool) {
	for _, one := range w.all() {
		if one.err == nil && one.began.After(after) && (!ok || one.ended.Before(end)) {
			end, ok = one.ended, true
		}
	}
	return end, ok
}

func TestStoreGrowsFromOneMemberToThreeUnderWritesAndOutlivesItsFirst(t *testing.T) {
	r := newRig(t)
	cfgs := []server.Config{r.member("store-1"), r.member("store-2"), r.member("store-3")}
	var endpoints []string
	for _, c := range cfgs {
		endpoints = append(endpoints, "https://"+c.ListenClient)
	}
	first := r.run(cfgs[0])
	await(t, "the first member to serve", func() bool { return r.serves(endpoints[0]) })
	root, _ := r.open("root", endpoints[0])
	must(t, root.Init(t.Context(), admin.Init{}))
	w := r.write(endpoints...)
	await(t, "the first writes", func() bool { return len(w.all()) > 20 })
	second := r.join(root, cfgs[1])
	r.join(root, cfgs[2])
	then := len(w.all())
	await(t, "writes to three members", func() bool { return len(w.all()) > then+50 })
	grown := w.all()
	if n := failed(grown); n > 0 {
		t.Errorf("%d of %d writes failed while the store grew", n, len(grown))
	}
	before := r.term(endpoints[1])
	first.kill()
	killed := time.Now()
	await(t, "writes to resume", func() bool { _, ok := w.resumed(killed); return ok })
	end, _ := w.resumed(killed)
	await(t, "those under way to end", w.settled)
	lost := w.all()[len(grown):]
	w.stop()
	// A split vote, of which the term tells, takes another election.
	elections := max(1, r.term(endpoints[1])-before)
	took, limit := end.Sub(killed), time.Duration(elections)*2*electionTimeout
	t.Logf("%d writes while growing, %d failed; writes resumed %s after the kill (%d elections, at most %s), %d of %d failed since",
		len(grown), failed(grown), took.Round(time.Millisecond), elections, limit, failed(lost), len(lost))
	if took > limit {
		t.Errorf("writes resumed after %s, want within %s", took, limit)
	}
	r.outlived(endpoints[1:])
	second.kill()
	r.stranded(endpoints[2])
}

// join does what docs/policy-store.md says: make room, start with what was told, wait.
func (r *rig) join(root *admin.Admin, cfg server.Config) *process {
	r.t.Helper()
	peer := "https://" + cfg.ListenPeer
	j, err := root.AddMember(r.t.Context(), cfg.Name, peer)
	must(r.t, err)
	again, err := root.AddMember(r.t.Context(), cfg.Name, peer)
	must(r.t, err)
	if again != j || j.Voter {
		r.t.Errorf("added twice: %+v, then %+v", j, again)
	}
	cfg.InitialCluster, cfg.Join = j.InitialCluster, true
	p := r.run(cfg)
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	must(r.t, root.Promote(ctx, cfg.Name))
	if j, err = root.AddMember(ctx, cfg.Name, peer); err != nil || !j.Voter {
		r.t.Errorf("after its promotion: %+v, %v", j, err)
	}
	return p
}

func (r *rig) serves(endpoint string) bool {
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Second)
	defer cancel()
	a, err := admin.Open(ctx, admin.Config{Endpoints: []string{endpoint}, TLS: r.as("root")})
	if err != nil {
		return false
	}
	defer a.Close()
	s, err := a.Status(ctx)
	return err == nil && s.Quorum
}

func (r *rig) term(endpoint string) uint64 {
	r.t.Helper()
	resp, err := r.raw("root", endpoint).Status(r.t.Context(), endpoint)
	must(r.t, err)
	return resp.RaftTerm
}

// outlived checks what status says of a store that has lost one of three.
func (r *rig) outlived(endpoints []string) {
	r.t.Helper()
	a, _ := r.open("root", endpoints...)
	s, err := a.Status(r.t.Context())
	must(r.t, err)
	if all := text(s.Findings()); s.Critical() || !strings.Contains(all, "2 of 3 voting members answer: not one more may fail") || !strings.Contains(all, "store-1 does not answer") {
		r.t.Errorf("one of three is down, and status says:\n%s", all)
	}
}

// stranded checks what status says of a store that has lost two of three.
func (r *rig) stranded(endpoint string) {
	r.t.Helper()
	a, _ := r.open("root", endpoint)
	s, err := a.Status(r.t.Context())
	must(r.t, err)
	if all := text(s.Findings()); s.Quorum || !s.Critical() || !strings.Contains(all, "no quorum: 1 of 3 voting members answer, 2 are needed") {
		r.t.Errorf("two of three are down, and status says:\n%s", all)
	}
	if len(s.Keys) == 0 {
		r.t.Error("the one member that is left shows none of its keys")
	}
}

func text(findings []admin.Finding) string {
	var out []string
	for _, f := range findings {
		out = append(out, fmt.Sprintf("%s %s: %s", f.Severity, f.What, f.Do))
	}
	return strings.Join(out, "\n")
}

func TestNoClientGetsInAsAPeer(t *testing.T) {
	r := newRig(t)
	cfg := r.member("store-1")
	r.run(cfg)
	await(t, "the member to serve", func() bool { return r.serves("https://" + cfg.ListenClient) })
	for user, in := range map[string]bool{"a": false, "root": false, admin.ServerUser: true} {
		// The peers' port speaks the same TLS: whoever gets past it is a peer.
		a, err := admin.Open(t.Context(), admin.Config{Endpoints: []string{"https://" + cfg.ListenPeer}, TLS: r.as(user)})
		if err == nil {
			_ = a.Close()
		}
		if (err == nil) != in {
			t.Errorf("user %s at the peers' port: %v, want in %t", user, err, in)
		}
	}
}

func TestMemberThatStandsAloneMustMoveBeforeOthersJoin(t *testing.T) {
	r := newRig(t).start() // it advertises 127.0.0.1:2380
	root, log := r.open("root")
	_, err := root.AddMember(t.Context(), "store-2", "https://store-2.example.org:2380")
	if err == nil || !strings.Contains(err.Error(), "add-member causeway-store --peer-url") {
		t.Errorf("a peer on loopback: %v", err)
	}
	j, err := root.AddMember(t.Context(), "causeway-store", "https://store-1.example.org:2380")
	must(t, err)
	if want := "causeway-store=https://store-1.example.org:2380"; j.InitialCluster != want || !j.Voter || !strings.Contains(log.take(), "restart it") {
		t.Errorf("moved: %+v", j)
	}
	j, err = root.AddMember(t.Context(), "store-2", "https://store-2.example.org:2380")
	must(t, err)
	if want := "causeway-store=https://store-1.example.org:2380,store-2=https://store-2.example.org:2380"; j.InitialCluster != want {
		t.Errorf("initial cluster %q, want %q", j.InitialCluster, want)
	}
	if _, err = root.AddMember(t.Context(), "store-3", "https://store-3.example.org:2380"); err == nil || !strings.Contains(err.Error(), "still learns") {
		t.Errorf("a second learner: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := root.Promote(ctx, "store-2"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "start it") {
		t.Errorf("one that never starts: %v", err)
	}
	if _, err := r.raw("root").Put(t.Context(), prod+"order", "1", clientv3.WithLease(clientv3.NoLease)); err != nil {
		t.Errorf("a learner that never starts costs the store its quorum: %v", err)
	}
}
