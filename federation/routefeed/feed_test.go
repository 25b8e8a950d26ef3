package routefeed

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
	pb "github.com/causeway-mesh/causeway/federation/routefeed/feedpb"
	"github.com/causeway-mesh/causeway/federation/routing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func anyPort(t *rapid.T) federation.ServicePort {
	return federation.ServicePort{
		Service: federation.ServiceName{Namespace: "ns", Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")},
		Port:    rapid.Uint16Range(1, 3).Draw(t, "port"),
	}
}

func anyTable(t *rapid.T, sequence uint64) routing.Table {
	cluster := func() federation.ClusterName {
		return federation.ClusterName(rapid.SampledFrom([]string{"x", "y", "z"}).Draw(t, "cluster"))
	}
	table := routing.Table{
		Version: routing.TableVersion{Epoch: 1, Feeder: "op", Sequence: sequence}, Self: "self", Federation: "prod",
		Peers: map[federation.ClusterName]routing.Peer{}, Routes: map[federation.ServicePort]routing.Route{},
		Served: map[federation.ServicePort]routing.Served{}, Bundles: map[federation.TrustDomain][]byte{},
	}
	for range rapid.IntRange(0, 3).Draw(t, "peers") {
		c := cluster()
		table.Peers[c] = routing.Peer{Cluster: c, Region: "r", TrustDomain: "d", Gateways: []federation.GatewayAddress{{Instance: "g", Address: rapid.SampledFrom([]string{"1:1", "2:2"}).Draw(t, "address")}}}
	}
	for range rapid.IntRange(0, 4).Draw(t, "routes") {
		p := anyPort(t)
		table.Routes[p] = routing.Route{
			Port: p, EgressPort: rapid.Uint16Range(20000, 20002).Draw(t, "egress"), EarlyData: rapid.Bool().Draw(t, "early"), Rule: "r",
			Tiers: []routing.Tier{{Region: "r", Targets: []routing.Target{{Cluster: cluster(), Weight: 1, LastResort: rapid.Bool().Draw(t, "last")}}}},
		}
		table.Served[p] = routing.Served{Port: p, Endpoints: rapid.SliceOfN(rapid.SampledFrom([]string{"10.0.0.1:1", "10.0.0.2:1"}), 0, 2).Draw(t, "endpoints")}
	}
	if rapid.Bool().Draw(t, "rest") {
		table.Operators = []routing.Operator{{Name: "op", GossipAddress: "10.0.0.1:15011", Leader: true}}
		table.Bundles["d"] = []byte("pem")
	}
	return table
}

func TestPropertyApplyOfDiffIsNext(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, next := anyTable(t, 1), anyTable(t, 2)
		got, err := apply(base, diff(base, next))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(next, got, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
		if _, err := apply(next, diff(base, next)); !errors.Is(err, errBase) {
			t.Fatalf("a delta on the wrong base: %v", err)
		}
		full, err := tableFromPB(tableToPB(next))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(next, full, cmpopts.EquateEmpty()); d != "" {
			t.Fatal(d)
		}
	})
}

func TestPortOutOfRangeIsRefused(t *testing.T) {
	for _, n := range []uint32{0, 65536, 1 << 31} {
		_, err := tableFromPB(&pb.Table{Served: []*pb.Served{{Port: &pb.ServicePort{Namespace: "n", Name: "s", Port: n}}}})
		if err == nil {
			t.Errorf("port %d was taken", n)
		}
	}
}

// rig is a server with one client over real mTLS on loopback.
type rig struct {
	server  *Server
	client  *Client
	tables  chan routing.Table
	reports chan routing.GatewayReport
	gone    chan string
}

func newRig(t *testing.T, clientRole identity.Role) *rig {
	t.Helper()
	return newRigAlive(t, clientRole, time.Hour)
}

