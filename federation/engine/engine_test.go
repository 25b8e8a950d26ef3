package engine

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/policystore"
	"github.com/causeway-mesh/causeway/federation/routing"
)

var (
	checkout = federation.ServiceName{Namespace: "shop", Name: "checkout"}
	port     = federation.ServicePort{Service: checkout, Port: 80}
)

// rig is an engine without a network: rounds are made by hand, the store's state
// is handed in, published tables are kept.
type rig struct {
	*Engine
	tables   []routing.Table
	silenced int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{}
	cfg := DefaultConfig()
	cfg.Replica, cfg.GossipAddress = "op-1", "10.0.0.1:15011"
	r.Engine = New(cfg, Deps{
		Identity: identity.NewSource(), Log: slog.New(slog.DiscardHandler),
		Publish: func(table routing.Table) { r.tables = append(r.tables, table) },
		Silence: func() { r.silenced++ },
	})
	return r
}

func settings() Settings {
	return Settings{Federation: "prod", Cluster: "us-east", Region: "us-east", TrustDomain: "d", InstanceID: "uid-1"}
}

func state() policystore.State {
	member := func(c federation.ClusterName) federation.Member {
		return federation.Member{Name: c, Region: federation.Region(c), TrustDomain: "d", InstanceID: "uid-1",
			Gateways: []federation.GatewayAddress{{Instance: "gw-1", Address: "10.0.0.9:15443"}}}
	}
	export := func(c federation.ClusterName, order uint64) federation.Export {
		return federation.Export{Cluster: c, Service: checkout, Order: order, Ports: []federation.ExportedPort{{Port: 80, Protocol: federation.TCP}}}
	}
	return policystore.State{
		Members: map[federation.ClusterName]federation.Member{"us-east": member("us-east"), "us-west": member("us-west")},
		Exports: map[federation.ServiceName][]federation.Export{checkout: {export("us-east", 1), export("us-west", 2)}},
	}
}

// ready is a leader that knows all that it has to.
func ready(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.Lead(7)
	if err := r.Configure(settings()); err != nil {
		t.Fatal(err)
	}
	r.onState(state())
	r.SetEgressPorts(map[federation.ServicePort]EgressPort{port: {Port: 20000}})
	r.SetEndpoints(checkout, map[uint16]PortEndpoints{80: {Ready: []string{"10.0.1.1:8080"}, Total: 2}})
	return r
}

func TestNoTableBeforeTheFactsAreComplete(t *testing.T) {
	for name, leaveOut := range map[string]func(*rig){
		"not leading":        func(r *rig) { r.epoch = 0 },
		"store not read":     func(r *rig) { r.synced, r.informed = false, false },
		"no allotment":       func(r *rig) { r.egress = nil },
		"endpoints not seen": func(r *rig) { r.RemoveEndpoints(checkout) },
		"not configured":     func(r *rig) { r.settings = nil },
	} {
		r := ready(t)
		leaveOut(r)
		r.round()
		if len(r.tables) != 0 {
			t.Errorf("%s: a table went out: %+v", name, r.tables[0])
		}
	}
}

func TestEndpointsThatNeverComeAreWaitedForOnlySoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t)
		r.RemoveEndpoints(checkout)
		r.round()
		time.Sleep(r.cfg.LoadTimeout + time.Millisecond) // virtual
		r.round()
		if len(r.tables) != 1 {
			t.Fatalf("%d tables", len(r.tables))
		}
	})
}

