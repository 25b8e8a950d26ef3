package gateway_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/routefeed"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	domain = "mesh.example.org"
	fed    = "prod"
)

var port = federation.ServicePort{Service: federation.ServiceName{Namespace: "shop", Name: "checkout"}, Port: 80}

func id(c federation.ClusterName, r identity.Role) identity.ID {
	return identity.ID{TrustDomain: domain, Federation: fed, Cluster: c, Role: r}
}

// node is one gateway with its operator's feed, on loopback.
type node struct {
	gw       *gateway.Gateway
	cluster  federation.ClusterName
	domain   federation.TrustDomain
	address  string
	identity *identity.Source
	metrics  *prometheus.Registry
	feed     *routefeed.Server
	stop     context.CancelFunc
	done     chan error
	seq      uint64
	table    routing.Table
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func start(t *testing.T, ca *identitytest.CA, cluster federation.ClusterName) *node {
	t.Helper()
	return startWith(t, ca, cluster, func(*gateway.Config) {})
}

// startWith starts a gateway whose configuration change may alter.
func startWith(t *testing.T, ca *identitytest.CA, cluster federation.ClusterName, change func(*gateway.Config)) *node {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	feedListener, l := listen(t), listen(t)
	n := &node{cluster: cluster, address: l.Addr().String(), done: make(chan error, 1), domain: ca.Domain(), metrics: prometheus.NewRegistry()}
	gatewayID, operatorID := id(cluster, identity.RoleGateway), id(cluster, identity.RoleOperator)
	gatewayID.TrustDomain, operatorID.TrustDomain = ca.Domain(), ca.Domain()
	n.identity = ca.Source(gatewayID)
	n.feed = routefeed.NewServer(routefeed.ServerDeps{
		TLS: ca.Source(operatorID).ServerConfig(identity.Exactly(gatewayID)),
		Log: log, OnReport: func(routing.GatewayReport) {}, OnGone: func(string) {}, AliveEvery: 50 * time.Millisecond,
	})
	cfg := gateway.DefaultConfig()
	cfg.Instance, cfg.Cluster, cfg.Federation = "gw-1", cluster, fed
	cfg.Advertise, cfg.Local, cfg.Operators = n.address, netip.MustParseAddr("127.0.0.1"), []string{feedListener.Addr().String()}
	cfg.Drain, cfg.AttemptMin = 2*time.Second, time.Second // busy machines
	change(&cfg)
	var err error
	n.gw, err = gateway.New(cfg, gateway.Deps{
		Identity: n.identity, Listener: l, Log: log, Metrics: n.metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = n.feed.Serve(ctx, feedListener) })
	gwCtx, stop := context.WithCancel(ctx)
	n.stop = stop
	wg.Go(func() { n.done <- n.gw.Run(gwCtx) })
	t.Cleanup(func() { stop(); cancel(); wg.Wait() })
	n.table = routing.Table{
		Self: cluster, Federation: fed, Peers: map[federation.ClusterName]routing.Peer{},
		Routes: map[federation.ServicePort]routing.Route{}, Served: map[federation.ServicePort]routing.Served{},
	}
	return n
}

// publish feeds a changed copy of the node's table and waits until it is in force.
func (n *node) publish(t *testing.T, change func(*routing.Table)) {
	t.Helper()
	next := n.table
	next.Peers, next.Routes, next.Served = maps.Clone(n.table.Peers), maps.Clone(n.table.Routes), maps.Clone(n.table.Served)
	change(&next)
	n.seq++
	next.Version = routing.TableVersion{Epoch: 1, Feeder: "op", Sequence: n.seq}
	n.table = next
	n.feed.Publish(next)
	await(t, "table in force", func() bool { return n.gw.Table().Version == next.Version })
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(time.Minute) // busy machines
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waiting for %s", what)
		case <-tick.C:
		}
	}
}

func peer(n *node, address string) routing.Peer {
	return routing.Peer{
		Cluster: n.cluster, Region: federation.Region(n.cluster), TrustDomain: n.domain,
		Gateways: []federation.GatewayAddress{{Instance: "gw-1", Address: address}},
	}
}

// link makes two nodes members of each other's table; via is where from reaches to.
func link(t *testing.T, from, to *node, via string) {
	t.Helper()
	from.publish(t, func(x *routing.Table) { x.Peers[to.cluster] = peer(to, via) })
	to.publish(t, func(x *routing.Table) { x.Peers[from.cluster] = peer(from, from.address) })
}

