package admin_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"github.com/causeway-mesh/causeway/federation"
	"github.com/causeway-mesh/causeway/federation/policystore"
	"github.com/causeway-mesh/causeway/federation/policystore/admin"
)

const prod = "/causeway/v1/prod/"

func TestInitTurnsAuthenticationOnOnceAndForRootOnly(t *testing.T) {
	r := newRig(t).start()
	stranger, _ := r.open("a")
	if err := stranger.Init(t.Context(), admin.Init{}); err == nil || !strings.Contains(err.Error(), `user "a"'s`) {
		t.Errorf("another user's certificate before authentication: %v", err)
	}
	root, log := r.open("root")
	want := admin.Init{Federations: []string{"prod"}}
	must(t, root.Init(t.Context(), want))
	first := log.take()
	for _, step := range []string{"made role root", "made user root", "gave user root the role root", "gave role causeway:prod:reader: read /causeway/v1/prod/*", "turned authentication on", "verified"} {
		if !strings.Contains(first, step) {
			t.Errorf("%q was not said in:\n%s", step, first)
		}
	}
	must(t, root.Init(t.Context(), want))
	if again := log.take(); again != "authentication is on" {
		t.Errorf("the second time it said:\n%s", again)
	}
	if err := stranger.Init(t.Context(), want); err == nil || !strings.Contains(err.Error(), "root") {
		t.Errorf("another user's certificate: %v", err)
	}
	if _, err := r.raw("a").Put(t.Context(), prod+"members/a", ""); err == nil {
		t.Error("a client without a user may write")
	}
	if _, err := stranger.Status(t.Context()); err != nil && !errors.Is(err, admin.ErrForbidden) {
		t.Errorf("a stranger's status: %v", err)
	}
}

func TestInitRefusesWhatWouldLockOut(t *testing.T) {
	r := newRig(t).start()
	_, err := r.raw("root").Put(t.Context(), prod+"members/a", "{}")
	must(t, err)
	root, log := r.open("root")
	if err := root.Init(t.Context(), admin.Init{}); err == nil || !strings.Contains(err.Error(), "prod/a") {
		t.Fatalf("a registered cluster without a user: %v", err)
	}
	must(t, root.AddCluster(t.Context(), admin.Cluster{Federation: "prod", Name: "a"}))
	must(t, root.Init(t.Context(), admin.Init{}))
	if !strings.Contains(log.take(), "turned authentication on") {
		t.Error("authentication is not on")
	}
	plain, err := admin.Open(t.Context(), admin.Config{Endpoints: []string{"http://" + r.address}})
	must(t, err)
	defer plain.Close()
	if err := plain.Init(t.Context(), admin.Init{}); err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("without TLS: %v", err)
	}
}

func TestInitRefusesAStoreThatDoesNotAskForCertificates(t *testing.T) {
	r := newRig(t)
	pair, err := tls.LoadX509KeyPair(r.file("tls.crt"), r.file("tls.key"))
	must(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}})
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("h2 settings would come here")) // shakes hands, too
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	a, _ := r.open("root", "https://"+l.Addr().String())
	if err := a.Init(t.Context(), admin.Init{}); err == nil || !strings.Contains(err.Error(), "--client-cert-auth") {
		t.Errorf("a store without client certificates: %v", err)
	}
}

func TestEachClusterWritesItsOwnAndReadsItsFederation(t *testing.T) {
	r := newRig(t).start()
	root, _ := r.open("root")
	must(t, root.Init(t.Context(), admin.Init{}))
	for _, c := range []admin.Cluster{
		{Federation: "prod", Name: "a"},
		{Federation: "prod", Name: "ab", Author: true, Coordinator: true},
		{Federation: "prod0", Name: "x"},
	} {
		must(t, root.AddCluster(t.Context(), c))
	}
	if err := root.AddCluster(t.Context(), admin.Cluster{Federation: "prod0", Name: "a"}); err == nil || !strings.Contains(err.Error(), "federation prod already") {
		t.Errorf("one user in two federations: %v", err)
	}
	a := r.raw("a")
	for key, allowed := range map[string]bool{
		"members/a": true, "exports/a/shop/cart": true, "presence/a": true, "order": true,
		"members/ab": false, "exports/ab/x/y": false, "exports/a": false, "exports/a-b/x/y": false, "exports/a0/x/y": false,
		"policies/a/x/y": false, "policies/ab/x/y": false, "presence/ab": false, "presence/a/x": false,
		"rollouts/a/x/y": false, "elections/e/1": false, "accepted": false, "orders": false, "trial": false, "../prod0/members/a": false,
	} {
		_, err := a.Put(t.Context(), strings.Replace(prod+key, "prod/../", "", 1), "1")
		if (err == nil) != allowed {
			t.Errorf("cluster a writes %s: %v, want allowed %t", key, err, allowed)
		}
	}
	reads(t, a)
	leads(t, r.raw("ab"))
}

func reads(t *testing.T, a *clientv3.Client) {
	t.Helper()
	if _, err := a.Get(t.Context(), prod, clientv3.WithPrefix()); err != nil {
		t.Errorf("reading the federation: %v", err)
	}
	for _, prefix := range []string{"/", "/causeway/v1/", "/causeway/v1/prod", "/causeway/v1/prod0/"} {
		if _, err := a.Get(t.Context(), prefix, clientv3.WithPrefix()); err == nil {
			t.Errorf("cluster a reads %s", prefix)
		}
	}
	if _, err := a.Delete(t.Context(), prod+"exports/", clientv3.WithPrefix()); err == nil {
		t.Error("cluster a deletes everybody's exports")
	}
	if _, err := a.UserList(t.Context()); err == nil {
		t.Error("cluster a lists users")
	}
}