func TestTableGoesOutOnceAndThenOnlyWhenItChanges(t *testing.T) {
	r := ready(t)
	r.round()
	r.round()
	if len(r.tables) != 1 {
		t.Fatalf("%d tables for one state", len(r.tables))
	}
	first := r.tables[0]
	if first.Version != (routing.TableVersion{Epoch: 7, Feeder: "op-1", Sequence: 1}) {
		t.Errorf("version %+v", first.Version)
	}
	if got := first.Served[port].Endpoints; len(got) != 1 || got[0] != "10.0.1.1:8080" {
		t.Errorf("served endpoints %v", got)
	}
	if got := first.Routes[port]; got.EgressPort != 20000 || got.Tiers[0].Targets[0].Cluster != "us-east" {
		t.Errorf("route %+v", got)
	}
	r.SetEndpoints(checkout, map[uint16]PortEndpoints{80: {Total: 2}})
	r.round()
	if len(r.tables) != 2 || r.tables[1].Version.Sequence != 2 {
		t.Fatalf("after a change: %d tables", len(r.tables))
	}
}

func TestSteppedDownEngineIsSilent(t *testing.T) {
	r := ready(t)
	r.round()
	r.StepDown()
	r.SetEndpoints(checkout, map[uint16]PortEndpoints{80: {}})
	r.round()
	if len(r.tables) != 1 || r.silenced != 1 {
		t.Fatalf("%d tables, silenced %d times", len(r.tables), r.silenced)
	}
	if v := r.View(); v.Leading || v.Gossip.Reason != "NotLeading" {
		t.Errorf("view says leading %t, gossip %s", v.Leading, v.Gossip.Reason)
	}
}

func TestLostStoreRemovesNothing(t *testing.T) {
	r := ready(t)
	r.round()
	r.store = nil // its client has gone; what was read stays
	r.round()
	v := r.View()
	if len(v.Members) != 2 || len(v.Exports[checkout]) != 2 || len(r.tables) != 1 || !v.StoreSynced {
		t.Errorf("members %d, exports %d, tables %d", len(v.Members), len(v.Exports[checkout]), len(r.tables))
	}
}

func TestBadSettingsLeaveTheOldOnes(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Settings)
		says   string
	}{
		"no region":         {func(s *Settings) { s.Region = "" }, "are required"},
		"seed without port": {func(s *Settings) { s.Seeds = []Seed{{Cluster: "x", Addresses: []string{"10.0.0.1"}}} }, "want host:port"},
		"gateway address": {func(s *Settings) {
			s.GatewayAddresses = []federation.GatewayAddress{{Instance: "a", Address: "nonsense"}}
		}, "want host:port"},
		"store CA":            {func(s *Settings) { s.StoreCA = []byte("x") }, "ca.crt holds no certificate"},
		"bundle":              {func(s *Settings) { s.Bundles = map[federation.TrustDomain][]byte{"d": []byte("x")} }, "trust bundles"},
		"operator's key pair": {func(s *Settings) { s.CertPEM = []byte("x") }, "operator's identity"},
	} {
		r := ready(t)
		bad := settings()
		c.change(&bad)
		if err := r.Configure(bad); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if !r.settings.equal(settings()) {
			t.Errorf("%s: bad settings are in force", name)
		}
	}
}

func TestGatewayStaysAdvertisedForItsGraceAndTheLastOneForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t)
		report := func(name string) routing.GatewayReport {
			return routing.GatewayReport{Instance: name, Advertise: "10.0.0." + name[3:] + ":15443"}
		}
		names := func() string {
			r.mu.Lock()
			defer r.mu.Unlock()
			var out []string
			for _, a := range r.advertised(r.now()) {
				out = append(out, a.Instance)
			}
			return strings.Join(out, " ")
		}
		r.OnReport(report("gw-2"))
		if got := names(); got != "gw-1 gw-2" {
			t.Errorf("a new leader dropped a gateway that it has not heard yet: %s", got)
		}
		r.OnReport(report("gw-1"))
		time.Sleep(r.cfg.GatewayGrace + time.Second) // virtual
		r.OnGone("gw-1")
		if got := names(); got != "gw-1 gw-2" {
			t.Errorf("within the grace: %s", got)
		}
		time.Sleep(r.cfg.GatewayGrace + time.Second)
		if got := names(); got != "gw-2" {
			t.Errorf("after the grace: %s", got)
		}
		r.OnGone("gw-2")
		time.Sleep(r.cfg.GatewayGrace + time.Second)
		if got := names(); got == "" {
			t.Error("the last gateway was dropped")
		}
	})
}

