package engine

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	"github.com/causeway-mesh/causeway/federation/routing"
)

// replica is an operator on loopback without a store: its state is handed in. Its
// listener stands in for the gateways, which pass gossip through.
type replica struct {
	*Engine
	listener net.Listener
	settings Settings
	stop     func()
}

func newReplica(t *testing.T, ca *identitytest.CA, c federation.ClusterName) *replica {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{listener: l, settings: settings()}
	r.settings.Cluster, r.settings.Region, r.settings.TrustDomain = c, federation.Region(c), ca.Domain()
	cfg := DefaultConfig()
	cfg.Replica, cfg.GossipAddress, cfg.Tick = "op-"+string(c), l.Addr().String(), 50*time.Millisecond
	r.Engine = New(cfg, Deps{
		Identity:     ca.Source(identity.ID{TrustDomain: ca.Domain(), Federation: r.settings.Federation, Cluster: c, Role: identity.RoleOperator}),
		ListenGossip: func() (net.Listener, error) { return l, nil },
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		},
		Publish: func(routing.Table) {}, Silence: func() {}, Superseded: func(uint64) {}, Log: slog.New(slog.DiscardHandler),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = r.Run(ctx); close(done) }()
	r.stop = func() { cancel(); <-done; _ = l.Close() }
	t.Cleanup(r.stop)
	return r
}

// knows hands the federation's state in, as the store would.
func (r *replica) knows(t *testing.T, all ...*replica) {
	t.Helper()
	s := state()
	for _, o := range all {
		m := s.Members[o.settings.Cluster]
		m.TrustDomain, m.Gateways = o.settings.TrustDomain, []federation.GatewayAddress{{Instance: "gw-1", Address: o.listener.Addr().String()}}
		s.Members[o.settings.Cluster] = m
	}
	r.onState(s)
}

func (r *replica) configure(t *testing.T) {
	t.Helper()
	if err := r.Configure(r.settings); err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waiting for %s", what)
		case <-tick.C:
		}
	}
}

// of is what a replica weighed of a cluster for our port.
func (r *replica) of(c federation.ClusterName) routing.Candidate {
	for _, candidate := range r.View().Decisions[port].Candidates {
		if candidate.Cluster == c {
			return candidate
		}
	}
	return routing.Candidate{}
}

func (r *replica) follows() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.follow == nil {
		return -1
	}
	return r.follow.follower.Held()
}

// The leader dies, and with it every way to us-west: what the standby knows of us-west
// it can only have followed.
func TestStandbyThatTakesOverKnowsWhatItsLeaderKnew(t *testing.T) {
	ca := identitytest.NewCA(t, "d")
	east, west, standby := newReplica(t, ca, "us-east"), newReplica(t, ca, "us-west"), newReplica(t, ca, "us-east")
	for _, r := range []*replica{east, west} {
		r.Lead(7)
		r.configure(t)
		r.knows(t, east, west)
		r.SetEgressPorts(map[federation.ServicePort]EgressPort{port: {Port: 20000}})
		r.SetEndpoints(checkout, map[uint16]PortEndpoints{80: {Ready: []string{"10.0.1.1:8080"}, Total: 3, Weight: 4}})
	}
	await(t, "the leader to hear us-west", func() bool { return east.of("us-west").HealthKnown })
	standby.configure(t)
	standby.OnReport(routing.GatewayReport{Instance: "gw-1", Advertise: east.listener.Addr().String()})
	await(t, "the standby to follow", func() bool { return standby.follows() == 2 })
	await(t, "the standby to say so", func() bool { return strings.Contains(standby.View().Gossip.Message, "2 clusters") })
	if v := standby.View(); v.Gossip.Running || v.Leading {
		t.Errorf("a standby has a seat: %+v", v.Gossip)
	}
	west.stop()
	east.stop()
	began := time.Now()
	standby.SetEgressPorts(map[federation.ServicePort]EgressPort{port: {Port: 20000}})
	standby.SetEndpoints(checkout, map[uint16]PortEndpoints{80: {}})
	standby.Lead(8)
	await(t, "the seat", func() bool { return standby.View().Gossip.Running })
	standby.knows(t, east, west)
	await(t, "the first decision", func() bool { return len(standby.View().Decisions) > 0 })
	got := standby.of("us-west")
	if !got.HealthKnown || got.Ready != 1 || got.Total != 3 || got.Capacity != 4 || got.HealthAge <= 0 || got.HealthAge > time.Since(began)+10*time.Second {
		t.Errorf("in its first decision the new leader knows %+v", got)
	}
	standby.StepDown()
	await(t, "it to follow again", func() bool { return standby.follows() == 0 })
}

func TestLeaderThatStepsDownBeforeItHadTheSeatFollowsAgain(t *testing.T) {
	ca := identitytest.NewCA(t, "d")
	r := newReplica(t, ca, "us-east")
	r.configure(t)
	await(t, "it to follow", func() bool { return r.follows() == 0 })
	r.mu.Lock()
	first := r.follow
	r.deps.ListenGossip = func() (net.Listener, error) { return nil, net.ErrClosed }
	r.mu.Unlock()
	r.Lead(2)
	<-first.done
	r.StepDown()
	await(t, "it to follow again", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.follow != nil && r.follow != first && !r.follow.ended()
	})
}

func TestStandbyReachesItsLeaderThroughTheGatewaysThatAreConnected(t *testing.T) {
	r := ready(t)
	s := settings()
	s.Exposed = map[string]string{"gw-1": "lb.example.org:15443", "gw-3": ""}
	if err := r.Configure(s); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"gw-1", "gw-2", "gw-3"} {
		r.OnReport(routing.GatewayReport{Instance: name, Advertise: net.JoinHostPort("10.0.0."+string(rune('1'+i)), "15443")})
	}
	r.OnGone("gw-2")
	want := []string{"10.0.0.1:15443", "lb.example.org:15443", "10.0.0.3:15443"}
	got := r.ownGateways()
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got, want)
		}
	}
}
