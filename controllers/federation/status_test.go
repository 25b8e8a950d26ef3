package federation

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	api "github.com/causeway-mesh/causeway/apis/federation/v1alpha1"
	"github.com/causeway-mesh/causeway/controllers/controllertest"
	mesh "github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/engine"
	"github.com/causeway-mesh/causeway/federation/routing"
)

func member(name mesh.ClusterName, self bool) engine.MemberView {
	return engine.MemberView{Member: mesh.Member{Name: name}, Self: self}
}

func gateway(connected bool, trust map[mesh.ClusterName]string) engine.GatewayView {
	return engine.GatewayView{GatewayReport: routing.GatewayReport{Instance: "gw-1", TrustErrors: trust}, Connected: connected}
}

func TestWhatTheEngineSeesIsToldByItsDocumentedReason(t *testing.T) {
	type say struct {
		OK, Pending bool
		Reason      string
	}
	two := []engine.MemberView{member("us-east", true), member("us-west", false)}
	for name, c := range map[string]struct {
		find func(*engine.View) finding
		view engine.View
		want say
	}{
		"store: no settings yet":   {storeFinding, engine.View{}, say{Reason: api.ReasonNotConfigured}},
		"store: away":              {storeFinding, engine.View{Configured: true, Store: engine.StoreStatus{Reason: "Unreachable"}}, say{Reason: api.ReasonUnreachable}},
		"store: went back":         {storeFinding, engine.View{Configured: true, Store: engine.StoreStatus{Reason: "Rewound"}}, say{Reason: api.ReasonRewound}},
		"store: full":              {storeFinding, engine.View{Configured: true, StoreSynced: true, Store: engine.StoreStatus{Connected: true, Reason: "NoSpace"}}, say{Reason: api.ReasonNoSpace}},
		"store: distrusted":        {storeFinding, engine.View{Configured: true, Store: engine.StoreStatus{Reason: "Untrusted"}}, say{Reason: api.ReasonUntrusted}},
		"store: lets us not in":    {storeFinding, engine.View{Configured: true, Store: engine.StoreStatus{Reason: "Forbidden"}}, say{Reason: api.ReasonUntrusted}},
		"store: being read":        {storeFinding, engine.View{Configured: true, Store: engine.StoreStatus{Reason: "NotSynced"}}, say{Pending: true, Reason: api.ReasonPending}},
		"store: read":              {storeFinding, engine.View{Configured: true, StoreSynced: true, Store: engine.StoreStatus{Connected: true, Reason: "Connected"}}, say{OK: true, Reason: api.ReasonConnected}},
		"gossip: no seat":          {gossipFinding, engine.View{}, say{Reason: api.ReasonNotRunning}},
		"gossip: no certificate":   {gossipFinding, engine.View{Gossip: engine.GossipStatus{Reason: "NoIdentity"}}, say{Reason: api.ReasonNoIdentity}},
		"gossip: only member":      {gossipFinding, engine.View{Gossip: engine.GossipStatus{Running: true}, Members: two[:1]}, say{OK: true, Reason: api.ReasonAlone}},
		"gossip: nobody answers":   {gossipFinding, engine.View{Gossip: engine.GossipStatus{Running: true}, Members: two}, say{Reason: api.ReasonNoPeerAlive}},
		"gossip: one answers":      {gossipFinding, engine.View{Gossip: engine.GossipStatus{Running: true, Alive: 1}, Members: two}, say{OK: true, Reason: api.ReasonJoined}},
		"gateways: none":           {gatewaysFinding, engine.View{}, say{Reason: api.ReasonNoGateway}},
		"gateways: gone":           {gatewaysFinding, engine.View{Gateways: []engine.GatewayView{gateway(false, nil)}}, say{Reason: api.ReasonNoGateway}},
		"gateways: connected":      {gatewaysFinding, engine.View{Gateways: []engine.GatewayView{gateway(true, nil)}}, say{OK: true, Reason: api.ReasonConnected}},
		"gateways: distrust":       {gatewaysFinding, engine.View{Gateways: []engine.GatewayView{gateway(true, map[mesh.ClusterName]string{"us-west": "unknown authority"})}}, say{Reason: api.ReasonGatewayUntrusted}},
		"registration: waits":      {registeredFinding, engine.View{Members: two[1:]}, say{Pending: true, Reason: api.ReasonPending}},
		"registration: fails":      {registeredFinding, engine.View{Registration: "the store is full"}, say{Pending: true, Reason: api.ReasonPending}},
		"registration: done":       {registeredFinding, engine.View{Members: two}, say{OK: true, Reason: api.ReasonRegistered}},
		"registration: name taken": {registeredFinding, engine.View{NameConflict: "taken", Members: two}, say{Reason: api.ReasonNameConflict}},
	} {
		got := c.find(&c.view)
		if diff := cmp.Diff(c.want, say{got.ok, got.pending, got.reason}); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestDistrustedPeerIsNamedWithTheGateway(t *testing.T) {
	got := gatewaysFinding(&engine.View{Gateways: []engine.GatewayView{gateway(true, map[mesh.ClusterName]string{"us-west": "unknown authority"})}})
	for _, word := range []string{"gw-1", "us-west", "unknown authority"} {
		if !strings.Contains(got.message, word) {
			t.Errorf("%q does not name %s", got.message, word)
		}
	}
}

func TestFirstConditionThatIsNotTrueSpeaksForAll(t *testing.T) {
	f := &api.MeshFederation{}
	all := []string{api.ConditionIdentityReady, api.ConditionPolicyStoreReady, api.ConditionRegistered, api.ConditionGatewaysReady, api.ConditionGossipReady}
	for _, kind := range all {
		finding{ok: true, reason: "Fine"}.write(f, kind)
	}
	if got := summary(f); !got.ok || got.reason != api.ReasonReady {
		t.Errorf("all is well, and it says %+v", got)
	}
	for i := len(all) - 1; i >= 0; i-- {
		finding{reason: "Broken", message: "look at " + all[i]}.write(f, all[i])
		summary(f).write(f, api.ConditionReady)
		controllertest.Want(t, f.Status.Conditions, api.ConditionReady, metav1.ConditionFalse, "Broken", "look at "+all[i])
	}
}