func TestGatewayIsAdvertisedWhereItIsExposedAndNotBeforeThatIsKnown(t *testing.T) {
	r := ready(t)
	s := settings()
	s.Exposed = map[string]string{"gw-2": "lb.example.org:15443", "gw-3": ""}
	if err := r.Configure(s); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gw-1", "gw-2", "gw-3"} {
		r.OnReport(routing.GatewayReport{Instance: name, Advertise: "10.0.0.9:15443"})
	}
	r.mu.Lock()
	got := r.advertised(r.now())
	r.mu.Unlock()
	want := []federation.GatewayAddress{{Instance: "gw-1", Address: "10.0.0.9:15443"}, {Instance: "gw-2", Address: "lb.example.org:15443"}}
	if !slices.Equal(got, want) {
		t.Errorf("advertised %v, want %v", got, want)
	}
	s.Exposed["gw-2"] = "no port"
	if err := r.Configure(s); err == nil || !strings.Contains(err.Error(), "gw-2") {
		t.Errorf("an address without a port: %v", err)
	}
}

func TestLeftFederationIsKnownToExportNothingUntilTheNextOneIsRead(t *testing.T) {
	r := ready(t)
	read := r.state
	r.round()
	if v := r.View(); len(v.Exports) == 0 || !v.StoreSynced {
		t.Fatal("the rig knows no export")
	}
	r.Unconfigure()
	r.onState(read) // the old client's last word
	r.round()
	if v := r.View(); len(v.Exports) != 0 || len(v.Policies) != 0 || !v.StoreSynced {
		t.Errorf("after leaving: %d exports, synced %t", len(v.Exports), v.StoreSynced)
	}
	if err := r.Configure(settings()); err != nil {
		t.Fatal(err)
	}
	r.round()
	if v := r.View(); v.StoreSynced {
		t.Error("the next federation counts as read before it was")
	}
}

func TestWithoutAFederationNothingIsExportedAnywhere(t *testing.T) {
	r := ready(t)
	r.settings, r.synced, r.informed, r.state = nil, false, false, policystore.State{} // as after a restart
	r.round()
	if r.View().StoreSynced {
		t.Fatal("a restarted operator acts before it knows whether there is a federation")
	}
	r.Unconfigure()
	r.round()
	if v := r.View(); !v.StoreSynced || len(v.Exports) != 0 {
		t.Errorf("what an earlier membership derived stays: synced %t, %d exports", v.StoreSynced, len(v.Exports))
	}
}

func TestForgottenFederationIsNotWrittenTo(t *testing.T) {
	r := ready(t)
	r.store = &storePart{store: new(policystore.Store)}
	if _, err := r.writer(); err != nil {
		t.Fatalf("a member may not write: %v", err)
	}
	r.Unconfigure() // Run stops the store client later
	if _, err := r.writer(); !errors.Is(err, ErrNoStore) {
		t.Errorf("writing to a forgotten federation: %v", err)
	}
	if err := r.Unregister(t.Context()); !errors.Is(err, ErrNoStore) {
		t.Errorf("unregistering from it: %v", err)
	}
}

func TestNobodyLeavesBeforeTheStoreClientKnowsWhatIsOurs(t *testing.T) {
	r := ready(t)
	client := new(policystore.Store)
	r.store = &storePart{store: client}
	if err := r.leave(client); err == nil || r.register.leaving {
		t.Errorf("left before Register: %v", err)
	}
	r.registered(client, nil)
	r.register.busy = true
	if err := r.leave(client); err == nil || r.register.leaving {
		t.Errorf("left while a registration is on its way: %v", err)
	}
	r.registered(client, nil)
	if err := r.leave(client); err != nil || !r.register.leaving {
		t.Errorf("may not leave: %v", err)
	}
}

