package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/routefeed"
	"github.com/causeway-mesh/causeway/federation/routing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const domain = "mesh.example.org"

func id(fed string, c federation.ClusterName, r identity.Role) identity.ID {
	return identity.ID{TrustDomain: domain, Federation: fed, Cluster: c, Role: r}
}

// pod is a gateway process, as kubelet would start it.
type pod struct {
	dir, admin, listen string
	feed               *routefeed.Server
	log                *lines
	terminate          context.CancelFunc
	done               chan error
}

// lines is a log that a test can read.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func bind(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// startPod starts a process that has no identity yet; change may alter its flags.
func startPod(t *testing.T, ca *identitytest.CA, change func(*options)) *pod {
	t.Helper()
	feed, port, adminPort := bind(t), bind(t), bind(t)
	p := &pod{dir: t.TempDir(), admin: adminPort.Addr().String(), listen: port.Addr().String(), log: &lines{}, done: make(chan error, 1)}
	p.feed = routefeed.NewServer(routefeed.ServerDeps{
		TLS: ca.Source(id("prod", "us-east", identity.RoleOperator)).ServerConfig(identity.Exactly(id("prod", "us-east", identity.RoleGateway))),
		Log: slog.New(slog.DiscardHandler), OnReport: func(routing.GatewayReport) {}, OnGone: func(string) {},
	})
	o := good(t)
	o.cluster, o.federation, o.advertise, o.identityDir, o.operators = "", "", "", p.dir, []string{feed.Addr().String()}
	change(o)
	cfg, err := o.config()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Advertise = reachable(cfg.Local, port.Addr())
	ctx, end := context.WithCancel(context.Background())
	run, terminate := context.WithCancel(ctx)
	p.terminate = terminate
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.feed.Serve(ctx, feed) })
	wg.Go(func() {
		log := slog.New(slog.NewTextHandler(p.log, nil))
		p.done <- (&process{options: o, cfg: cfg, listener: port, admin: adminPort, log: log}).run(run)
	})
	t.Cleanup(func() { terminate(); end(); wg.Wait(); _ = port.Close() })
	return p
}

// get asks the admin endpoint; 0 means that it does not answer.
func (p *pod) get(path string) (int, string) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	resp, err := client.Get("http://" + p.admin + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func (p *pod) awaitReadyz(t *testing.T, status int, words ...string) {
	t.Helper()
	deadline := time.After(time.Minute) // busy machines
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		code, body := p.get("/readyz")
		missing := ""
		for _, w := range words {
			if !strings.Contains(body, w) {
				missing = w
			}
		}
		if code == status && missing == "" {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("/readyz says %d %q, want %d with %q", code, body, status, words)
		case <-tick.C:
		}
	}
}

