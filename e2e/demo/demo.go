package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/causeway-mesh/causeway/e2e/load"
	"github.com/causeway-mesh/causeway/e2e/mesh"
	"github.com/causeway-mesh/causeway/e2e/testbed"
	"github.com/causeway-mesh/causeway/e2e/wan"
)

const (
	setupLimit = 4 * time.Minute
	rate       = 20 * time.Millisecond // 50 requests per second, each on a new connection
	timeout    = 5 * time.Second
	inARow     = 50
	settled    = 3 * time.Second // of undisturbed traffic before and after each event
	outage     = 8 * time.Second
	lost       = "us-east"
	backup     = "us-west"
	consumer   = "eu-west"
)

// demo is one performance.
type demo struct {
	world   *testbed.World
	ctx     context.Context // the world's: outlives the performance
	bin     string
	out     string
	started time.Time
	once    bool
	store   *mesh.UserStore // nil: one of the demo's own

	mu       sync.Mutex
	served   string // cluster that answered last
	problems []string
}

func (d *demo) say(format string, args ...any) {
	fmt.Printf("[%6.1fs] %s\n", time.Since(d.started).Seconds(), fmt.Sprintf(format, args...))
}

// promise notes a failure of what the demo promises, without ending it.
func (d *demo) promise(kept bool, format string, args ...any) {
	if !kept {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.problems = append(d.problems, fmt.Sprintf(format, args...))
	}
}

func (d *demo) play(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, setupLimit)
	defer cancel()
	m, client, first, err := d.setUp(bounded)
	if err != nil {
		return err
	}
	figures, err := d.loseRegion(ctx, client)
	if err != nil {
		return err
	}
	figures = append([]figure{
		{"clusters", float64(len(d.world.Clusters)), "count"},
		{"demo_start_to_first_request_ms", ms(first.at.Sub(d.started)), "ms"},
		{"first_cross_region_request_ms", ms(first.sinceApply), "ms"},
	}, figures...)
	figures = append(figures, figure{"rss_total_mib", float64(d.world.PeakMiB()), "MiB"})
	fmt.Println()
	printFigures(figures)
	if err := d.verdict(); err != nil || d.once {
		return err
	}
	d.lookAround(m)
	<-ctx.Done()
	fmt.Println()
	return nil
}

func (d *demo) verdict() error {
	if len(d.problems) == 0 {
		return nil
	}
	for _, p := range d.problems {
		d.say("NOT AS PROMISED: %s", p)
	}
	return fmt.Errorf("%d promises were not kept; logs are in %s", len(d.problems), filepath.Join(d.out, "logs"))
}

// firstRequest is when the consumer was first served from another region.
type firstRequest struct {
	at         time.Time
	sinceApply time.Duration
}

func (d *demo) setUp(ctx context.Context) (*mesh.Mesh, *mesh.Client, firstRequest, error) {
	var first firstRequest
	d.say("starting three clusters: real kube-apiserver, controller-manager, etcd and cert-manager, a network namespace each")
	d.say("joined by the link emulator (%s): round trips of 66, 64 and 146 ms", d.world.WAN.Kind())
	if err := d.world.Start(ctx); err != nil {
		return nil, nil, first, err
	}
	d.say("control planes are ready")
	m, err := mesh.New(d.world, d.bin)
	if err != nil {
		return nil, nil, first, err
	}
	m.Step, m.UserStore = d.say, d.store
	if err := m.Install(d.ctx, ctx); err != nil {
		return nil, nil, first, err
	}
	d.say("all three MeshFederations are Ready")
	if err := d.applyShop(ctx, m); err != nil {
		return nil, nil, first, err
	}
	applied := time.Now()
	d.say("everything is applied; a client in %s now dials shop/checkout", consumer)
	client := mesh.NewClient(d.world.Clusters[consumer], "shop", "checkout")
	go client.Run(d.ctx)
	served, err := client.First(ctx)
	if err != nil {
		return nil, nil, first, err
	}
	first = firstRequest{at: time.Now(), sinceApply: time.Since(applied)}
	d.say("first request: answered by %s, over mTLS between the gateways", served)
	return m, client, first, nil
}

