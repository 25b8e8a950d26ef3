//go:build bench

package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/pprof"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/gateway"
)

var (
	beatsPeers   = flag.Int("beats-peers", 249, "peer clusters of TestBenchBeats, of two gateways each")
	beatsFor     = flag.Duration("beats-for", 30*time.Second, "how long it measures")
	beatsProfile = flag.String("beats-profile", "", "file for a profile of the measured process's CPU while it is measured, with its heap beside it (.heap); empty is none")
)

// beatsRole, in the environment, makes TestBenchBeats the measured gateway.
const beatsRole = "CAUSEWAY_BENCH_GATEWAY"

// home is what the measured process is told about itself.
type home struct {
	Cert, Key, Bundle []byte
	Operator          string
}

// question is what the measured process is asked: to read itself, and before that to
// begin a profile, or to end the one that it has begun.
type question struct {
	Begin string // a file; empty begins none
	End   bool
}

// reading is what the measured process says of itself.
type reading struct {
	Address string
	CPU     time.Duration // used so far
	RSSKiB  int
	EmptyKiB,
	Up, Idle, InUse, Tunnels, Goroutines int
}

// TestBenchBeats measures one gateway, a process of its own at shipped defaults, among the
// two gateways of each of 249 peer clusters on loopback: beats to each,
// theirs to it, a feed and a report every second. A tenth of the clusters are where
// traffic goes, with streams on their paths: those beat fast, and have warm tunnels.
// Nothing else happens.
func TestBenchBeats(t *testing.T) {
	if os.Getenv(beatsRole) != "" {
		beHome(t)
		return
	}
	r := newRing(t, *beatsPeers)
	h := r.startHome(t)
	r.publish(h.read(t, question{}).Address)
	began := time.Now()
	var now reading
	warm := 2 * ringGateways * len(r.ports) // of the paths that a route takes
	for now.Up < len(r.peers) || now.Idle != warm || r.warm() != 0 {
		if time.Since(began) > 10*time.Minute {
			t.Fatalf("of %d paths %d are up, with %d warm tunnels instead of %d, and %d of the peers' instead of none", len(r.peers), now.Up, now.Idle, warm, r.warm())
		}
		time.Sleep(time.Second)
		now = h.read(t, question{})
	}
	r.call(t)
	time.Sleep(10 * time.Second)
	first, at := h.read(t, question{Begin: *beatsProfile}), time.Now()
	time.Sleep(*beatsFor)
	last, took := h.read(t, question{End: true}), time.Since(at)
	line := func(name string, value float64, unit string) { fmt.Printf("%s %.2f %s\n", name, value, unit) }
	line("beats_paths_250", float64(last.Up), "paths")
	line("beats_busy_paths_250", float64(last.InUse), "paths")
	line("beats_connections_250", float64(last.Tunnels+r.connections()), "connections")
	line("beats_warm_up_s_250", at.Sub(began).Seconds(), "s")
	line("beats_core_percent_250", 100*(last.CPU-first.CPU).Seconds()/took.Seconds(), "percent")
	line("beats_rss_mib_250", float64(last.RSSKiB-last.EmptyKiB)/1024, "MiB")
	line("beats_goroutines_250", float64(last.Goroutines), "goroutines")
}

// measured is the process of the gateway that is measured.
type measured struct {
	in  io.WriteCloser
	out *bufio.Scanner
}

// startHome runs this test binary again, as the gateway.
func (r *ring) startHome(t *testing.T) *measured {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestBenchBeats$", "-test.timeout", "1h")
	cmd.Env, cmd.Stderr = append(os.Environ(), beatsRole+"=1"), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _, _ = io.Copy(io.Discard, out); _ = cmd.Wait() })
	m := &measured{in: in, out: bufio.NewScanner(out)}
	h := home{Bundle: r.ca.Bundle(), Operator: r.operator}
	h.Cert, h.Key = r.ca.Issue(id(homeCluster, identity.RoleGateway))
	if err := json.NewEncoder(in).Encode(h); err != nil {
		t.Fatal(err)
	}
	return m
}

func (m *measured) read(t *testing.T, q question) (r reading) {
	t.Helper()
	if err := json.NewEncoder(m.in).Encode(q); err != nil {
		t.Fatal(err)
	}
	if !m.out.Scan() {
		t.Fatal("the measured gateway has ended")
	}
	if err := json.Unmarshal(m.out.Bytes(), &r); err != nil {
		t.Fatalf("%s: %v", m.out.Text(), err)
	}
	return r
}

// beHome is the measured process: a gateway, and an answer for each line.
func beHome(t *testing.T) {
	empty := residentKiB(t)
	lines := json.NewDecoder(os.Stdin)
	var h home
	if err := lines.Decode(&h); err != nil {
		t.Fatal(err)
	}
	source := identity.NewSource()
	if err := source.SetKeyPair(h.Cert, h.Key); err != nil {
		t.Fatal(err)
	}
	if err := source.SetBundle(domain, h.Bundle); err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	cfg := gateway.DefaultConfig()
	cfg.Instance, cfg.Cluster, cfg.Federation, cfg.Advertise = homeInstance, homeCluster, fed, l.Addr().String()
	cfg.Local, cfg.Operators, cfg.Drain = netip.MustParseAddr("127.0.0.1"), []string{h.Operator}, time.Second
	g, err := gateway.New(cfg, gateway.Deps{Identity: source, Listener: l, Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = g.Run(context.Background()) }()
	stop := func() {}
	answer := json.NewEncoder(os.Stdout)
	for {
		var q question
		if lines.Decode(&q) != nil {
			os.Exit(0) // nobody waits for what is measured
		}
		r := reading{Address: l.Addr().String(), EmptyKiB: empty, Goroutines: runtime.NumGoroutine()}
		for _, v := range g.Paths() {
			r.Up += count(v.State == "Up")
			r.InUse += count(v.InUse > 0)
			r.Idle += v.Idle
			r.Tunnels += v.Tunnels
		}
		r.CPU, r.RSSKiB = used(t), residentKiB(t)
		if q.End {
			stop()
		}
		if q.Begin != "" {
			stop = profile(t, q.Begin)
		}
		if err := answer.Encode(r); err != nil {
			t.Error(err)
			return
		}
	}
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func profile(t *testing.T, name string) (stop func()) {
	t.Helper()
	f, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
		heap, err := os.Create(name + ".heap")
		if err == nil {
			err = errors.Join(pprof.WriteHeapProfile(heap), heap.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// used is the processor time of this process so far.
func used(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func residentKiB(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var size, resident int
	if _, err := fmt.Sscan(string(data), &size, &resident); err != nil {
		t.Fatal(err)
	}
	return resident * os.Getpagesize() / 1024
}