// awaitLog waits until the log, which may come after what it tells of, has the words.
func (p *pod) awaitLog(t *testing.T, words string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !strings.Contains(p.log.String(), words) {
		select {
		case <-deadline:
			t.Fatalf("the log does not say %q: %s", words, p.log)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// mount puts an identity where kubelet puts the Secret.
func (p *pod) mount(t *testing.T, ca *identitytest.CA, who identity.ID) {
	t.Helper()
	cert, key := ca.Issue(who)
	files := map[string][]byte{"ca.crt": ca.Bundle(), "tls.key": key, "tls.crt": cert}
	for _, name := range []string{"ca.crt", "tls.key", "tls.crt"} {
		if err := os.WriteFile(filepath.Join(p.dir, name), files[name], 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *pod) publish(routes map[federation.ServicePort]routing.Route, served map[federation.ServicePort]routing.Served) {
	p.feed.Publish(routing.Table{
		Version: routing.TableVersion{Epoch: 1, Feeder: "op", Sequence: 1}, Self: "us-east", Federation: "prod",
		Routes: maps.Clone(routes), Served: maps.Clone(served),
	})
}

func TestPodWaitsForItsIdentityInWords(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	p := startPod(t, ca, func(*options) {})
	p.awaitReadyz(t, 503, "waiting for the identity in "+p.dir, "is the MeshFederation of this cluster Ready?")
	if code, body := p.get("/healthz"); code != 200 {
		t.Errorf("/healthz says %d %q", code, body)
	}
	if code, _ := p.get("/config"); code != 503 {
		t.Errorf("/config says %d before there is a gateway", code)
	}
	p.mount(t, ca, id("prod", "us-east", identity.RoleGateway))
	p.awaitReadyz(t, 503, "waiting for the first route table")
	p.publish(nil, nil) // its names are the certificate's, or the table would be another gateway's
	p.awaitReadyz(t, 200, "ok")
}

func TestCertificateOfAnotherClusterCarriesNoTraffic(t *testing.T) {
	for name, wrong := range map[string]identity.ID{
		"cluster":    id("prod", "us-west", identity.RoleGateway),
		"federation": id("staging", "us-east", identity.RoleGateway),
		"role":       id("prod", "us-east", identity.RoleOperator),
	} {
		t.Run(name, func(t *testing.T) {
			ca := identitytest.NewCA(t, domain)
			p := startPod(t, ca, func(o *options) { o.cluster, o.federation = "us-east", "prod" })
			p.mount(t, ca, wrong)
			p.awaitReadyz(t, 503, "cannot be used", wrong.String(), name)
			p.awaitLog(t, wrong.String())
			if code, _ := p.get("/config"); code != 503 {
				t.Errorf("/config says %d: a gateway runs", code)
			}
			p.mount(t, ca, id("prod", "us-east", identity.RoleGateway))
			p.awaitReadyz(t, 503, "waiting for the first route table")
		})
	}
}

func TestRotationToAnotherClusterIsNotTaken(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	p := startPod(t, ca, func(*options) {})
	p.mount(t, ca, id("prod", "us-east", identity.RoleGateway))
	p.awaitReadyz(t, 503, "waiting for the first route table")
	p.mount(t, ca, id("prod", "us-west", identity.RoleGateway))
	p.awaitLog(t, "us-west")
	p.publish(nil, nil) // the feed's operator takes us-east's gateway only
	p.awaitReadyz(t, 200, "ok")
}

func TestPodWithoutIdentityEndsAtOnce(t *testing.T) {
	p := startPod(t, identitytest.NewCA(t, domain), func(o *options) { o.delay = time.Hour })
	p.awaitReadyz(t, 503, "waiting for the identity")
	p.terminate()
	select {
	case err := <-p.done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it did not end")
	}
}

// Kubernetes' order: SIGTERM, /readyz says no, kube-proxy takes the pod out some
// seconds later. Clients that come meanwhile must not notice.
func TestTerminatingPodTakesClientsUntilItsDelayIsOver(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	const delay = 3 * time.Second // busy machines
	p := startPod(t, ca, func(o *options) { o.delay, o.drain = delay, time.Second })
	endpoint, egress := bind(t), bind(t)
	defer func() { _ = endpoint.Close() }()
	go func() {
		for {
			c, err := endpoint.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "hello")
			_ = c.Close()
		}
	}()
	_ = egress.Close()
	port := federation.ServicePort{Service: federation.ServiceName{Namespace: "shop", Name: "checkout"}, Port: 80}
	p.mount(t, ca, id("prod", "us-east", identity.RoleGateway))
	p.publish(map[federation.ServicePort]routing.Route{port: {
		Port: port, EgressPort: uint16(egress.Addr().(*net.TCPAddr).Port),
		Tiers: []routing.Tier{{Region: "r", Targets: []routing.Target{{Cluster: "us-east", Weight: 1}}}},
	}}, map[federation.ServicePort]routing.Served{port: {Port: port, Endpoints: []string{endpoint.Addr().String()}}})
	p.awaitReadyz(t, 200, "ok")
	ask := func() error {
		c, err := net.Dial("tcp", egress.Addr().String())
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if got, err := io.ReadAll(c); err != nil || string(got) != "hello" {
			return fmt.Errorf("%q, %w", got, err)
		}
		return nil
	}
	for ask() != nil { // the port opens a moment after the table is in force
	}
	began := time.Now()
	p.terminate()
	p.awaitReadyz(t, 503, "draining")
	served, err := 0, ask()
	for ; err == nil; err = ask() {
		served++
	}
	if took := time.Since(began); served == 0 || took < delay {
		t.Fatalf("%d clients were served, and the next was not, %s after SIGTERM: %v", served, took, err)
	}
	if err := <-p.done; err != nil {
		t.Fatal(err)
	}
	if err := ask(); err == nil || errors.Is(err, io.EOF) {
		t.Fatalf("after the end: %v", err)
	}
}