// applyShop is what a user does: a service, its pods, exports and a policy.
func (d *demo) applyShop(ctx context.Context, m *mesh.Mesh) error {
	d.say("kubectl apply -f config/samples/shop.yaml; two pods of checkout in %s and in %s", lost, backup)
	for _, c := range d.world.Clusters {
		if err := m.ApplySample(ctx, c, "shop.yaml"); err != nil {
			return err
		}
	}
	if err := m.StartShop(ctx, lost, backup); err != nil {
		return err
	}
	d.say("kubectl apply -f config/samples/serviceexport.yaml in both, routingpolicy.yaml in %s", consumer)
	for _, name := range []string{lost, backup} {
		if err := m.ApplySample(ctx, d.world.Clusters[name], "serviceexport.yaml"); err != nil {
			return err
		}
	}
	return m.ApplySample(ctx, d.world.Clusters[consumer], "routingpolicy.yaml")
}

// loseRegion runs the load, drops every packet of a region, lets them through
// again, and computes the figures from the samples.
func (d *demo) loseRegion(ctx context.Context, client *mesh.Client) ([]figure, error) {
	if err := client.AwaitServedBy(ctx, lost, 30*time.Second); err != nil {
		return nil, err
	}
	d.say("load: a new connection every %s, and one established connection", rate)
	loadCtx, stop := context.WithCancel(ctx)
	defer stop()
	recorder := &load.Recorder{Every: rate, Timeout: timeout, Do: client.Request, OnResult: d.watch}
	established := &load.Session{Every: 50 * time.Millisecond, Dial: client.Dial}
	begin := time.Now()
	var wg sync.WaitGroup
	wg.Go(func() { recorder.Run(loadCtx) })
	wg.Go(func() { established.Run(loadCtx) })

	pause(ctx, settled)
	d.say("EVENT: every packet from and to %s is dropped from now on, no RST, no FIN", lost)
	fault := time.Now()
	if err := d.world.WAN.Isolate(wan.Site(lost), true); err != nil {
		return nil, err
	}
	pause(ctx, outage)
	d.say("EVENT: packets from and to %s pass again", lost)
	healed := time.Now()
	if err := d.world.WAN.Isolate(wan.Site(lost), false); err != nil {
		return nil, err
	}
	back := d.awaitBack(ctx, healed)
	pause(ctx, settled)
	stop()
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := d.keep(begin, recorder.Results(), established.Results()); err != nil {
		return nil, err
	}
	return d.figures(recorder.Results(), established, fault, healed, back), nil
}

// watch prints a line whenever another cluster begins to answer, or a request fails.
func (d *demo) watch(r load.Result) {
	cluster := clusterOf(r.Served)
	d.mu.Lock()
	before := d.served
	if r.Err == nil {
		d.served = cluster
	}
	d.mu.Unlock()
	switch {
	case r.Err != nil:
		d.say("a request was cut after %s: %v", r.Latency.Round(time.Millisecond), r.Err)
	case before != "" && before != cluster:
		d.say("now answered by %s (was %s), this request in %s", cluster, before, r.Latency.Round(time.Millisecond))
	}
}

// awaitBack waits until the lost region answers again, at most 30 s.
func (d *demo) awaitBack(ctx context.Context, healed time.Time) bool {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for time.Since(healed) < 30*time.Second {
		d.mu.Lock()
		home := d.served == lost
		d.mu.Unlock()
		if home {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-ticker.C:
		}
	}
	return false
}

func (d *demo) keep(begin time.Time, requests, established []load.Result) error {
	for name, results := range map[string][]load.Result{"requests.csv": requests, "established.csv": established} {
		f, err := os.Create(filepath.Join(d.out, name))
		if err != nil {
			return err
		}
		if err := load.WriteCSV(f, begin, results); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	d.say("samples are kept in %s", filepath.Join(d.out, "requests.csv"))
	return nil
}

// pause lets the load run; it waits for nothing else.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (d *demo) lookAround(m *mesh.Mesh) {
	config, kubectl := d.world.MergedKubeconfig(), "kubectl"
	if _, err := exec.LookPath(kubectl); err != nil {
		if path, err := d.world.KubectlPath(); err == nil {
			kubectl = path
		}
	}
	fmt.Printf(`
Everything stays up until Ctrl-C. Look around in another terminal:

  export KUBECONFIG=%[1]s
  %[3]s --context eu-west get serviceimports,routingpolicies,effectivepolicies,meshfederations -A
  %[3]s --context us-east get pods,serviceexports -A
  %[2]s/causewayctl status --context eu-west
  %[2]s/causewayctl explain checkout -n shop --from eu-west

Kill what you like; nothing is restarted:

`, config, d.bin, kubectl)
	for _, p := range m.Processes() {
		fmt.Printf("  kill -9 %-7d # %s\n", p.PID(), p.Name)
	}
	fmt.Printf("\nLogs: %s\n", filepath.Join(d.out, "logs"))
}
