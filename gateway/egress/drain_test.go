package egress

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/routing"
	"github.com/causeway-mesh/causeway/gateway/telemetry"
	"github.com/causeway-mesh/causeway/gateway/tunnel"
)

// within fails the test if f takes longer than any machine needs, be it ever so busy.
func within(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("the drain has no end")
	}
}

// ended is a client that has said all it has to say, and reads on.
func ended(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	var c net.Conn
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if c, err = net.Dial("tcp", address); err == nil { // the port opens a moment after Run
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

func TestDrainEndsThoughAPeerNeverEndsAStreamThatItsClientHas(t *testing.T) {
	p := &scripted{name: "c0", deed: stays, heard: make(chan struct{})}
	address, end := egressOf(t, scene{peers: []*scripted{p}, drain: 50 * time.Millisecond})
	ended(t, address)
	<-p.heard
	within(t, end)
}

func TestDrainEndsThoughAnEndpointNeverEndsWhatItsClientHas(t *testing.T) {
	endpoint, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = endpoint.Close() }()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().(*net.TCPAddr).AddrPort()
	_ = free.Close()
	table := routing.Table{Self: "self",
		Routes: map[federation.ServicePort]routing.Route{checkout: {Port: checkout, EgressPort: at.Port(), Tiers: []routing.Tier{{Targets: []routing.Target{{Cluster: "self", Weight: 1}}}}}},
		Served: map[federation.ServicePort]routing.Served{checkout: {Endpoints: []string{endpoint.Addr().String()}}},
	}
	paths := tunnel.DefaultPathConfig()
	paths.Instance, paths.Cluster = "gw", "self"
	set, err := tunnel.NewSet(paths, tunnel.PathDeps{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := DefaultConfig()
	cfg.Local, cfg.Drain = netip.MustParseAddr("127.0.0.1"), 50*time.Millisecond
	log := slog.New(slog.DiscardHandler)
	e, err := New(cfg, Deps{Table: func() *routing.Table { return &table }, Paths: set, Recorder: telemetry.New(prometheus.NewRegistry(), log), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	run := make(chan struct{})
	go func() { _ = e.Run(ctx); close(run) }()
	ended(t, at.String())
	far, err := endpoint.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	for buf := make([]byte, 16); err == nil; { // to the client's end
		_, err = far.Read(buf)
	}
	within(t, func() { cancel(); <-run })
}