// route makes n import the port from clusters, best first, on a free egress port.
func (n *node) route(t *testing.T, clusters ...federation.ClusterName) string {
	t.Helper()
	l := listen(t)
	egress := l.Addr().(*net.TCPAddr)
	_ = l.Close()
	var tiers []routing.Tier
	for _, c := range clusters {
		tiers = append(tiers, routing.Tier{Region: federation.Region(c), Targets: []routing.Target{{Cluster: c, Weight: 1}}})
	}
	n.publish(t, func(x *routing.Table) {
		x.Routes[port] = routing.Route{Port: port, EgressPort: uint16(egress.Port), Tiers: tiers}
	})
	await(t, "egress port", func() bool {
		c, err := net.Dial("tcp", egress.String())
		if err != nil {
			return false
		}
		defer func() { _ = c.Close() }()
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = io.Copy(io.Discard, c) // its attempts are over, so no later count has them
		return true
	})
	return egress.String()
}

func (n *node) up(t *testing.T, peers int) {
	t.Helper()
	await(t, fmt.Sprintf("%d live paths of %s", peers, n.cluster), func() bool {
		up := 0
		for _, v := range n.gw.Paths() {
			if v.State == routing.PathUp {
				up++
			}
		}
		return up == peers
	})
}

// endpoint serves connections with handle until the test ends.
func endpoint(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l := listen(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				handle(c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

// named answers each line with its name and the line.
func named(name string) func(net.Conn) {
	return func(c net.Conn) {
		for r := bufio.NewReader(c); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, name+" "+line)
		}
	}
}

func (n *node) serve(t *testing.T, endpoints ...string) {
	t.Helper()
	n.publish(t, func(x *routing.Table) { x.Served[port] = routing.Served{Port: port, Endpoints: endpoints} })
}

func ask(address string) (string, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return talk(c)
}

func talk(c net.Conn) (string, error) {
	if _, err := io.WriteString(c, "hello\n"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// pair is a consumer and one server cluster.
func pair(t *testing.T) (ca *identitytest.CA, consumer, east *node, egress string) {
	t.Helper()
	ca = identitytest.NewCA(t, domain)
	consumer, east = start(t, ca, "eu-west"), start(t, ca, "us-east")
	link(t, consumer, east, east.address)
	egress = consumer.route(t, "us-east")
	consumer.up(t, 1)
	return ca, consumer, east, egress
}

func TestConnectionCrossesAndTunnelsAreReused(t *testing.T) {
	_, _, east, egress := pair(t)
	east.serve(t, endpoint(t, named("east")))
	for range 50 {
		if got, err := ask(egress); err != nil || got != "east hello" {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

func TestServerFirstProtocolAndHalfClose(t *testing.T) {
	_, _, east, egress := pair(t)
	east.serve(t, endpoint(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "220 ready\n")
		all, _ := io.ReadAll(c) // until the client's half-close
		_, _ = fmt.Fprintf(c, "got %d bytes\n", len(all))
	}))
	c, err := net.Dial("tcp", egress)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); err != nil || line != "220 ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	body := strings.Repeat("x", 1<<20)
	if _, err := io.WriteString(c, body); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "got 1048576 bytes\n" {
		t.Fatalf("%q, %v", rest, err)
	}
}

func TestNackIsTriedElsewhere(t *testing.T) {
	ca, consumer, east, _ := pair(t)
	west := start(t, ca, "us-west")
	link(t, consumer, west, west.address)
	egress := consumer.route(t, "us-east", "us-west")
	consumer.up(t, 2)
	east.serve(t) // exported, nothing ready
	west.serve(t, endpoint(t, named("west")))
	if got, err := ask(egress); err != nil || got != "west hello" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestUnknownAndUnexportedServiceAndStrangerAreResetAlike(t *testing.T) {
	_, _, east, egress := pair(t)
	_, unexported := ask(egress)
	east.serve(t, endpoint(t, named("east")))
	if _, err := ask(egress); err != nil {
		t.Fatal(err)
	}
	east.publish(t, func(x *routing.Table) { delete(x.Peers, "eu-west") })
	_, stranger := ask(egress)
	for name, err := range map[string]error{"not exported": unexported, "no member any more": stranger} {
		if err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v, want a reset", name, err)
		}
	}
}

// blackhole forwards to target until cut, then swallows everything.
func blackhole(t *testing.T, target string) (address string, cut func()) {
	t.Helper()
	dead := make(chan struct{})
	pump := func(dst, src net.Conn) {
		buf := make([]byte, 32<<10)
		for {
			k, err := src.Read(buf)
			if err != nil {
				return
			}
			select {
			case <-dead:
				continue
			default:
			}
			if _, err := dst.Write(buf[:k]); err != nil {
				return
			}
		}
	}
	address = endpoint(t, func(c net.Conn) {
		up, err := net.Dial("tcp", target)
		if err != nil {
			return
		}
		defer func() { _ = up.Close() }()
		var wg sync.WaitGroup
		wg.Go(func() { pump(up, c); _ = up.Close() })
		wg.Go(func() { pump(c, up); _ = c.Close() })
		wg.Wait()
	})
	return address, sync.OnceFunc(func() { close(dead) })
}

func TestBlackHoledPeerCostsNoNewConnectionAndResetsOldOnes(t *testing.T) {
	ca := identitytest.NewCA(t, domain)
	consumer, east, west := start(t, ca, "eu-west"), start(t, ca, "us-east"), start(t, ca, "us-west")
	via, cut := blackhole(t, east.address)
	link(t, consumer, east, via)
	link(t, consumer, west, west.address)
	egress := consumer.route(t, "us-east", "us-west")
	consumer.up(t, 2)
	east.serve(t, endpoint(t, named("east")))
	west.serve(t, endpoint(t, named("west")))
	old, err := net.Dial("tcp", egress)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	if got, err := talk(old); err != nil || got != "east hello" {
		t.Fatalf("%q, %v", got, err)
	}
	cut()
	for range 20 {
		if got, err := ask(egress); err != nil || got != "west hello" {
			t.Fatalf("a new connection: %q, %v", got, err)
		}
	}
	_ = old.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, err = old.Read(make([]byte, 1))
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatalf("the established connection was not reset: %v", err)
	}
}

// refused says how the one port answers a TLS client.
func refused(address string, config *tls.Config) error {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 30 * time.Second}, "tcp", address, config)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	// The gateway speaks first on a tunnel: HELLO. A refusal in TLS 1.3 comes as an
	// alert at the first read.
	_, err = c.Read(make([]byte, 1))
	return err
}

