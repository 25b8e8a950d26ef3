package engine

import (
	"context"
	"testing"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/identity"
	"github.com/causeway-mesh/causeway/federation/identity/identitytest"
)

// withStore gives a rig settings of a store that nobody serves.
func withStore(t *testing.T, r *rig) {
	t.Helper()
	ca := identitytest.NewCA(t, "store")
	cert, key := ca.Issue(identity.ID{TrustDomain: "store", Federation: "prod", Cluster: "us-east", Role: identity.RoleOperator})
	s := settings()
	s.StoreEndpoints, s.StoreCA, s.StoreCert, s.StoreKey = []string{"https://127.0.0.1:1"}, ca.Bundle(), cert, key
	if err := r.Configure(s); err != nil {
		t.Fatal(err)
	}
	r.Lead(1)
}

// Read without bundles the store would seem to hold nothing, and all would be withdrawn.
func TestStoreIsNotReadBeforeThereIsAnIdentityToVerifyWith(t *testing.T) {
	r := newRig(t)
	withStore(t, r)
	ctx, cancel := context.WithCancel(t.Context())
	r.mu.Lock()
	r.startStore(ctx)
	early := r.store
	r.mu.Unlock()
	if early != nil {
		t.Error("the store is read without an identity")
	}
	if s := r.storeStatus(); s.Reason != "NotSynced" {
		t.Errorf("the status says %+v", s)
	}
	r.deps.Identity = identitytest.NewCA(t, "d").Source(identity.ID{TrustDomain: "d", Federation: "prod", Cluster: "us-east", Role: identity.RoleOperator})
	r.mu.Lock()
	r.startStore(ctx)
	part := r.store
	r.mu.Unlock()
	if part == nil {
		t.Fatal("the store is not read with an identity")
	}
	cancel()
	part.stop()
}

func TestUnsignedValuesAreAQuestionOfTheStoresClient(t *testing.T) {
	a, b := settings(), settings()
	b.AcceptUnsigned = true
	if a.sameStore(b) {
		t.Error("the client goes on as before")
	}
}

func TestSettingsKnowOurDomainAndThatOfASeedThatNamesIt(t *testing.T) {
	r := newRig(t)
	s := settings()
	s.Seeds = []Seed{{Cluster: "us-west", TrustDomain: "w"}, {Cluster: "eu-west"}}
	if err := r.Configure(s); err != nil {
		t.Fatal(err)
	}
	for c, want := range map[federation.ClusterName]federation.TrustDomain{"us-east": "d", "us-west": "w", "eu-west": "", "ap-south": ""} {
		if got, ok := r.domain(c); got != want || ok != (want != "") {
			t.Errorf("%s: %q %t, want %q", c, got, ok, want)
		}
	}
}