func TestNameConflictIsSeenBeforeRegistering(t *testing.T) {
	r := ready(t)
	taken := r.state.Members[r.settings.Cluster]
	taken.InstanceID = "uid-of-another"
	r.state.Members = maps.Clone(r.state.Members)
	r.state.Members[r.settings.Cluster] = taken
	r.round()
	if v := r.View(); !strings.Contains(v.NameConflict, "uid-of-another") {
		t.Errorf("conflict %q, and the other cluster's exports are shown as ours", v.NameConflict)
	}
}

// A seat under another cluster's name would speak for that one.
func TestSeatIsTakenOnlyUnderANameThatIsOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.Lead(1)
		time.Sleep(time.Hour) // virtual: it led before it was configured
		if err := r.Configure(settings()); err != nil {
			t.Fatal(err)
		}
		if r.seatable() {
			t.Error("the store has said nothing yet, and the seat is taken")
		}
		time.Sleep(r.cfg.LoadTimeout + time.Millisecond)
		if !r.seatable() {
			t.Error("a store that is away keeps the cluster out of the gossip for ever")
		}
		taken := state()
		own := taken.Members["us-east"]
		own.InstanceID = "uid-of-another"
		taken.Members["us-east"] = own
		r.onState(taken)
		if r.seatable() {
			t.Error("another cluster holds the name, and the seat is taken")
		}
		r.seat = &seatPart{made: *r.settings, running: start(t.Context(), func(ctx context.Context) { <-ctx.Done() })}
		off := r.outdated()
		if len(off) != 1 || r.seat != nil {
			t.Fatal("a seat whose name turns out to be another cluster's is kept")
		}
		off[0].stop()
		r.round()
		if got := r.View().Gossip; got.Running || got.Reason != "NameConflict" {
			t.Errorf("the view says %+v", got)
		}
		r.onState(state())
		if !r.seatable() {
			t.Error("the name is ours, and the seat is not taken")
		}
	})
}

func TestNameConflictStopsWriting(t *testing.T) {
	r := ready(t)
	r.registered(nil, policystore.ErrNameTaken)
	r.round()
	if v := r.View(); v.NameConflict == "" {
		t.Error("the view does not tell of the conflict")
	}
	if _, err := r.writer(); err == nil {
		t.Error("a cluster whose name is taken may write")
	}
}

func TestSubscribersHearMaterialChangesOnly(t *testing.T) {
	r := ready(t)
	changed, stop := r.Subscribe()
	defer stop()
	r.round()
	<-changed
	r.round()
	select {
	case <-changed:
		t.Error("a round without a change was told")
	default:
	}
}

func TestWhatWasKeptIsRoutedByAndDeletesNothing(t *testing.T) {
	r := newRig(t)
	r.Lead(7)
	if err := r.Configure(settings()); err != nil {
		t.Fatal(err)
	}
	kept := state()
	kept.Kept = true
	r.onState(kept)
	r.SetEgressPorts(map[federation.ServicePort]EgressPort{port: {Port: 20000}})
	r.SetEndpoints(checkout, map[uint16]PortEndpoints{80: {Ready: []string{"10.0.1.1:8080"}, Total: 2}})
	r.round()
	if v := r.View(); len(r.tables) != 1 || v.StoreSynced || len(v.Members) != 2 {
		t.Fatalf("%d tables, synced %t, %d members", len(r.tables), v.StoreSynced, len(v.Members))
	}
	newer := state()
	delete(newer.Members, "us-west")
	r.onState(newer)
	r.onState(kept)
	r.round()
	if v := r.View(); !v.StoreSynced || len(v.Members) != 1 {
		t.Errorf("after the store was read: synced %t, %d members", v.StoreSynced, len(v.Members))
	}
}