func TestOnlyMembersGatewaysAreLetIn(t *testing.T) {
	ca, _, east, _ := pair(t)
	any := func(identity.ID) error { return nil }
	sni := federation.GatewayServerName(fed, "us-east")
	foreign := identitytest.NewCA(t, domain)
	liar := foreign.Source(id("eu-west", identity.RoleGateway))
	if err := liar.SetBundle(domain, ca.Bundle()); err != nil {
		t.Fatal(err)
	}
	staging := id("eu-west", identity.RoleGateway)
	staging.Federation = "staging"
	if err := refused(east.address, ca.Source(id("eu-west", identity.RoleGateway)).ClientConfig(any, sni, federation.ALPNTunnel)); err != nil {
		t.Fatalf("a member was refused: %v", err)
	}
	for name, config := range map[string]*tls.Config{
		"foreign authority": liar.ClientConfig(any, sni, federation.ALPNTunnel),
		"no member":         ca.Source(id("ap-south", identity.RoleGateway)).ClientConfig(any, sni, federation.ALPNTunnel),
		"other federation":  ca.Source(staging).ClientConfig(any, sni, federation.ALPNTunnel),
		"operator":          ca.Source(id("eu-west", identity.RoleOperator)).ClientConfig(any, sni, federation.ALPNTunnel),
		"wrong ALPN":        ca.Source(id("eu-west", identity.RoleGateway)).ClientConfig(any, sni, "h2"),
		"no certificate":    {InsecureSkipVerify: true, ServerName: sni, NextProtos: []string{federation.ALPNTunnel}}, //nolint:gosec // the point
	} {
		if err := refused(east.address, config); err == nil {
			t.Errorf("%s was let in", name)
		}
	}
}

func TestPlainHTTPToThePortIsRefused(t *testing.T) {
	_, _, east, _ := pair(t)
	c, err := net.Dial("tcp", east.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	answer, _ := io.ReadAll(c)
	if strings.Contains(string(answer), "HTTP") {
		t.Fatalf("the port answered %q", answer)
	}
}

func TestTakenEgressPortIsReportedAndOthersWork(t *testing.T) {
	_, consumer, east, egress := pair(t)
	east.serve(t, endpoint(t, named("east")))
	taken := listen(t)
	defer func() { _ = taken.Close() }()
	other := federation.ServicePort{Service: federation.ServiceName{Namespace: "shop", Name: "other"}, Port: 80}
	consumer.publish(t, func(x *routing.Table) {
		x.Routes[other] = routing.Route{Port: other, EgressPort: uint16(taken.Addr().(*net.TCPAddr).Port)}
	})
	await(t, "the failed port in the report", func() bool {
		return strings.Contains(consumer.gw.Report().FailedPorts[other], "in use")
	})
	if got, err := ask(egress); err != nil || got != "east hello" {
		t.Fatalf("the other port: %q, %v", got, err)
	}
}

func TestDrainEndsInTimeWithAStreamHeldOnADialledTunnel(t *testing.T) {
	_, consumer, east, egress := pair(t)
	east.serve(t, endpoint(t, named("east")))
	held, err := net.Dial("tcp", egress)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	if _, err := talk(held); err != nil {
		t.Fatal(err)
	}
	consumer.stop()
	select {
	case err := <-consumer.done:
		consumer.done <- err
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the gateway did not end: its drain is 2 s")
	}
}