// leads stands for election as a coordinator does, with a lease.
func leads(t *testing.T, c *clientv3.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	session, err := concurrency.NewSession(c, concurrency.WithTTL(10))
	must(t, err)
	defer session.Close()
	e := concurrency.NewElection(session, prod+"elections/rollouts")
	if err := e.Campaign(ctx, "ab"); err != nil {
		t.Fatalf("a coordinator stands for election: %v", err)
	}
	if _, err := c.Put(ctx, prod+"rollouts/a/shop/cart", "{}", clientv3.WithLease(clientv3.NoLease)); err != nil {
		t.Errorf("a coordinator writes a rollout: %v", err)
	}
	if _, err := c.Put(ctx, prod+"presence/ab", "{}", clientv3.WithLease(session.Lease())); err != nil {
		t.Errorf("its presence, on a lease: %v", err)
	}
	must(t, e.Resign(ctx))
}

func TestAClusterThatMayNotAuthorCanLeave(t *testing.T) {
	r := newRig(t).start()
	root, _ := r.open("root")
	must(t, root.Init(t.Context(), admin.Init{}))
	must(t, root.AddCluster(t.Context(), admin.Cluster{Federation: "prod", Name: "a"}))
	s := r.store("prod", "a")
	must(t, s.Register(t.Context(), federation.Member{Name: "a", Region: "r", TrustDomain: "d", InstanceID: "uid-a"}))
	must(t, s.Unregister(t.Context()))
	if resp, err := r.raw("a").Get(t.Context(), prod+"members/a"); err != nil || resp.Count != 0 {
		t.Errorf("after leaving: %v, %v", resp, err)
	}
}

func TestAnOperatorsOrdinaryWorkIsAllowed(t *testing.T) {
	r := newRig(t).start()
	root, log := r.open("root")
	must(t, root.Init(t.Context(), admin.Init{}))
	must(t, root.AddCluster(t.Context(), admin.Cluster{Federation: "prod", Name: "a", Author: true}))
	s := r.store("prod", "a")
	must(t, s.Register(t.Context(), federation.Member{Name: "a", Region: "r", TrustDomain: "d", InstanceID: "uid-a"}))
	cart := federation.ServiceName{Namespace: "shop", Name: "cart"}
	_, err := s.PutExport(t.Context(), federation.Export{Cluster: "a", Service: cart, Ports: []federation.ExportedPort{{Port: 80, Protocol: federation.TCP}}})
	must(t, err)
	must(t, s.DeleteExport(t.Context(), cart))
	policy := federation.Policy{ID: federation.PolicyID{Origin: "a", Namespace: "shop", Name: "cart"}}
	policy.Generation = 1
	_, err = s.PutPolicy(t.Context(), policy)
	must(t, err)
	await(t, "the watch to bring the policy", func() bool { return len(s.State().Policies) == 1 })

	// Without --author the same cluster keeps its name and loses its pen.
	log.take()
	must(t, root.AddCluster(t.Context(), admin.Cluster{Federation: "prod", Name: "a"}))
	if got, want := log.take(), "took from role causeway:prod:cluster:a: write /causeway/v1/prod/policies/a/*"; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
	policy.Generation = 2
	policy.Regions = []federation.Region{"r"}
	if _, err := s.PutPolicy(t.Context(), policy); !errors.Is(err, policystore.ErrForbidden) {
		t.Errorf("a policy of no author: %v", err)
	}
	must(t, root.AddCluster(t.Context(), admin.Cluster{Federation: "prod", Name: "a", Author: true}))
	must(t, s.Unregister(t.Context()))
}

func TestRemovedClusterLeavesNothingAndItsNeighboursStay(t *testing.T) {
	r := newRig(t).start()
	root, _ := r.open("root")
	must(t, root.Init(t.Context(), admin.Init{}))
	for _, name := range []federation.ClusterName{"a", "ab"} {
		must(t, root.AddCluster(t.Context(), admin.Cluster{Federation: "prod", Name: name, Author: true}))
	}
	c := r.raw("root")
	for _, key := range []string{"members/a", "members/ab", "exports/a/x/y", "exports/ab/x/y", "policies/a/x/y", "presence/a", "rollouts/a/x/y", "rollouts/ab/x/y", "order"} {
		_, err := c.Put(t.Context(), prod+key, "1")
		must(t, err)
	}
	preview, err := root.PreviewRemoval(t.Context(), "prod", "a")
	must(t, err)
	want := admin.Removal{User: true, Role: true}
	for _, kind := range []string{"exports", "members", "policies", "presence", "rollouts"} {
		want.Keys = append(want.Keys, admin.KeyCount{Federation: "prod", Kind: kind, Cluster: "a", Keys: 1})
	}
	if diff := cmp.Diff(want, preview); diff != "" {
		t.Errorf("preview (-want +got):\n%s", diff)
	}
	for range 2 { // the second finds nothing, and that is no error
		must(t, root.RemoveCluster(t.Context(), "prod", "a"))
	}
	left, err := c.Get(t.Context(), prod, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	must(t, err)
	var keys []string
	for _, kv := range left.Kvs {
		keys = append(keys, strings.TrimPrefix(string(kv.Key), prod))
	}
	if diff := cmp.Diff([]string{"exports/ab/x/y", "members/ab", "order", "rollouts/ab/x/y"}, keys); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if after, err := root.PreviewRemoval(t.Context(), "prod", "a"); err != nil || !after.Empty() {
		t.Errorf("afterwards there is %+v, %v", after, err)
	}
	if _, err := r.raw("a").Get(t.Context(), prod, clientv3.WithPrefix()); err == nil {
		t.Error("the removed cluster's certificate still reads")
	}
}