// newRigAlive has a server that repeats itself.
func newRigAlive(t *testing.T, clientRole identity.Role, every time.Duration) *rig {
	t.Helper()
	ca := identitytest.NewCA(t, "d")
	id := func(r identity.Role) identity.ID {
		return identity.ID{TrustDomain: "d", Federation: "prod", Cluster: "us-east", Role: r}
	}
	operator, gateway := id(identity.RoleOperator), id(identity.RoleGateway)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	r := &rig{tables: make(chan routing.Table, 100), reports: make(chan routing.GatewayReport, 1000), gone: make(chan string, 10)}
	r.server = NewServer(ServerDeps{
		TLS: ca.Source(operator).ServerConfig(identity.Exactly(gateway)), Log: log,
		OnReport: func(g routing.GatewayReport) { r.reports <- g }, OnGone: func(name string) { r.gone <- name },
		AliveEvery: every,
	})
	var mu sync.Mutex
	var applied routing.TableVersion
	r.client, err = NewClient(ClientConfig{Operators: []string{l.Addr().String()}}, ClientDeps{
		TLS: ca.Source(id(clientRole)).ClientConfig(identity.Exactly(operator), ""), Log: log,
		Report: func() routing.GatewayReport {
			mu.Lock()
			defer mu.Unlock()
			return routing.GatewayReport{Instance: "gw-1", Applied: applied}
		},
		Apply: func(table routing.Table) {
			mu.Lock()
			applied = table.Version
			mu.Unlock()
			r.tables <- table
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = r.server.Serve(ctx, l) })
	wg.Go(func() { _ = r.client.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return r
}

func (r *rig) ack(t *testing.T, want routing.TableVersion) {
	t.Helper()
	for report := range r.reports {
		if report.Applied == want {
			return
		}
	}
}

func TestFullThenDeltasAreAcked(t *testing.T) {
	r := newRig(t, identity.RoleGateway)
	table := routing.Table{Version: routing.TableVersion{Epoch: 1, Feeder: "op", Sequence: 1}, Self: "us-east"}
	r.server.Publish(table)
	if got := <-r.tables; got.Version != table.Version {
		t.Fatalf("got %v", got.Version)
	}
	table.Version.Sequence = 2
	table.Routes = map[federation.ServicePort]routing.Route{}
	p := federation.ServicePort{Service: federation.ServiceName{Namespace: "n", Name: "s"}, Port: 80}
	table.Routes[p] = routing.Route{Port: p, EgressPort: 20000}
	r.server.Publish(table)
	if got := <-r.tables; got.Version != table.Version || len(got.Routes) != 1 {
		t.Fatalf("got %v with %d routes", got.Version, len(got.Routes))
	}
	r.client.Poke()
	r.ack(t, table.Version)
}

// A gateway must be able to tell a leader with nothing new to say from a dead one.
func TestQuietFeederSaysThatItLives(t *testing.T) {
	r := newRigAlive(t, identity.RoleGateway, 20*time.Millisecond)
	table := routing.Table{Version: routing.TableVersion{Epoch: 1, Feeder: "op", Sequence: 1}, Self: "us-east"}
	r.server.Publish(table)
	for range 3 { // the table, and twice more that it stands
		if got := <-r.tables; got.Version != table.Version || got.Self != "us-east" {
			t.Fatalf("got %+v", got)
		}
	}
}

func TestStandbyFeedsNothingAndSilenceKeepsTheTable(t *testing.T) {
	r := newRig(t, identity.RoleGateway)
	<-r.reports // connected, and the server has no table
	r.server.Publish(routing.Table{Version: routing.TableVersion{Epoch: 1, Feeder: "op", Sequence: 1}})
	<-r.tables
	r.server.Silence()
	r.client.Poke()
	<-r.reports
	r.server.Publish(routing.Table{Version: routing.TableVersion{Epoch: 3, Feeder: "op", Sequence: 1}})
	if got := <-r.tables; got.Version.Epoch != 3 {
		t.Fatalf("the first table after the silence is %v", got.Version)
	}
}

func TestOperatorIsNotFedAsAGateway(t *testing.T) {
	r := newRig(t, identity.RoleOperator)
	r.server.Publish(routing.Table{Version: routing.TableVersion{Epoch: 1}})
	select {
	case <-r.tables:
		t.Fatal("a peer with the wrong role was fed")
	case <-r.reports:
		t.Fatal("a peer with the wrong role was heard")
	case <-time.After(300 * time.Millisecond): // a refusal has no event to wait for; both channels would have fired within a few ms
	}
}

func TestClientConfigNamesEveryFault(t *testing.T) {
	if err := (ClientConfig{}).Validate(); err == nil {
		t.Error("no operator was taken")
	}
	if err := (ClientConfig{Operators: []string{"nonsense", "also"}}).Validate(); err == nil || len(err.(interface{ Unwrap() []error }).Unwrap()) != 2 {
		t.Errorf("got %v, want two faults", err)
	}
}
